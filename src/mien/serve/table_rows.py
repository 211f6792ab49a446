"""The rows of a table that are shown: all columns but the codes, in memory as Arrow columns."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from mien.columns import CODES, FACE_FOUND
from mien.errors import MienError
from mien.media.names import to_text
from mien.serve.errors import ApiError
from mien.table.read import column_names, data_frame, read_columns
from mien.table.schema import read_info

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NO_CLASS", "Classes", "Kind", "TableRows", "chosen_by_bits", "classes_of", "existing"]

pc: Any = pyarrow.compute  # most of whose functions are made when it is imported

Kind = Literal["number", "boolean", "text"]
NO_CLASS = 255
"""Number of the class of a row that has no value."""
_TEXT = 300
"""Characters of a cell that are shown."""


@dataclass(frozen=True, eq=False)
class Classes:
    """The values of a column of text, or yes and no: the most frequent by name, the rest as one."""

    names: tuple[str, ...]
    """Of classes, by name where all are here, else the most frequent first."""
    counts: tuple[int, ...]
    """Rows of each."""
    index: NDArray[np.uint8]
    """Number of each row's class; `len(names)`: another; `NO_CLASS`: no value. [N]."""
    others: int
    """Different values that have no class of their own."""
    other_rows: int
    missing: int
    """Rows without a value."""


class TableRows:
    """Columns of one table, of the rows that have a face."""

    def __init__(self, path: Path, most: int) -> None:
        """Read a table, one column after another.

        Args:
            path: of the Parquet file.
            most: rows that are shown; of more, so many evenly chosen ones.

        Raises:
            MienError: it cannot be read, is no table of faces, or has no face.
        """
        self.path = path
        self._stamp = _stamp(path)
        names = [name for name in column_names(path) if name not in CODES]
        first = read_columns(path, ["path", FACE_FOUND])
        whole = np.asarray(first.column(FACE_FOUND), dtype=bool)
        found = np.flatnonzero(whole)
        if not len(found):
            raise MienError(f"{to_text(path)} has no row with a face")
        self.total, self.without = len(found), len(whole) - len(found)
        if len(found) > most:
            found = found[np.linspace(0, len(found) - 1, most).round().astype(int)]
        self.places = found
        """Numbers of the rows in the file, from 0. [N]."""
        self.rows_in_file = len(whole)
        taken = None if len(found) == len(whole) else pa.array(found)
        schemas, columns = [], []
        for name in names:
            column = read_columns(path, [name])
            schemas.append(column.schema.field(0))
            columns.append(_shown(column if taken is None else column.take(taken)))
        fields = [f.with_type(c.type) for f, c in zip(schemas, columns, strict=True)]
        self._table = pa.Table.from_arrays(columns, schema=pa.schema(fields, first.schema.metadata))
        self.info = read_info(first.schema)
        self.kinds: dict[str, Kind] = {}
        """Columns that can be a colour or a filter, and what they hold."""
        for field in self._table.schema:
            kind = _kind(field.type)
            if kind is not None:
                self.kinds[field.name] = kind
        self._made: dict[str, pa.ChunkedArray] = {}

    def __len__(self) -> int:
        return len(self.places)

    def check_unchanged(self) -> None:
        """See that the file is the one that was opened.

        Raises:
            ApiError: it is another, or gone.
        """
        if _stamp(self.path) != self._stamp:
            raise ApiError(
                "table_changed",
                f"{to_text(self.path.name)} has changed since it was opened: start mien view again",
            )

    def add(self, name: str, values: pa.Array | NDArray[Any]) -> None:
        """Add a column that is not in the file: coloured and filtered by, not exported."""
        column = pa.chunked_array([pa.array(values, from_pandas=True)])
        kind = _kind(column.type)
        assert kind is not None
        assert len(column) == len(self)
        self._made[name] = column
        self.kinds[name] = kind

    def values(self, name: str) -> pa.ChunkedArray:
        """Return a column.

        Raises:
            ApiError: there is no such column.
        """
        if name in self._made:
            return self._made[name]
        if name not in self.kinds:
            raise ApiError("invalid", "there is no such column in the table")
        return self._table.column(name)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """Return a column of numbers, NaN where there is none. [N].

        Raises:
            ApiError: there is no such column, or it holds something else.
        """
        values = self.values(name)
        if self.kinds[name] != "number":
            raise ApiError("invalid", f"the column {name} holds no numbers")
        return np.asarray(values.cast(pa.float64()).to_numpy(), dtype=np.float64)

    def classes(self, name: str, most: int) -> Classes:
        """Return a column of text or of yes and no as classes.

        Raises:
            ApiError: there is no such column.
        """
        return classes_of(self.values(name), most)

    def row(self, point: int) -> dict[str, Any]:
        """Return the cells of a row: text, numbers, yes and no; None: nothing."""
        cells = self._table.slice(point, 1).to_pydict()
        return {name: _plain(value) for name, (value,) in cells.items()}

    def table(self, points: NDArray[np.int64]) -> pa.Table:
        """Return all columns of some rows, in this order."""
        return self._table.take(pa.array(points))

    def frame(self, points: NDArray[np.int64]) -> pd.DataFrame:
        """Return all columns of some rows, in this order."""
        return data_frame(self.table(points))

    def videos(self, most: int) -> dict[str, int]:
        """Return the videos of which several frames are in the table, and their faces, by name."""
        if not {"time_s", "track_id"} <= set(self._table.column_names):
            return {}
        timed = self._table.select(["path", "time_s"]).filter(pc.field("time_s").is_valid())
        counted = timed.group_by("path").aggregate(
            [("time_s", "count_distinct"), ("time_s", "count")]
        )
        several = counted.filter(pc.field("time_s_count_distinct") > 1).sort_by("path")
        several = several.slice(0, most)
        names, faces = several.column("path").to_pylist(), several.column("time_s_count")
        return dict(zip(names, faces.to_pylist(), strict=True))

    def timed(self, path: str) -> NDArray[np.int64]:
        """Return the rows of a video whose times are known. [T]."""
        same = pc.equal(self._table.column("path"), path)
        there = pc.is_valid(self._table.column("time_s"))
        return np.flatnonzero(np.asarray(pc.and_(same, there)))


def classes_of(values: pa.ChunkedArray, most: int) -> Classes:
    """Return texts, or yes and no, as at most `most` classes, the last for all others."""
    if pa.types.is_boolean(values.type):
        values = pc.if_else(values, "yes", "no")
    coded = values.combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    texts = coded.dictionary
    index = coded.indices.fill_null(-1).to_numpy()
    counts = np.bincount(index[index >= 0], minlength=len(texts))
    if len(texts) > most:  # as frequent ones: those that come first in the table
        kept = np.argsort(-counts, kind="stable")[: most - 1]
    else:
        kept = np.asarray(pc.sort_indices(texts), dtype=np.int64)
    numbers = np.full(len(texts) + 1, len(kept), np.uint8)
    numbers[kept] = np.arange(len(kept))
    numbers[-1] = NO_CLASS  # index -1
    return Classes(
        names=tuple(texts.take(pa.array(kept)).to_pylist()),
        counts=tuple(int(counts[i]) for i in kept),
        index=numbers[index],
        others=len(texts) - len(kept),
        other_rows=int(counts.sum() - counts[kept].sum()),
        missing=int((index < 0).sum()),
    )


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _shown(table: pa.Table) -> pa.ChunkedArray:
    """Return a table's one column in one piece and a type that can be computed with."""
    column = table.column(0)
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if str(kind) in ("string_view", "large_string"):
        kind = pa.string()
    if pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        kind = pa.float64()
    return pa.chunked_array([column.cast(kind).combine_chunks()], kind)


def _kind(kind: pa.DataType) -> Kind | None:
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return "number"
    if pa.types.is_boolean(kind):
        return "boolean"
    return "text" if pa.types.is_string(kind) else None


def _plain(value: Any) -> str | float | bool | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return float(f"{float(value):.6g}") if math.isfinite(value) else None
    return str(value)[:_TEXT]


def chosen_by_bits(bits: bytes, count: int) -> NDArray[np.int64]:
    """Return the rows whose bit is set, the first bit of a byte being its lowest. [K].

    Raises:
        ApiError: there are not as many bits as rows, or none is set.
    """
    if len(bits) != (count + 7) // 8:
        raise ApiError("invalid", f"bits: one for each of the {count} rows, eight a byte")
    found = np.flatnonzero(np.unpackbits(np.frombuffer(bits, np.uint8), bitorder="little"))
    if not len(found) or found[-1] >= count:
        raise ApiError("invalid", "bits: no row is chosen, or one that is not there")
    return found


def existing(points: Sequence[int], count: int) -> NDArray[np.int64]:
    """Return numbers of rows as an array; raises ApiError where one is not there."""
    for point in points:
        if not 0 <= point < count:
            raise ApiError("invalid", f"row: there are {count}, counted from 0")
    return np.asarray(points, dtype=np.int64)
