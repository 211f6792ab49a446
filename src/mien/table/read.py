"""Read a table of faces back: columns as a DataFrame, codes as plain arrays."""

from __future__ import annotations

import contextlib
import html
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.aliases import COLUMNS as OLD_NAMES
from mien.columns import CODES, EYES_FOUND, FACE_FOUND, NEED_EYES
from mien.errors import MienError
from mien.media.addresses import shown
from mien.media.names import to_text
from mien.table.place import opened_file, place_of
from mien.table.schema import ARROW_TYPES, COLUMNS, TableInfo, read_info

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FaceTable",
    "code_matrix",
    "column_names",
    "data_frame",
    "iterate_columns",
    "of_its_type",
    "open_table",
    "present_name",
    "read_codes",
    "read_columns",
    "read_table",
    "reading",
    "some_columns",
    "table_info",
    "valid_rows",
]

_TYPES = {c.name: ARROW_TYPES[c.kind] for c in COLUMNS if c.kind in ARROW_TYPES}
_SHOWN = 10
_NEVER_NULL = ("path", "frame", FACE_FOUND)
_CURES = {
    ".feather": "; make one of it with mien table convert",
    ".csv": "; mien embed writes .parquet, too, and only that can be read back",
    ".jsonl": "; mien embed writes .parquet, too, and only that can be read back",
}
_OLD_NULLS = "Expected all lists to be of size"


@dataclass(frozen=True)
class FaceTable:
    """A table of faces: `frame` to look at, `codes(name)` to compute with."""

    path: Path | str
    """Its file; a text where that is an address."""
    frame: pd.DataFrame
    """Every column but the codes, one row per face per frame; its `attrs` say what made it."""
    info: TableInfo | None
    """What made the table; None if mien did not."""
    code_names: tuple[str, ...] = CODES
    """The columns of codes that the table has."""

    def _repr_html_(self) -> str:
        """As a notebook shows it: how much there is, and the first rows."""
        found = int(np.count_nonzero(self.frame[FACE_FOUND].to_numpy(dtype=bool)))
        made = "" if self.info is None else f", weights {self.info.model_id}"
        head = f"{Path(self.path).name}: {len(self.frame):,} rows, {found:,} faces{made}; codes: "
        line = html.escape(head + (", ".join(self.code_names) or "none"))
        return f"<p>{line}</p>{self.frame.head(_SHOWN).to_html()}"

    def codes(self, name: str) -> np.ndarray:
        """Return a code column, NaN where there is no face or, of gaze, no eyes. Float32 [N, D].

        Args:
            name: one of `mien.columns.CODES`.

        Raises:
            MienError: if the table has no such column of codes.
        """
        if name not in CODES:
            raise MienError(f"{name} is no column of codes; there are {', '.join(CODES)}")
        if name not in self.code_names:
            raise MienError(
                f"{self.path} has no column {name}: its weights, or the mien that made it, "
                "had none; embed again"
            )
        return read_codes(self.path, name)


def read_table(path: str | Path) -> FaceTable:
    """Read a table of faces; the codes are read when they are asked for.

    Raises:
        MienError: if the file is missing, or no table of faces.
    """
    path = place_of(path)
    there = column_names(path)
    for name in ("path", FACE_FOUND):
        if name not in there:
            raise MienError(f"{path} has no column {name}: it is no table of faces")
    table = read_columns(path, [name for name in there if name not in CODES])
    names = tuple(name for name in CODES if name in there)
    return FaceTable(path, data_frame(table), read_info(table.schema), names)


def column_names(path: str | Path) -> tuple[str, ...]:
    """Return the names of a table's columns, old ones by their present names.

    Raises:
        MienError: if the file is missing, or no Parquet file.
    """
    with open_table(path) as file:
        return tuple(present_name(name) for name in file.schema_arrow.names)


def read_columns(path: str | Path, names: Sequence[str]) -> pa.Table:
    """Read some columns of a table by their present names, in this order.

    Raises:
        MienError: if the file is missing or no Parquet file, or has no such column.
    """
    path = place_of(path)
    with open_table(path) as file:
        stored = {present_name(name): name for name in file.schema_arrow.names}
        table = file.read(columns=[stored[name] for name in _there(path, names, stored)])
    return _typed(path, names, stored, table)


def iterate_columns(path: str | Path, names: Sequence[str], *, rows: int) -> Iterator[pa.Table]:
    """Yield some columns of a table as `read_columns` gives them, at most `rows` rows at a time.

    Raises:
        MienError: as `read_columns`.
    """
    path = place_of(path)
    with open_table(path) as file:
        stored = {present_name(name): name for name in file.schema_arrow.names}
        columns = [stored[name] for name in _there(path, names, stored)]
        for batch in file.iter_batches(batch_size=rows, columns=columns):
            yield _typed(path, names, stored, pa.Table.from_batches([batch]))


def _there(path: Path | str, names: Sequence[str], stored: Mapping[str, str]) -> Sequence[str]:
    missing = [name for name in names if name not in stored]
    if missing:
        raise MienError(f"{path} has no column {missing[0]}: it is no table of faces")
    return names


def _typed(
    path: Path | str, names: Sequence[str], stored: Mapping[str, str], table: pa.Table
) -> pa.Table:
    table = _renamed(table.select([stored[name] for name in names]))
    fields = [table.schema.field(name) for name in names]
    columns = [of_its_type(path, name, table.column(name)) for name in names]
    fields = [f.with_type(c.type) for f, c in zip(fields, columns, strict=True)]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields, table.schema.metadata))


def read_codes(path: str | Path, name: str) -> NDArray[np.float32]:
    """Return a column of codes, NaN where there is no face or, of gaze, no eyes. [N, D].

    Raises:
        MienError: if the file is missing or no Parquet file, or has no such column of codes.
    """
    checks = [check for check in _validity(name) if check in column_names(path)]
    table = read_columns(path, [name, *checks])
    what = f"{path}: the column {name}"
    return code_matrix(table.column(name), valid_rows(table, name), what=what)


def some_columns(path: str | Path, names: Sequence[str]) -> pd.DataFrame:
    """Return those of some columns that a table has, as `data_frame` does, and their validity.

    Raises:
        MienError: if the file is missing, or no Parquet file.
    """
    wanted = dict.fromkeys([*names, *(check for name in names for check in _validity(name))])
    there = column_names(path)
    return data_frame(read_columns(path, [name for name in wanted if name in there]))


def data_frame(table: pa.Table) -> pd.DataFrame:
    """Return the table as a DataFrame; codes become one float32 array [D] a row.

    They are None where no face is found, of gaze where no eyes are found. Columns that were
    written under an old name have their present one.

    `attrs` holds what made the table and, under "columns", each column's unit, frame, range and
    description.
    """
    import pandas as pd

    table = _renamed(table)
    # Numbers of faces and tracks stay whole numbers, and yes and no what they are, where some are
    # missing.
    whole = {pa.int32(): pd.Int32Dtype()}
    codes = [name for name in table.column_names if name in CODES]
    frame = table.drop_columns(codes).to_pandas(types_mapper=whole.get, ignore_metadata=True)
    if EYES_FOUND in frame:
        frame[EYES_FOUND] = frame[EYES_FOUND].astype(pd.BooleanDtype())
    for name in codes:
        matrix = code_matrix(table.column(name), what=f"the column {name}")
        valid = valid_rows(table, name)
        if valid is None:
            valid = np.ones(len(matrix), dtype=bool)
        valid &= np.asarray(table.column(name).is_valid())
        cells = [row if there else None for row, there in zip(matrix, valid, strict=True)]
        place = table.column_names.index(name)
        frame.insert(min(place, frame.shape[1]), name, pd.Series(cells, dtype=object))
    info = read_info(table.schema)
    if info is not None:
        names = ("version", "model_id", "detector", "euler_order", "camera_frame")
        frame.attrs.update({name: getattr(info, name) for name in names})
        frame.attrs["options"] = dict(info.options)
    frame.attrs["columns"] = {
        field.name: {_text(k): _text(v) for k, v in (field.metadata or {}).items()}
        for field in table.schema
    }
    return frame


def table_info(path: str | Path) -> TableInfo | None:
    """Return what made the table in this file; None if mien did not."""
    with open_table(path) as file:
        return read_info(file.schema_arrow)


def code_matrix(
    column: pa.ChunkedArray, valid: NDArray[np.bool_] | None = None, *, what: str
) -> NDArray[np.float32]:
    """Return a column of codes as one matrix, NaN where a row is null or not valid. [N, D].

    Args:
        column: lists of one length: of a fixed size, as mien writes them, or others, as tables
            have that another program has written anew.
        valid: rows whose codes mean something. [N].
        what: the column's name, for errors.

    Raises:
        MienError: if it holds no lists of numbers, or lists of different lengths.
    """
    kind = column.type
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind)
    if not (lists or pa.types.is_large_list(kind)) or not pa.types.is_floating(kind.value_type):
        raise MienError(f"{what} holds {str(kind)[:100]}, not lists of numbers")
    lengths = pc.call_function("list_value_length", [column]).unique().drop_null().to_pylist()
    if pa.types.is_fixed_size_list(kind):
        lengths = [kind.list_size]
    if len(lengths) > 1 or 0 in lengths:
        raise MienError(f"{what} holds lists of {len(lengths)} lengths: {lengths[:5]}")
    length = lengths[0] if lengths else 0
    matrix = np.full((len(column), length), np.nan, dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        stop = start + len(chunk)
        # flatten() leaves out what belongs to null rows.
        values = np.asarray(chunk.flatten().to_numpy(zero_copy_only=False), dtype=np.float32)
        there = np.asarray(chunk.is_valid())
        matrix[start:stop][there] = values.reshape(int(there.sum()), length)
        start = stop
    if valid is not None:
        matrix[~valid] = np.nan
    return matrix


@contextlib.contextmanager
def open_table(path: str | Path) -> Iterator[pq.ParquetFile]:
    """Open a Parquet file, here or at an address, for reading.

    Raises:
        MienError: if it is missing or no Parquet file, has two columns of one name, or what is
            read of it is damaged.
    """
    path = place_of(path)
    # Buffering ahead keeps all that was read until the file is closed.
    with (
        reading(path),
        opened_file(path) as source,
        pq.ParquetFile(source, pre_buffer=False) as file,
    ):
        names = [present_name(name) for name in file.schema_arrow.names]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise MienError(f"{path} has two columns {twice}: it is no table of faces")
        yield file


@contextlib.contextmanager
def reading(path: str | Path, form: str = "Parquet") -> Iterator[None]:
    """Turn what goes wrong with a Parquet file, or one of another form, into one line.

    Raises:
        MienError: in place of pyarrow's and the system's errors.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise MienError(f"the path of {to_text(path)} is not UTF-8: rename it") from error
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        reason = " ".join(str(error).split())[:200]
        if _OLD_NULLS in reason:
            raise MienError(
                f"{path} was written by mien 0.1, with nulls in its columns of codes, which "
                f"pyarrow {pa.__version__} cannot read: install pyarrow 26 or embed again"
            ) from error
        cure = _CURES.get(Path(path).suffix.lower(), "") if form == "Parquet" else ""
        raise MienError(
            f"{shown(str(path))} is no {form} file that can be read: {reason.rstrip('.')}{cure}"
        ) from error


def _validity(name: str) -> tuple[str, ...]:
    """Return the columns that say where another means something."""
    if name not in CODES:
        return ()
    return (FACE_FOUND, EYES_FOUND) if name in NEED_EYES else (FACE_FOUND,)


def valid_rows(table: pa.Table, name: str) -> NDArray[np.bool_] | None:
    """Return where a column of codes means something; None if the table does not say. [N].

    Raises:
        MienError: what says so does not say yes or no.
    """
    checks = [check for check in _validity(name) if check in table.column_names]
    if not checks:
        return None
    for check in checks:
        kind = table.schema.field(check).type
        if not pa.types.is_boolean(kind):
            raise MienError(f"the column {check} holds {str(kind)[:100]}, not true and false")
    return np.all([pc.fill_null(table.column(check), False) for check in checks], axis=0)


def of_its_type(path: Path | str, name: str, column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return a column in the type that mien writes, which other programs widen.

    Raises:
        MienError: if it holds something else, or nothing where something must be.
    """
    kind = _TYPES.get(name)
    if kind is None:
        return column
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    given, wanted = column.type, f"{path}: the column {name} holds"
    text = pa.types.is_string(given) or pa.types.is_large_string(given)
    number = pa.types.is_integer(given) or pa.types.is_floating(given)
    fits = {pa.string(): text, pa.bool_(): pa.types.is_boolean(given)}.get(kind, number)
    if not fits and not pa.types.is_null(given) and str(given) != "string_view":
        raise MienError(f"{wanted} {str(given)[:100]}, not {kind}")
    if pa.types.is_floating(given) and pa.types.is_integer(kind):
        nothing = pa.scalar(None, given)  # pandas has NaN for it
        missing = pc.call_function("is_nan", [column])
        column = pc.call_function("if_else", [missing, nothing, column])
    try:
        column = column.cast(kind)
        column.validate(full=text)  # text may be damaged where its page has no checksum
    except pa.ArrowInvalid as error:
        raise MienError(f"{wanted} what is no {kind}: {str(error)[:100]}") from error
    if name in _NEVER_NULL and column.null_count:
        row = pc.index(column.is_null(), True).as_py()
        raise MienError(f"{wanted} nothing in row {row + 1} of {len(column)}")
    return column


def _renamed(table: pa.Table) -> pa.Table:
    """Return a table with its columns' present names; `rename_columns` would drop metadata."""
    fields = [field.with_name(present_name(field.name)) for field in table.schema]
    # What pandas has written of its own may be out of date, or damaged.
    metadata = {k: v for k, v in (table.schema.metadata or {}).items() if k != b"pandas"}
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, metadata))


def present_name(name: str) -> str:
    """Return the present name of a column that may have been written under an old one."""
    return OLD_NAMES.get(name, name)


def _text(value: bytes) -> str:
    return value.decode(errors="replace")
