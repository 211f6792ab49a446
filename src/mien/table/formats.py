"""A finished table in the form that its name asks for: Parquet, Feather, CSV or JSON lines.

Feather holds what Parquet does, metadata and zeros included. CSV and JSON lines are for people and
for programs that know neither: there a vector that means nothing is empty, in CSV a vector is a
column for each number (`identity_0`, `identity_1`, ...), and texts are no formulas. What another
program has added goes along where the form can hold it; else nothing is written.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import json
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.columns import CODES
from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.names import is_utf8, to_text
from mien.media.outputs import check_outputs
from mien.media.spreadsheet import safe_cell
from mien.table.naming import check_schema, named
from mien.table.place import opened_file, place_of
from mien.table.read import code_matrix, open_table, reading, valid_rows
from mien.table.writer import read_checked, write_groups

__all__ = [
    "FORMATS",
    "check_format",
    "convert",
    "convert_table",
    "opened_table",
    "write_as",
    "write_table",
]

_ROWS = 1024


class _Writer(Protocol):
    def write_batch(self, batch: pa.RecordBatch, /) -> None: ...


def check_format(out: str | Path) -> None:
    """Refuse a table whose name does not say in which form it is to be written.

    Raises:
        MienError: the name does not end in one of `FORMATS`, or is one that pyarrow cannot open.
    """
    if not is_utf8(out):
        raise MienError(f"{to_text(out)}: the path of a table must be UTF-8; give another name")
    if Path(out).suffix.lower() not in FORMATS:
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


def convert(parquet: Path | pa.NativeFile, out: Path, suffix: str, *, schema: str = "mien") -> None:
    """Write a Parquet table in another form, a thousand rows at a time.

    Args:
        parquet: the table.
        out: the file to be written.
        suffix: one of `FORMATS`.
        schema: one of `mien.columns.SCHEMAS`: whose names the columns get.

    Raises:
        MienError: a column holds what the form cannot, or is missing in that schema.
        OSError: if it cannot be written.
    """
    with pq.ParquetFile(parquet, pre_buffer=False) as table:
        batches = table.iter_batches(batch_size=_ROWS)
        _write_named(table.schema_arrow, batches, out, suffix, schema)


def write_as(out: Path, suffix: str, write: Callable[[Path], None]) -> None:
    """Write a table in the form that a suffix of `FORMATS` asks for.

    Args:
        out: the file to be written; another stands beside it for a while.
        suffix: one of `FORMATS`.
        write: writes the table as Parquet at a path.

    Raises:
        OSError: if it cannot be written.
    """
    if suffix == ".parquet":
        write(out)
        return
    parquet = out.with_name(f"{out.name}.parquet")
    try:
        write(parquet)
        convert(parquet, out, suffix)
    finally:
        parquet.unlink(missing_ok=True)


def convert_table(
    source: str | Path, out: str | Path, *, overwrite: bool = False, schema: str = "mien"
) -> int:
    """Write a Parquet or Feather table in another form and return the number of its rows.

    Args:
        source: the table.
        out: the file to write, its form by its name.
        overwrite: whether it may be replaced.
        schema: mien; openface, pyfeat: what those programs know too, under their names.

    Raises:
        MienError: the table cannot be read, or is CSV or JSON lines, which do not say what made
            them; it lacks what the schema needs; or `out` cannot be written.
    """
    source, out = place_of(source), place_of(out)
    check_schema(schema)
    check_format(out)
    check_outputs([out], inputs=[source], overwrite=overwrite)
    rows = 0

    def counted(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        nonlocal rows
        for batch in batches:
            rows += batch.num_rows
            yield batch

    with opened_table(source) as (fields, batches), replacing(out, overwrite=overwrite) as place:
        try:
            _write_named(fields, counted(batches), place, Path(out).suffix.lower(), schema)
        except _UnfitError as error:
            raise MienError(f"{to_text(source)}: {error}") from error
    return rows


@contextlib.contextmanager
def opened_table(source: Path | str) -> Iterator[tuple[pa.Schema, Iterator[pa.RecordBatch]]]:
    """Give the schema and the rows of a Parquet or Feather table.

    Raises:
        MienError: it cannot be read, or is of another form.
    """
    suffix = Path(source).suffix.lower()
    if suffix in (".csv", ".jsonl"):
        raise MienError(
            f"{source}: {suffix} does not say what made it, nor which numbers are one vector; "
            "read the .parquet or .feather table"
        )
    if suffix != ".feather":
        with open_table(source) as file:
            schema = file.schema_arrow
        yield schema, read_checked(source)
        return
    with contextlib.ExitStack() as stack:
        with reading(source, "Feather"):
            where = stack.enter_context(opened_file(source))
            raw = pa.OSFile(str(where)) if isinstance(where, Path) else pa.PythonFile(where)
            file = stack.enter_context(pa.ipc.open_file(stack.enter_context(raw)))
            schema = file.schema
        yield schema, _feather_batches(source, file)


def _feather_batches(
    source: Path | str, file: pa.ipc.RecordBatchFileReader
) -> Iterator[pa.RecordBatch]:
    for number in range(file.num_record_batches):
        with reading(source, "Feather"):
            batch = file.get_batch(number)
            batch.validate(full=True)
        yield batch


class _UnfitError(MienError):
    """A column holds what a form cannot; does not name the table."""


def _write_named(
    fields: pa.Schema, batches: Iterable[pa.RecordBatch], out: Path, suffix: str, schema: str
) -> None:
    if schema != "mien":
        fields, batches = named(fields, batches, schema)
    if suffix == ".parquet":
        write_groups(batches, out, fields)
    else:
        _write(fields, batches, out, suffix)


def _write(schema: pa.Schema, batches: Iterable[pa.RecordBatch], out: Path, suffix: str) -> None:
    change, opened = _OTHERS[suffix]
    batches = iter(batches)
    begun = _until_known(schema, batches)
    first = change(pa.Table.from_batches(begun, schema=schema))
    with opened(out, first.schema) as writer:
        for batch in chain(begun, batches):
            changed = change(pa.Table.from_batches([batch], schema=schema))
            if changed.schema.names != first.schema.names:
                raise _UnfitError("a column of codes holds lists of several lengths")
            for part in changed.cast(first.schema).combine_chunks().to_batches():
                writer.write_batch(part)


def _until_known(schema: pa.Schema, batches: Iterator[pa.RecordBatch]) -> list[pa.RecordBatch]:
    """Return as many batches as tell how long the lists of codes are: none where the types do."""
    unknown = {
        field.name
        for field in schema
        if field.name in CODES and not pa.types.is_fixed_size_list(field.type)
    }
    begun: list[pa.RecordBatch] = []
    while unknown and (batch := next(batches, None)) is not None:
        begun.append(batch)
        unknown = {name for name in unknown if not batch.column(name).is_valid().true_count}
    return begun


def _as_it_is(table: pa.Table) -> pa.Table:
    return table


def _with_empty_cells(table: pa.Table) -> pa.Table:
    """Return the table with null in place of vectors that mean nothing; float32 stays."""
    for place, name in enumerate(table.column_names):
        if name in CODES:
            matrix = _codes(table, name)
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
            matrix = _codes(table, name)
            names += [f"{name}_{i}" for i in range(matrix.shape[1])]
            columns += [pa.array(values, from_pandas=True) for values in matrix.T]
            continue
        kind = column.type
        if pa.types.is_dictionary(kind):
            column = column.cast(kind.value_type)
            kind = column.type
        if pa.types.is_nested(kind) or "binary" in str(kind):
            raise _UnfitError(
                f"the column {name} holds {str(kind)[:100]}, for which CSV has no form; leave it "
                "out, or write .parquet or .feather"
            )
        if _is_text(kind):
            texts = [None if text is None else safe_cell(text) for text in column.to_pylist()]
            column = pa.array(texts, type=pa.string())
        elif pa.types.is_boolean(kind):
            column = pc.cast(column, pa.string())
        names.append(safe_cell(name))
        columns.append(column)
    return pa.Table.from_arrays(columns, names=names)


def _codes(table: pa.Table, name: str) -> NDArray[np.float32]:
    """Return a column of codes, NaN where it means nothing. [N, D]."""
    try:
        return code_matrix(table.column(name), valid_rows(table, name), what=f"the column {name}")
    except MienError as error:
        raise _UnfitError(str(error)) from error


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or str(kind) == "string_view"


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
            try:
                text = json.dumps(line, ensure_ascii=False, allow_nan=False, default=_as_text)
            except (TypeError, ValueError) as error:
                raise _unfit_json(line) from error
            self._file.write(text + "\n")


def _as_text(value: object) -> str:
    """Return what JSON has no form for as the text that it is known by."""
    if isinstance(value, dt.date | dt.time):
        return value.isoformat()
    if isinstance(value, dt.timedelta | decimal.Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")


def _unfit_json(line: dict[str, Any]) -> _UnfitError:
    """Return why a line could not be written: the first column that cannot."""
    for name, value in line.items():
        try:
            json.dumps(value, allow_nan=False, default=_as_text)
        except (TypeError, ValueError):
            return _UnfitError(
                f"the column {name} holds {str(value)[:40]}, for which JSON has no form; leave it "
                "out, or write .parquet or .feather"
            )
    return _UnfitError("a row has no form in JSON; write .parquet or .feather")


@contextlib.contextmanager
def _json_lines(path: Path, _: pa.Schema) -> Iterator[_Writer]:
    with path.open("w", encoding="utf-8", newline="\n") as file:
        yield _JsonLines(file)


def _json_values(column: pa.Array) -> list[Any]:
    """Return Python values, float32 with as many digits as tell it from its neighbours."""
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        flat = _json_values(column.flatten())
        ends = np.cumsum(pc.fill_null(pc.call_function("list_value_length", [column]), 0)).tolist()
        there = column.is_valid().to_pylist()
        starts = [0, *ends[:-1]]
        return [flat[a:b] if ok else None for a, b, ok in zip(starts, ends, there, strict=True)]
    if not pa.types.is_floating(column.type):
        return column.to_pylist()
    numbers = column.to_numpy(zero_copy_only=False)
    if pa.types.is_float32(column.type):
        numbers = numbers.astype(str)
    # What is no number, NaN, is nothing.
    values = numbers.astype(np.float64)
    there = np.asarray(column.is_valid()) & ~np.isnan(values)
    return [value if ok else None for value, ok in zip(values.tolist(), there, strict=True)]


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
