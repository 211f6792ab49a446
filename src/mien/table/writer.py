"""Write a table bit by bit so that a crash at any moment loses little and breaks nothing.

Finished rows go to numbered part files in a hidden folder beside the table, each written under
another name and then renamed. A part is named after what it completes: `part-000004.done-37`
ends with the last row of source 36, so that 37 sources are complete; `part-000005.open` ends in
the middle of a source, and is dropped when the job is resumed. `join_parts` joins them.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mien.errors import MienError
from mien.media.names import to_text
from mien.table.place import opened_file
from mien.table.read import reading

__all__ = [
    "PART",
    "PartWriter",
    "Progress",
    "join_parts",
    "join_tables",
    "last_complete",
    "open_writer",
    "read_checked",
    "write_batches",
    "write_groups",
]

PART = re.compile(r"part-(\d{6,})\.(?:done-(\d+)|open)\.parquet")
"""Names of parts: number, sources done."""
_ROWS_PER_GROUP = 4096


@dataclass(frozen=True)
class Progress:
    """How far the parts in a folder go."""

    parts: int
    """Number of parts kept."""
    sources: int
    """Number of sources that are complete in them."""


class PartWriter:
    """Takes rows in the order of their sources and keeps them as parts in a folder."""

    def __init__(
        self,
        folder: Path,
        schema: pa.Schema,
        start: Progress,
        *,
        rows_per_part: int = 2048,
        seconds_per_part: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
        keep: Callable[[Path], None] | None = None,
    ) -> None:
        self._folder = folder
        self._keep = keep
        """Called with each part that is written."""
        self.schema = schema
        """Of all parts and of the table."""
        self._part = start.parts
        self._rows_per_part = rows_per_part
        self._seconds_per_part = seconds_per_part
        self._clock = clock
        self._written = clock()
        self._batches: list[pa.RecordBatch] = []
        self._sources: list[int] = []
        self._start = start.sources

    def write(self, batch: pa.RecordBatch, sources: Sequence[int], start: int) -> None:
        """Take rows.

        Args:
            batch: the rows.
            sources: number of each row's source, which never falls.
            start: number of the source that the job could be resumed from and come to this batch;
                those before it are complete.

        Raises:
            OSError: if a part cannot be written; the parts before it stay whole.
        """
        self._batches.append(batch)
        self._sources.extend(sources)
        self._start = start
        full = len(self._sources) >= self._rows_per_part
        if full or self._clock() - self._written >= self._seconds_per_part:
            self._write_complete()
        if len(self._sources) >= self._rows_per_part:
            self._write_part(len(self._sources), "open")

    def finish(self, sources: int) -> None:
        """Write all rows that are left: `sources` sources are complete, and no other is begun."""
        if self._sources:
            self._write_part(len(self._sources), f"done-{sources}")

    def save_complete(self) -> None:
        """Write the complete sources among the rows that are left: the job stops here."""
        self._write_complete()

    def _write_complete(self) -> None:
        count = sum(source < self._start for source in self._sources)
        if count:
            self._write_part(count, f"done-{self._start}")

    def _write_part(self, count: int, state: str) -> None:
        table = pa.Table.from_batches(self._batches, schema=self.schema)
        path = self._folder / f"part-{self._part:06d}.{state}.parquet"
        unfinished = self._folder / "unfinished"
        try:
            write_batches(unfinished, table.slice(0, count).to_batches(), self.schema)
            unfinished.replace(path)
        except OSError:
            # On a full disk what could not be finished only takes room.
            unfinished.unlink(missing_ok=True)
            raise
        if self._keep is not None:
            self._keep(path)
        self._part += 1
        self._batches = table.slice(count).to_batches()
        self._sources = self._sources[count:]
        self._written = self._clock()


def last_complete(folder: Path) -> Progress:
    """Drop the parts of an interrupted source and return how far the rest goes."""
    parts = _parts(folder)
    count = max((number + 1 for number, done, _ in parts if done is not None), default=0)
    kept = {path for _, _, path in parts[:count]}
    for path in set(folder.iterdir()) - kept:
        if PART.fullmatch(path.name):
            path.unlink()
    sources = parts[count - 1][1] if count else 0
    return Progress(parts=count, sources=sources or 0)


def join_parts(folder: Path, unfinished: Path, schema: pa.Schema) -> None:
    """Write all parts as one Parquet file, a row group at a time, in memory for one group."""
    join_tables([path for _, _, path in _parts(folder)], unfinished, schema)


def join_tables(paths: Iterable[Path | str], unfinished: Path, schema: pa.Schema) -> None:
    """Write the rows of some tables as one, a row group at a time, in memory for one group.

    How the rows are spread over the tables does not show in what is written.

    Args:
        paths: the tables, all with the columns of the schema, in order.
        unfinished: the file to be written.
        schema: of that file.

    Raises:
        MienError: a table cannot be read or is damaged; names it.
        OSError: if the file cannot be written.
    """
    write_groups((batch for path in paths for batch in read_checked(path)), unfinished, schema)


def write_groups(batches: Iterable[pa.RecordBatch], unfinished: Path, schema: pa.Schema) -> None:
    """Write rows as one Parquet file with row groups of one size, in memory for one group."""
    with open_writer(unfinished, schema) as writer:
        waiting: list[pa.RecordBatch] = []
        rows = 0
        for batch in batches:
            waiting.append(batch)
            rows += batch.num_rows
            if rows >= _ROWS_PER_GROUP:
                waiting = _write_groups(writer, waiting, schema, min_rows=_ROWS_PER_GROUP)
                rows = sum(one.num_rows for one in waiting)
        _write_groups(writer, waiting, schema, min_rows=1)


def read_checked(path: Path | str) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a table, its checksums compared.

    Raises:
        MienError: it cannot be read or is damaged; names it.
    """
    # Not around the yield: what goes wrong in writing is not this table's fault.
    rows = 0
    with contextlib.ExitStack() as stack:
        with reading(path):
            source = stack.enter_context(opened_file(path))
            file = stack.enter_context(
                pq.ParquetFile(source, page_checksum_verification=True, pre_buffer=False)
            )
            batches = file.iter_batches(batch_size=_ROWS_PER_GROUP)
        while True:
            with reading(path):
                batch = next(batches, None)
            if batch is None:
                break
            rows += batch.num_rows
            yield batch
        # Checksums are of pages' contents: the rows of a page that says it is of another kind are
        # passed over.
        if rows != file.metadata.num_rows:
            raise MienError(
                f"{to_text(path)} is damaged: {rows:,} of its {file.metadata.num_rows:,} rows can "
                "be read; embed again"
            )


def write_batches(path: Path, batches: Sequence[pa.RecordBatch], schema: pa.Schema) -> None:
    """Write record batches as one Parquet file."""
    with open_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_batches(batches, schema=schema), _ROWS_PER_GROUP)


def open_writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """Return a writer of tables with this schema."""
    # A dictionary of random numbers only costs time, and names compress without one.
    # Checksums: a bit that turned over on a disk must not become a face.
    return pq.ParquetWriter(
        path, schema, compression="zstd", use_dictionary=False, write_page_checksum=True
    )


def _write_groups(
    writer: pq.ParquetWriter, batches: Sequence[pa.RecordBatch], schema: pa.Schema, *, min_rows: int
) -> list[pa.RecordBatch]:
    """Write whole row groups while there are `min_rows` rows and return the rows left over."""
    # In one piece: how the rows came in must not show in the file.
    table = pa.Table.from_batches(batches, schema=schema).combine_chunks()
    while table.num_rows >= min_rows:
        writer.write_table(table.slice(0, _ROWS_PER_GROUP), _ROWS_PER_GROUP)
        table = table.slice(_ROWS_PER_GROUP)
    return table.to_batches()


def _parts(folder: Path) -> list[tuple[int, int | None, Path]]:
    """Return (number, sources done or None, path) of the parts, in order, up to the first gap."""
    found: list[tuple[int, int | None, Path]] = []
    for path in folder.iterdir():
        match = PART.fullmatch(path.name)
        if match:
            found.append((int(match[1]), int(match[2]) if match[2] else None, path))
    found.sort(key=lambda part: part[0])
    return [part for index, part in enumerate(found) if part[0] == index]
