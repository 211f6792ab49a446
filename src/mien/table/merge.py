"""Put the tables of shards together: one table, to the last bit that of a run without shards."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pyarrow as pa

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.names import to_text
from mien.media.outputs import check_outputs
from mien.media.remote import inside
from mien.table.formats import check_format, write_as
from mien.table.place import place_of
from mien.table.read import open_table
from mien.table.schema import TableInfo, job_digest, pinned, read_info
from mien.table.shard import Shard
from mien.table.writer import join_tables

__all__ = ["Merged", "find_parts", "join_shards", "merge_shards"]

_SHOWN = 5
_ENDS = (".parquet", ".feather", ".csv", ".jsonl")


@dataclass(frozen=True)
class Merged:
    """What was put together."""

    shards: int
    """Shards that are in the table."""
    rows: int
    """Rows of the table."""
    missing: tuple[str, ...]
    """Shards that are not in it, as I/N."""
    changed: tuple[Path | str, ...]
    """Tables out of which rows were taken, as `mien forget` does."""


@dataclass(frozen=True)
class _Part:
    path: Path | str
    shard: Shard
    info: TableInfo
    """Without job and shard: the same for all parts."""
    schema: pa.Schema
    """Without metadata of the table; with that of the columns."""
    rows: int
    whole: bool
    """Whether no rows were taken out."""


def find_parts(given: Sequence[str | Path]) -> list[Path | str]:
    """Return the tables that are given, those in folders among them, in the order of their names.

    Raises:
        MienError: nothing is given, a folder holds no table, or one that is not finished.
    """
    found: list[Path | str] = []
    for one in map(place_of, given):
        if isinstance(one, str) and not one.endswith(_ENDS):
            found += _at_address(one.rstrip("/"))
        elif isinstance(one, str) or not one.is_dir():
            found.append(one)
        else:
            names = [path.name for path in one.iterdir()]
            found += [one / name for name in _tables(names, one)]
    if not found:
        raise MienError("no table is given; name those that mien embed --shard wrote")
    return found


def _at_address(folder: str) -> list[str]:
    names = {name.partition("/")[0]: "/" in name for name in inside(folder)}
    unfinished = [name for name, deep in names.items() if deep and name.endswith(".parts")]
    tables = [name for name, deep in names.items() if not deep]
    return [f"{folder}/{name}" for name in _tables([*unfinished, *tables], folder)]


def _tables(names: Sequence[str], folder: Path | str) -> list[str]:
    """Return which names in a folder are those of tables, in order; refuse unfinished ones."""
    ends = ".parquet.parts"
    for name in sorted(names):
        if name.startswith(".") and name.endswith(ends):
            _refuse_unfinished(f"{folder}/{name[1:].removesuffix('.parts')}")
    inside = sorted(name for name in names if name.endswith(".parquet") and name[0] != ".")
    if not inside:
        raise MienError(f"{to_text(folder)} holds no table: no name there ends in .parquet")
    return inside


def merge_shards(
    paths: Sequence[str | Path],
    out: str | Path,
    *,
    partial: bool = False,
    overwrite: bool = False,
) -> Merged:
    """Write the rows of all shards of a job as one table, in the order of a run without shards.

    A complete merge is, to the last byte, the table that one machine writes. The memory that is
    used does not grow with the tables.

    Args:
        paths: tables by `mien embed --shard`, in any order, and folders of such.
        out: the table to write: .parquet, .feather, .csv or .jsonl.
        partial: whether shards may be missing.
        overwrite: whether `out` may be replaced.

    Raises:
        MienError: a table is no shard, damaged, unfinished or of another job; one is given twice
            or missing; or `out` cannot be written.
    """
    out = place_of(out)
    check_format(out)
    paths = find_parts(paths)
    check_outputs([out], inputs=paths, overwrite=overwrite)
    with replacing(out, overwrite=overwrite) as unfinished:
        done: list[Merged] = []
        write_as(
            unfinished,
            Path(out).suffix.lower(),
            lambda place: done.append(join_shards(paths, place, partial=partial)),
        )
    return done[0]


def join_shards(paths: Sequence[Path | str], place: Path, *, partial: bool = False) -> Merged:
    """Write the rows of all shards at a place, as Parquet; what there is to say as `merge_shards`.

    Raises:
        MienError: as `merge_shards`; then nothing or half a table is at the place.
        OSError: if it cannot be written.
    """
    parts = _in_order(_read_parts(paths))
    missing = _missing(parts)
    if missing and not partial:
        shown = ", ".join(missing[:_SHOWN]) + (" ..." if len(missing) > _SHOWN else "")
        raise MienError(
            f"{len(missing):,} of {parts[0].shard.count:,} shards are missing: {shown}; embed "
            "them, or merge what is there with --partial"
        )
    changed = tuple(part.path for part in parts if not part.whole)
    first = parts[0]
    whole = job_digest(pinned(first.info, first.shard.listing, first.shard.inputs))
    # No run of `embed` would give a table from which something is missing.
    schema = _schema(first, "" if missing or changed else whole)
    join_tables((part.path for part in parts), place, schema)
    return Merged(len(parts), sum(part.rows for part in parts), tuple(missing), changed)


def _read_parts(paths: Sequence[Path | str]) -> list[_Part]:
    """Return what tables say of themselves.

    Raises:
        MienError: as of `_read_part`; or two are of different jobs.
    """
    first = _read_part(paths[0])
    parts = [first]
    for path in paths[1:]:
        part = _read_part(path)
        _refuse_another_job(first, part)
        # There may be tens of thousands, and a schema takes tens of kilobytes.
        parts.append(replace(part, info=first.info, schema=first.schema))
    return parts


def _read_part(path: Path | str) -> _Part:
    """Return what a table says of itself.

    Raises:
        MienError: it is no shard, or what it says cannot be.
    """
    shown = to_text(path)
    if isinstance(path, Path) and path.with_name(f".{path.name}.parts").exists():
        _refuse_unfinished(path)
    with open_table(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    info = read_info(schema)
    if info is None:
        raise MienError(f"{shown} does not say what made it: mien embed did not, or it is damaged")
    shard = info.shard
    if shard is None:
        raise MienError(f"{shown} is no shard: it was not made by mien embed --shard")
    job = job_digest(pinned(info, shard.listing, shard.inputs, shard))
    if info.job not in ("", job):
        raise MienError(f"{shown} says of itself what cannot be: it was changed; embed again")
    bare = replace(info, job="", shard=None)
    return _Part(path, shard, bare, schema.remove_metadata(), rows, whole=info.job == job)


def _refuse_unfinished(path: Path | str) -> None:
    raise MienError(
        f"{to_text(path)} was begun and is not finished: wait for its run, or continue it "
        "with the same command and --resume"
    )


def _in_order(parts: Iterable[_Part]) -> list[_Part]:
    """Return the parts by their place among the inputs.

    Raises:
        MienError: two are of one shard, or have inputs in common.
    """
    ordered = sorted(parts, key=lambda part: (part.shard.index, str(part.path)))
    for one, other in pairwise(ordered):
        names = f"{to_text(one.path)} and {to_text(other.path)}"
        left, right = one.shard, other.shard
        if left.index == right.index:
            raise MienError(f"{names} are both shard {left.name}: give one of them")
        neighbours = left.index + 1 == right.index
        if left.stop > right.first or (neighbours and left.stop < right.first):
            raise MienError(f"{names} do not fit together: one was changed; embed both again")
    return ordered


def _refuse_another_job(one: _Part, other: _Part) -> None:
    """Refuse two tables that do not belong together, by the first thing that differs."""
    pairs = {
        "version": (one.info.version, other.info.version),
        "weights": (one.info.model_id, other.info.model_id),
        "detector": (one.info.detector, other.info.detector),
        **{
            f"option {name}": (one.info.options.get(name), other.info.options.get(name))
            for name in dict.fromkeys([*one.info.options, *other.info.options])
        },
        "number of shards": (one.shard.count, other.shard.count),
        "batch size": (one.shard.batch_size, other.shard.batch_size),
        "number of inputs": (one.shard.inputs, other.shard.inputs),
        "listing of inputs": (one.shard.listing, other.shard.listing),
        "columns": (one.schema.names, other.schema.names),
    }
    for name, (left, right) in pairs.items():
        if left != right:
            raise MienError(
                f"{to_text(other.path)} is of another job than {to_text(one.path)}: {name} is "
                f"{str(right)[:100]} there and {str(left)[:100]} here; embed all shards with the "
                "same inputs, options and weights"
            )
    if not one.schema.equals(other.schema, check_metadata=True):
        raise MienError(
            f"{to_text(other.path)} has columns of other types than {to_text(one.path)}: another "
            "program wrote it anew; embed that shard again"
        )


def _missing(parts: Sequence[_Part]) -> list[str]:
    there = {part.shard.index for part in parts}
    count = parts[0].shard.count
    return [f"{index}/{count}" for index in range(count) if index not in there]


def _schema(part: _Part, job: str) -> pa.Schema:
    """Return the schema of the whole table, in the words of a run without shards."""
    with open_table(part.path) as file:
        stored = dict(file.schema_arrow.metadata or {})
    del stored[b"mien.shard"]
    return part.schema.with_metadata(stored | {b"mien.job": job.encode()})
