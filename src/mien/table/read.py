"""Read a table of faces back: columns as a DataFrame, codes as plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.aliases import COLUMNS as OLD_NAMES
from mien.columns import CODES
from mien.errors import MienError
from mien.table.schema import TableInfo, read_info

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "FaceTable",
    "code_matrix",
    "column_names",
    "data_frame",
    "open_table",
    "read_columns",
    "read_table",
    "some_columns",
    "table_info",
]


@dataclass(frozen=True)
class FaceTable:
    """A table of faces: `frame` to look at, `codes(name)` to compute with."""

    path: Path
    frame: pd.DataFrame
    """Every column but the codes, one row per face per frame; its `attrs` say what made it."""
    info: TableInfo | None
    """What made the table; None if mien did not."""
    code_names: tuple[str, ...] = CODES
    """The columns of codes that the table has."""

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
        return code_matrix(read_columns(self.path, [name]).column(name))


def read_table(path: str | Path) -> FaceTable:
    """Read a table of faces; the codes are read when they are asked for.

    Raises:
        MienError: if the file is missing, or no table of faces.
    """
    path = Path(path)
    there = column_names(path)
    for name in ("path", "face_found"):
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
    with open_table(Path(path)) as file:
        return tuple(_present(name) for name in file.schema_arrow.names)


def read_columns(path: str | Path, names: Sequence[str]) -> pa.Table:
    """Read some columns of a table by their present names, in this order.

    Raises:
        MienError: if the file is missing or no Parquet file, or has no such column.
    """
    path = Path(path)
    with open_table(path) as file:
        stored = {_present(name): name for name in file.schema_arrow.names}
        missing = [name for name in names if name not in stored]
        if missing:
            raise MienError(f"{path} has no column {missing[0]}: it is no table of faces")
        table = file.read(columns=[stored[name] for name in names])
    return _renamed(table.select([stored[name] for name in names]))


def some_columns(path: str | Path, names: Sequence[str]) -> pd.DataFrame:
    """Return those of some columns that a table has, as `data_frame` does.

    Raises:
        MienError: if the file is missing, or no Parquet file.
    """
    there = column_names(path)
    return data_frame(read_columns(path, [name for name in names if name in there]))


def data_frame(table: pa.Table) -> pd.DataFrame:
    """Return the table as a DataFrame; codes become one float32 array [D] a row, or None.

    Columns that were written under an old name have their present one.

    `attrs` holds what made the table and, under "columns", each column's unit, frame, range and
    description.
    """
    import pandas as pd

    table = _renamed(table)
    # Numbers of faces and tracks stay whole numbers, and yes and no what they are, where some are
    # missing.
    whole = {pa.int32(): pd.Int32Dtype()}
    frame = table.to_pandas(types_mapper=whole.get)
    if "eyes_found" in frame:
        frame["eyes_found"] = frame["eyes_found"].astype(pd.BooleanDtype())
    info = read_info(table.schema)
    if info is not None:
        names = ("version", "model_id", "detector", "euler_order", "camera_frame")
        frame.attrs.update({name: getattr(info, name) for name in names})
        frame.attrs["options"] = dict(info.options)
    frame.attrs["columns"] = {
        field.name: {k.decode(): v.decode() for k, v in (field.metadata or {}).items()}
        for field in table.schema
    }
    return frame


def table_info(path: str | Path) -> TableInfo | None:
    """Return what made the table in this file; None if mien did not."""
    with open_table(Path(path)) as file:
        return read_info(file.schema_arrow)


def code_matrix(column: pa.ChunkedArray) -> np.ndarray:
    """Return a column of codes as one matrix, NaN in the rows that are null. Float32 [N, D]."""
    length = column.type.list_size
    matrix = np.full((len(column), length), np.nan, dtype=np.float32)
    start = 0
    for chunk in column.chunks:
        stop = start + len(chunk)
        # flatten() leaves out what belongs to null rows.
        values = np.asarray(chunk.flatten(), dtype=np.float32).reshape(-1, length)
        matrix[start:stop][np.asarray(chunk.is_valid())] = values
        start = stop
    return matrix


def open_table(path: Path) -> pq.ParquetFile:
    """Open a Parquet file for reading.

    Raises:
        MienError: if it is missing or no Parquet file.
    """
    if not path.is_file():
        raise MienError(f"there is no table {path}; write one with mien embed")
    try:
        return pq.ParquetFile(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise MienError(f"{path} is no Parquet file that can be read: {reason}") from error


def _renamed(table: pa.Table) -> pa.Table:
    """Return a table with its columns' present names; `rename_columns` would drop metadata."""
    fields = [field.with_name(_present(field.name)) for field in table.schema]
    return pa.Table.from_arrays(table.columns, schema=pa.schema(fields, table.schema.metadata))


def _present(name: str) -> str:
    return OLD_NAMES.get(name, name)
