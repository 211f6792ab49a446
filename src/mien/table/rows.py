"""Rows of the table: from faces and their factors to Arrow record batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, cast

import numpy as np
import pyarrow as pa

from mien.columns import (
    EYES_FOUND,
    FACE_CODES,
    FACE_EMBEDDING,
    FEATURES,
    GAZE_CODE,
    LIGHT,
    POSE,
)
from mien.geometry.angles import rotation_angles
from mien.table.arrays import list_to_arrow, to_arrow
from mien.table.schema import GAZE
from mien.types import Factors, GazeCode

__all__ = ["FaceRow", "factor_columns", "record_batch"]

_NEED_EYES = (GAZE_CODE, *GAZE)


@dataclass(frozen=True)
class FaceRow:
    """One face in one frame, or why there is none: all columns but the factors."""

    path: str
    """As found under the input that was given."""
    frame: int = 0
    """Number in the video; 0 for an image."""
    time_s: float | None = None
    """Seconds from the video's start; None for an image."""
    face_id: int | None = None
    """Number within the frame; None where there is no face."""
    track_id: int | None = None
    """The same for the same face over a video's frames; None for an image."""
    face_found: bool = False
    """Whether the row has factors."""
    det_score: float | None = None
    """The detector's certainty."""
    box: tuple[float, float, float, float] | None = None
    """x1, y1, x2, y2 in pixels of the image."""
    framing: str | None = None
    """Whose idea of a face the box is: haar, yunet, or image for the whole of a crop."""
    turn_deg: int | None = None
    """Degrees counterclockwise by which the image was turned for the face to be upright."""
    side_px: float | None = None
    """Side of the square that is cut out, in pixels of the image."""
    sharpness: float | None = None
    """By `mien.embedding.quality.sharpness`."""
    reason: str | None = None
    """Why there is no face; None where all is well."""


def record_batch(
    rows: Sequence[FaceRow],
    factors: Factors | GazeCode | None,
    schema: pa.Schema,
    gaze: Mapping[str, np.ndarray] | None = None,
    probed: Mapping[str, np.ndarray] | None = None,
) -> pa.RecordBatch:
    """Return rows and factors as one record batch; without a face numbers are null, vectors 0.

    The gaze is so, too, where no eyes are found, and columns that nothing is given for.

    Args:
        rows: faces and failures, in the table's order.
        factors: those of the rows with a face, in the same order, or, of eye-region crops, the gaze
            code alone; None if there are none.
        schema: of the table, by `arrow_schema`.
        gaze: the calibrated gaze of the rows with a face, column by column. Each [B].
        probed: what probes predict of the rows with a face, column by column: texts, None where
            there is nothing, or numbers, NaN there. Each [B].

    Raises:
        ValueError: if the number of factors is not the number of rows with a face, or a code of
            the schema is not given.
    """
    found = np.array([row.face_found for row in rows], dtype=bool)
    count = 0 if factors is None else len(factors)
    if count != int(found.sum()):
        raise ValueError(f"{count} factors for {int(found.sum())} faces")
    columns = _facts(rows, schema)
    code = factors.gaze if isinstance(factors, Factors) else factors
    values = {} if factors is None else factor_columns(factors)
    values |= gaze or {}
    for name, predictions in (probed or {}).items():
        columns[name] = _predicted(predictions, found, schema.field(name).type)
    seen = found.copy()
    if code is not None:
        seen[found] = code.numpy().eyes_found
    for name in schema.names:
        if name not in columns:
            there = seen if name in _NEED_EYES else found
            columns[name] = _filled(values.get(name), there, found, schema.field(name))
    return pa.RecordBatch.from_arrays([columns[n] for n in schema.names], schema=schema)


def _facts(rows: Sequence[FaceRow], schema: pa.Schema) -> dict[str, pa.Array]:
    """Return the columns that are no factors, by name."""

    def plain(value: object) -> object:
        # Lone surrogates, which may stand in a system's message, cannot be stored.
        return value.encode(errors="backslashreplace").decode() if type(value) is str else value

    names = [field.name for field in fields(FaceRow) if field.name != "box"]
    values: dict[str, list[Any]] = {n: [plain(getattr(row, n)) for row in rows] for n in names}
    for index, name in enumerate(("x1", "y1", "x2", "y2")):
        values[name] = [None if row.box is None else row.box[index] for row in rows]
    return {name: list_to_arrow(of, schema.field(name).type) for name, of in values.items()}


def factor_columns(factors: Factors | GazeCode) -> dict[str, np.ndarray]:
    """Return every factor by the name of its column: codes [B, D], the rest [B].

    Float32, but `eyes_found` is bool; a gaze code is there even where no eyes are found.
    """
    factors = factors.numpy()
    code: Any = factors.gaze if isinstance(factors, Factors) else factors
    found: dict[str, Any] = {}
    if isinstance(factors, Factors):
        light: Any = factors.light
        names = (*FACE_CODES, FACE_EMBEDDING, FEATURES)
        found = {name: getattr(factors, name) for name in names}
        lights = (light.ambient, light.diffuse, *light.direction.T)
        angles = rotation_angles(cast("Any", factors.pose.rotation))
        found |= dict(zip((*POSE, *LIGHT), (*angles, *lights), strict=True))
    if code is not None:
        found |= {GAZE_CODE: code.code, EYES_FOUND: code.eyes_found}
    return {name: array for name, array in found.items() if array is not None}


def _predicted(values: np.ndarray, found: np.ndarray, kind: pa.DataType) -> pa.Array:
    """Return a column with the values, given where a face is found; null where there is none."""
    full = np.full(len(found), None, dtype=object)
    full[found] = values
    return pa.array(full, type=kind, from_pandas=True)


def _filled(
    values: np.ndarray | None, there: np.ndarray, found: np.ndarray, field: pa.Field
) -> pa.Array:
    """Return a column with the values, given where a face is found; elsewhere null, or 0."""
    if values is None and field.nullable:
        return pa.nulls(len(found), type=field.type)
    if values is None and there.any():
        # Of these 0 would be taken for a value.
        raise ValueError(f"there is no {field.name} for {int(there.sum())} faces")
    lists = pa.types.is_fixed_size_list(field.type)
    length = (field.type.list_size,) if lists else ()
    kind = (field.type.value_type if lists else field.type).to_pandas_dtype()
    full = np.zeros((len(found), *length), dtype=kind)
    if values is not None:
        full[found] = values
    # What means nothing leaves nothing of itself in the file.
    full[~there] = 0
    if lists:
        return pa.FixedSizeListArray.from_arrays(
            to_arrow(full.reshape(-1), field.type.value_type), type=field.type
        )
    return to_arrow(full, field.type, there if field.nullable else None)
