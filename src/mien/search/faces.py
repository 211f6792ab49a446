"""The faces of a table that can be searched for: their codes, and what names them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mien.columns import CODES, EYES_FOUND, FACE_FOUND
from mien.errors import MienError
from mien.media.names import to_text
from mien.search.file import ROWS
from mien.table.read import code_matrix, column_names, iterate_columns, table_info, valid_rows

__all__ = ["Faces", "read_faces", "weights_of"]

_BATCH = 8192
_NEEDED = ("path", "frame")


@dataclass(frozen=True, eq=False)
class Faces:
    """Some faces of a table."""

    vectors: NDArray[np.float32] = field(repr=False)
    """Their codes as they stand there, finite and not 0. [n, D]."""
    rows: pa.Table
    """As `mien.search.file.ROWS`, without `row`. [n]."""
    left_out: int
    """Rows that were passed over for these: no face, or of gaze no eyes."""


def weights_of(table: str | Path) -> str:
    """Return the id of the weights that made a table.

    Raises:
        MienError: it does not say, or cannot be read.
    """
    info = table_info(table)
    if info is None or not info.model_id:
        raise MienError(
            f"{to_text(table)} does not say which weights made it: codes of different weights "
            "cannot be compared; write it with mien embed"
        )
    return info.model_id


def read_faces(
    table: str | Path, code: str, *, person_column: str | None = None
) -> Iterator[Faces]:
    """Yield the faces of a table, some thousand rows at a time.

    Args:
        table: the file.
        code: the column with the codes: any that holds lists of numbers of one length.
        person_column: the column with who it is.

    Raises:
        MienError: the table cannot be read, lacks a column, or holds codes that are not finite.
    """
    there = column_names(table)
    shown = to_text(table)
    if code not in there:
        raise MienError(
            f"{shown} has no column {code}: its weights, or the mien that made it, had none; embed "
            "again, or name another with --code"
        )
    if person_column is not None and person_column not in there:
        raise MienError(f"{shown} has no column {person_column} with who it is")
    checks = [name for name in (FACE_FOUND, EYES_FOUND) if name in there] if code in CODES else []
    kept = [name for name in ROWS.names if name in there and name not in ("row", "person")]
    names = dict.fromkeys([*_NEEDED, *kept, *checks, code])
    if person_column is not None:
        names[person_column] = None
    first = 0
    for batch in iterate_columns(table, list(names), rows=_BATCH):
        what = f"{shown}: the column {code}"
        matrix = code_matrix(batch.column(code), valid_rows(batch, code), what=what)
        # A row that is null means nothing; one that holds NaN in a face's code is a fault.
        there_is = np.asarray(batch.column(code).is_valid())
        valid = valid_rows(batch, code)
        there_is &= np.ones(len(batch), bool) if valid is None else valid
        bad = there_is & ~np.isfinite(matrix).all(axis=1)
        if bad.any():
            raise MienError(
                f"{shown} holds NaN or infinity in {code}, row {first + int(bad.argmax()) + 1}; "
                "embed that file again"
            )
        there_is &= matrix.any(axis=1)
        rows = _rows(batch, person_column).filter(pa.array(there_is))
        yield Faces(matrix[there_is], rows, int((~there_is).sum()))
        first += len(batch)


def _rows(batch: pa.Table, person_column: str | None) -> pa.Table:
    columns = []
    for kind in ROWS:
        if kind.name == "row":
            continue
        name = person_column if kind.name == "person" else kind.name
        if name is None or name not in batch.column_names:
            columns.append(pa.nulls(len(batch), kind.type))
            continue
        column = batch.column(name)
        if kind.name == "person" and pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        try:
            columns.append(column.cast(kind.type))
        except pa.ArrowException as error:
            raise MienError(f"the column {name} does not hold names: {column.type}") from error
    fields = [kind for kind in ROWS if kind.name != "row"]
    return pa.Table.from_arrays(columns, schema=pa.schema(fields))
