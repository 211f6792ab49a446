"""Take people out of a table: every row of the files, or of the one track, that is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pyarrow as pa

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.table.read import open_table
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
        out: the table to write; may be the same file with `overwrite`.
        paths: patterns for the column `path`: `*`, `?` and `[...]`; `*` also stands for `/`.
        track: take out this track of these files only.
        overwrite: whether `out` may be replaced.

    Raises:
        MienError: if no row matches, the table cannot be read, or `out` cannot be written.
    """
    removed = kept = 0
    with open_table(Path(table)) as file, replacing(out, overwrite=overwrite) as unfinished:
        # No run of `embed` would give this table.
        metadata = (file.schema_arrow.metadata or {}) | {b"mien.job": b""}
        with open_writer(unfinished, file.schema_arrow.with_metadata(metadata)) as writer:
            for index in range(file.num_row_groups):
                group = file.read_row_group(index).replace_schema_metadata(metadata)
                wanted = _matches(group, paths, track)
                removed += int(wanted.sum())
                left = group.filter(pa.array(~wanted))
                kept += len(left)
                if len(left):
                    writer.write_table(left)
        if not removed:
            raise MienError(f"no row of {table} matches: nothing is taken out, nothing written")
    return Forgotten(removed=removed, kept=kept)


def _matches(group: pa.Table, paths: Sequence[str], track: int | None) -> np.ndarray:
    """Return which rows are to be taken out. Bool [N]."""
    names = group.column("path").to_pylist()
    verdicts = {name: any(fnmatchcase(name, path) for path in paths) for name in set(names)}
    wanted = np.array([verdicts[name] for name in names], dtype=bool)
    if track is not None:
        numbers = group.column("track_id").to_numpy()
        wanted &= numbers == track
    return wanted
