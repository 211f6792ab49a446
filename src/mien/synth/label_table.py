"""The table of the truth: one row a picture, units in the columns' metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.synth.clip import Labels
from mien.synth.expression import EXPRESSIONS

__all__ = ["write_label_table"]

_LANDMARK_ORDER = "x y of: eye left of the picture, eye right of it, nose tip, mouth left, right"
_EYE_BOX_ORDER = "x1 y1 x2 y2 of the eye left of the picture, then of the eye right of it"


def write_label_table(
    path: Path,
    truth: Sequence[Labels],
    pictures: Sequence[Sequence[str]],
    expression_names: Sequence[str],
    config: dict[str, Any],
) -> None:
    """Write the truth about all clips to one Parquet file, in one go.

    Args:
        path: The file; replaced if it is there.
        truth: One entry a person.
        pictures: Paths of each person's frames, as they shall stand in the table.
        expression_names: Of the expression weights.
        config: Resolved settings, kept in the file's metadata.
    """
    columns: list[tuple[pa.Field, pa.Array]] = [
        _text("path", [p for person in pictures for p in person], "relative to the table"),
        _number("person", np.repeat([t.person + 1 for t in truth], _frames(truth)), "number"),
        _number("frame", np.concatenate([np.arange(len(t)) for t in truth]), "number"),
        _text("expression", [EXPRESSIONS[e] for t in truth for e in t.expression], "name"),
        _vector(
            "expression_weights",
            np.concatenate([t.expression_weights for t in truth]),
            "weights of the shapes: " + " ".join(expression_names),
        ),
        _vector(
            "rotation",
            np.concatenate([t.rotation.reshape(-1, 9) for t in truth]),
            "head to camera frame, row by row; Ry(yaw) Rx(-pitch) Rz(roll)",
        ),
    ]
    columns += [
        _number(name, np.concatenate([getattr(t, field) for t in truth]), unit)
        for name, field, unit in (
            ("yaw_rad", "yaw", "radians, + towards image-left"),
            ("pitch_rad", "pitch", "radians, + up"),
            ("roll_rad", "roll", "radians, + clockwise in the image"),
        )
    ]
    columns += _axes("translation", truth, "translation", "cm, camera frame, of the head's centre")
    columns += _axes("gaze", truth, "gaze", "unit vector, camera frame")
    columns += [
        _number(name, np.concatenate([getattr(t, field) for t in truth]), unit)
        for name, field, unit in (
            ("light_ambient", "ambient", "share of the albedo"),
            ("light_diffuse", "diffuse", "share of the albedo"),
            ("focal_px", "focal", "pixels; the principal point is the picture's middle"),
        )
    ]
    columns += _axes("light", truth, "light", "unit vector to the light, camera frame")
    columns += [
        _vector("eye_boxes", _rows(truth, "eye_boxes"), f"pixels: {_EYE_BOX_ORDER}"),
        _vector("landmarks", _rows(truth, "landmarks"), f"pixels: {_LANDMARK_ORDER}"),
        _vector(
            "identity",
            np.concatenate([np.repeat(t.identity[None], len(t), axis=0) for t in truth]),
            "coefficients of the head model, standard normal",
        ),
    ]
    schema = pa.schema([field for field, _ in columns])
    schema = schema.with_metadata({"mien.synth": json.dumps(config)})
    table = pa.Table.from_arrays([array for _, array in columns], schema=schema)
    temporary = path.with_name(f"{path.name}.tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)


def _frames(truth: Sequence[Labels]) -> list[int]:
    return [len(t) for t in truth]


def _rows(truth: Sequence[Labels], field: str) -> np.ndarray:
    return np.concatenate([getattr(t, field).reshape(len(t), -1) for t in truth])


def _field(name: str, kind: pa.DataType, unit: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"unit": unit})


def _text(name: str, values: list[str], unit: str) -> tuple[pa.Field, pa.Array]:
    return _field(name, pa.string(), unit), pa.array(values, pa.string())


def _number(name: str, values: np.ndarray, unit: str) -> tuple[pa.Field, pa.Array]:
    kind = pa.int32() if values.dtype.kind in "iu" else pa.float32()
    return _field(name, kind, unit), pa.array(values, kind)


def _vector(name: str, rows: np.ndarray, unit: str) -> tuple[pa.Field, pa.Array]:
    flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).ravel(), pa.float32())
    array = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    return _field(name, array.type, unit), array


def _axes(
    prefix: str, truth: Sequence[Labels], field: str, unit: str
) -> list[tuple[pa.Field, pa.Array]]:
    values = np.concatenate([getattr(t, field) for t in truth])
    return [_number(f"{prefix}_{axis}", values[:, i], unit) for i, axis in enumerate("xyz")]
