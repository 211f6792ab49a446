"""A finished table in the form that its name asks for: Parquet, Feather, CSV or JSON lines.

Feather holds what Parquet does, metadata and zeros included. CSV and JSON lines are for people and
for programs that know neither: there a vector that means nothing is empty, in CSV a vector is a
column for each number (`identity_0`, `identity_1`, ...), and texts are no formulas.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from mien.columns import CODES
from mien.errors import MienError
from mien.media.spreadsheet import safe_cell
from mien.table.read import code_matrix, valid_rows

__all__ = ["FORMATS", "check_format", "convert", "write_table"]

_ROWS = 1024


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch, /) -> None: ...


def check_format(out: Path) -> None:
    """Refuse a table whose name does not say in which form it is to be written.

    Raises:
        MienError: the name does not end in one of `FORMATS`.
    """
    if out.suffix.lower() not in FORMATS:
        raise MienError(
            f"{out}: a table is written as {', '.join(FORMATS)}; give a name that ends in one"
        )


def write_table(table: pa.Table, out: Path, suffix: str) -> None:
    """Write a table that is in memory, in the form that a suffix of `FORMATS` asks for.

    Raises:
        OSError: if it cannot be written.
    """
    if suffix == ".parquet":
        pq.write_table(table, out, compression="zstd")
        return
    memory = pa.BufferOutputStream()
    pq.write_table(table, memory)
    convert(pa.BufferReader(memory.getvalue()), out, suffix)


def convert(parquet: Path | pa.NativeFile, out: Path, suffix: str) -> None:
    """Write a Parquet table in another form, a thousand rows at a time.

    Args:
        parquet: the table.
        out: the file to be written.
        suffix: one of `FORMATS` but Parquet's.

    Raises:
        OSError: if it cannot be written.
    """
    change, opened = _OTHERS[suffix]
    with contextlib.ExitStack() as stack:
        table = stack.enter_context(pq.ParquetFile(parquet))
        first = change(pa.Table.from_batches([], schema=table.schema_arrow))
        writer = stack.enter_context(opened(out, first.schema))
        for batch in table.iter_batches(batch_size=_ROWS):
            changed = change(pa.Table.from_batches([batch])).cast(first.schema)
            for part in changed.combine_chunks().to_batches():
                writer.write_batch(part)


def _as_it_is(table: pa.Table) -> pa.Table:
    return table


def _with_empty_cells(table: pa.Table) -> pa.Table:
    """Return the table with null in place of vectors that mean nothing; float32 stays."""
    for place, name in enumerate(table.column_names):
        if name in CODES:
            column = table.column(name)
            matrix = code_matrix(column, valid_rows(table, name))
            lists = [None if np.isnan(row).any() else row for row in matrix]
            table = table.set_column(place, name, pa.array(lists, type=pa.list_(pa.float32())))
    return table


def _with_a_column_a_number(table: pa.Table) -> pa.Table:
    """Return the table with vectors taken apart and texts that no spreadsheet computes."""
    names: list[str] = []
    columns: list[Any] = []
    for name, column in zip(table.column_names, table.columns, strict=True):
        if name in CODES:
            # NaN becomes null: an empty cell.
            matrix = code_matrix(column, valid_rows(table, name))
            names += [f"{name}_{i}" for i in range(column.type.list_size)]
            columns += [pa.array(values, from_pandas=True) for values in matrix.T]
            continue
        if pa.types.is_string(column.type):
            texts = [None if text is None else safe_cell(text) for text in column.to_pylist()]
            column = pa.array(texts, type=pa.string())
        elif pa.types.is_boolean(column.type):
            column = pc.cast(column, pa.string())
        names.append(name)
        columns.append(column)
    return pa.Table.from_arrays(columns, names=names)


@contextlib.contextmanager
def _feather(path: Path, schema: pa.Schema) -> Iterator[_Writer]:
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_file(str(path), schema, options=options) as writer:
        yield writer


@contextlib.contextmanager
def _csv(path: Path, schema: pa.Schema) -> Iterator[_Writer]:
    options = pacsv.WriteOptions(quoting_style="needed")
    with pacsv.CSVWriter(str(path), schema, write_options=options) as writer:
        yield writer


class _JsonLines:
    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write_batch(self, batch: pa.RecordBatch, /) -> None:
        columns = [_json_values(column) for column in batch.columns]
        for row in zip(*columns, strict=True):
            line = dict(zip(batch.schema.names, row, strict=True))
            self._file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")


@contextlib.contextmanager
def _json_lines(path: Path, _: pa.Schema) -> Iterator[_Writer]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield _JsonLines(file)


def _json_values(column: pa.Array) -> list[Any]:
    """Return Python values, float32 with as many digits as tell it from its neighbours."""
    if pa.types.is_list(column.type):
        flat = _json_values(column.flatten())
        ends = np.cumsum(pc.fill_null(pc.call_function("list_value_length", [column]), 0)).tolist()
        there = column.is_valid().to_pylist()
        starts = [0, *ends[:-1]]
        return [flat[a:b] if ok else None for a, b, ok in zip(starts, ends, there, strict=True)]
    if pa.types.is_float32(column.type):
        texts = column.to_numpy(zero_copy_only=False).astype(str)
        values = texts.astype(np.float64).tolist()
        there = column.is_valid().to_pylist()
        return [value if ok else None for value, ok in zip(values, there, strict=True)]
    return column.to_pylist()


_Change = Callable[[pa.Table], pa.Table]
_Open = Callable[[Path, pa.Schema], "contextlib.AbstractContextManager[_Writer]"]

_OTHERS: dict[str, tuple[_Change, _Open]] = {
    ".feather": (_as_it_is, _feather),
    ".csv": (_with_a_column_a_number, _csv),
    ".jsonl": (_with_empty_cells, _json_lines),
}
"""End of a table's name => what is changed, and how it is written."""

FORMATS = (".parquet", *_OTHERS)
"""Ends of the names of tables."""
