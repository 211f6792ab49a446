"""Take people out of a table: every row of the files, or of the one track, that is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.outputs import same_file
from mien.table.formats import check_format, write_as
from mien.table.read import of_its_type, open_table, reading
from mien.table.writer import open_writer

__all__ = ["Forgotten", "forget_rows"]


@dataclass(frozen=True)
class Forgotten:
    """What was done to a table."""

    removed: int
    """Rows taken out."""
    kept: int
    """Rows that are left."""


def forget_rows(
    table: str | Path,
    out: str | Path,
    *,
    paths: Sequence[str],
    track: int | None = None,
    overwrite: bool = False,
) -> Forgotten:
    """Write a table without the rows of some files; a row group at a time, whole or not at all.

    Args:
        table: the table to read.
        out: the table to write, its form by its name; may be the same file with `overwrite`, which
            stays Parquet.
        paths: patterns for the column `path`: `*`, `?` and `[...]`; `*` also stands for `/`.
        track: take out this track of these files only.
        overwrite: whether `out` may be replaced.

    Raises:
        MienError: if no row matches, the table cannot be read, or `out` cannot be written.
    """
    out = Path(out)
    suffix = ".parquet"
    if not same_file(table, out):
        check_format(out)
        suffix = out.suffix.lower()
    done: list[Forgotten] = []
    table = Path(table)
    # What cannot be written is told inside: the table that is read is not at fault.
    with open_table(table) as file, replacing(out, overwrite=overwrite) as unfinished:
        write_as(
            unfinished,
            suffix,
            lambda place: done.append(_write_rest(table, file, place, paths, track)),
        )
    return done[0]


def _write_rest(
    table: Path, file: pq.ParquetFile, place: Path, paths: Sequence[str], track: int | None
) -> Forgotten:
    """Write what is left, as Parquet; raises MienError as `forget_rows`."""
    removed = kept = 0
    # No run of `embed` would give this table.
    metadata = (file.schema_arrow.metadata or {}) | {b"mien.job": b""}
    with open_writer(place, file.schema_arrow.with_metadata(metadata)) as writer:
        for index in range(file.num_row_groups):
            with reading(table):  # what is damaged is not what is written
                group = file.read_row_group(index).replace_schema_metadata(metadata)
            wanted = _matches(table, group, paths, track)
            removed += int(wanted.sum())
            left = group.filter(pa.array(~wanted))
            kept += len(left)
            if len(left):
                writer.write_table(left)
    if not removed:
        raise MienError(f"no row of {table} matches: nothing is taken out, nothing written")
    return Forgotten(removed=removed, kept=kept)


def _matches(table: Path, group: pa.Table, paths: Sequence[str], track: int | None) -> np.ndarray:
    """Return which rows are to be taken out. Bool [N]."""
    for name in ("path", "track_id")[: 1 if track is None else 2]:
        if name not in group.column_names:
            raise MienError(f"{table} has no column {name}: it is no table of faces")
    names = of_its_type(table, "path", group.column("path")).to_pylist()
    verdicts = {name: any(fnmatchcase(name, path) for path in paths) for name in set(names)}
    wanted = np.array([verdicts[name] for name in names], dtype=bool)
    if track is not None:
        numbers = of_its_type(table, "track_id", group.column("track_id")).to_numpy()
        wanted &= numbers == track
    return wanted
