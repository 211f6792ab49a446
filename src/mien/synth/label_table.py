"""The table of the truth: one row an image, units in the columns' metadata."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.synth.clip import Labels
from mien.synth.expression import EXPRESSIONS

__all__ = ["write_label_table"]

Column: TypeAlias = tuple[pa.Field, pa.Array]

_LANDMARK_ORDER = "x y of: eye left of the image, eye right of it, nose tip, mouth left, right"
_EYE_BOX_ORDER = "x1 y1 x2 y2 of the eye left of the image, then of the eye right of it"


def write_label_table(
    path: Path,
    truth: Sequence[Labels],
    images: Sequence[Sequence[str]],
    expression_names: Sequence[str],
    config: dict[str, Any],
) -> None:
    """Write the truth about all clips to one Parquet file, in one go.

    Args:
        path: The file; replaced if it is there.
        truth: One entry a person.
        images: Paths of each person's frames, as they shall stand in the table.
        expression_names: Of the expression weights.
        config: Resolved settings, kept in the file's metadata.
    """
    columns = [
        *_which(truth, images),
        *_face(truth, expression_names),
        *_appearance(truth),
        *_pose(truth),
        *_axes("gaze", truth, "gaze", "unit vector, camera frame"),
        _per_frame("light_ambient", truth, "ambient", "fraction of the albedo"),
        _per_frame("light_diffuse", truth, "diffuse", "fraction of the albedo"),
        *_axes("light", truth, "light", "unit vector to the light, camera frame"),
        _vector("eye_boxes", _rows(truth, "eye_boxes"), f"pixels: {_EYE_BOX_ORDER}"),
        _vector("landmarks", _rows(truth, "landmarks"), f"pixels: {_LANDMARK_ORDER}"),
    ]
    schema = pa.schema([field for field, _ in columns])
    schema = schema.with_metadata({"mien.synth": json.dumps(config)})
    table = pa.Table.from_arrays([array for _, array in columns], schema=schema)
    temporary = path.with_name(f"{path.name}.tmp")
    pq.write_table(table, temporary)
    temporary.replace(path)


def _which(truth: Sequence[Labels], images: Sequence[Sequence[str]]) -> list[Column]:
    frames = [len(t) for t in truth]
    return [
        _text("path", [p for person in images for p in person], "relative to the table"),
        _number("person", np.repeat([t.person + 1 for t in truth], frames), "number"),
        _number("frame", np.concatenate([np.arange(count) for count in frames]), "number"),
    ]


def _face(truth: Sequence[Labels], expression_names: Sequence[str]) -> list[Column]:
    identity = np.concatenate([np.repeat(t.identity[None], len(t), axis=0) for t in truth])
    names = "weights of the shapes: " + " ".join(expression_names)
    return [
        _vector("identity", identity, "coefficients of the head model, standard normal"),
        _text("expression", [EXPRESSIONS[e] for t in truth for e in t.expression], "name"),
        _vector("expression_weights", _rows(truth, "expression_weights"), names),
    ]


def _appearance(truth: Sequence[Labels]) -> list[Column]:
    """Return what people may be grouped by: how light the skin is, glasses, beard."""
    skin = np.stack([t.skin for t in truth]).astype(np.float32)
    lightness = cv2.cvtColor(skin[None], cv2.COLOR_RGB2LAB)[0, :, 0]
    frames = [len(t) for t in truth]
    return [
        _number("skin_lightness", np.repeat(lightness, frames), "CIE L*, 0 black to 100 white"),
        _number("glasses", np.repeat([int(t.glasses) for t in truth], frames), "1 worn, 0 not"),
        _number("beard", np.repeat([t.beard for t in truth], frames), "opacity, 0 to 1"),
    ]


def _pose(truth: Sequence[Labels]) -> list[Column]:
    order = "head to camera frame, row by row; Ry(yaw) Rx(-pitch) Rz(roll)"
    return [
        _vector("rotation", _rows(truth, "rotation"), order),
        _per_frame("yaw_rad", truth, "yaw", "radians, + towards image-left"),
        _per_frame("pitch_rad", truth, "pitch", "radians, + up"),
        _per_frame("roll_rad", truth, "roll", "radians, + clockwise in the image"),
        *_axes("translation", truth, "translation", "cm, camera frame, of the head's centre"),
        _per_frame("focal_px", truth, "focal", "pixels; principal point in the middle"),
    ]


def _rows(truth: Sequence[Labels], field: str) -> np.ndarray:
    return np.concatenate([getattr(t, field).reshape(len(t), -1) for t in truth])


def _field(name: str, kind: pa.DataType, unit: str) -> pa.Field:
    return pa.field(name, kind, nullable=False, metadata={"unit": unit})


def _text(name: str, values: list[str], unit: str) -> Column:
    return _field(name, pa.string(), unit), pa.array(values, pa.string())


def _number(name: str, values: np.ndarray, unit: str) -> Column:
    kind = pa.int32() if values.dtype.kind in "iu" else pa.float32()
    return _field(name, kind, unit), pa.array(values, kind)


def _per_frame(name: str, truth: Sequence[Labels], field: str, unit: str) -> Column:
    return _number(name, np.concatenate([getattr(t, field) for t in truth]), unit)


def _vector(name: str, rows: np.ndarray, unit: str) -> Column:
    flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).ravel(), pa.float32())
    array = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
    return _field(name, array.type, unit), array


def _axes(prefix: str, truth: Sequence[Labels], field: str, unit: str) -> list[Column]:
    values = np.concatenate([getattr(t, field) for t in truth])
    return [_number(f"{prefix}_{axis}", values[:, i], unit) for i, axis in enumerate("xyz")]
