"""The table of the truth: one row an image, units in the columns' metadata."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mien.media.atomic import replacing
from mien.synth.clip import Labels
from mien.synth.expression import EXPRESSIONS

__all__ = ["write_label_table"]

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
    fields, arrays = [], []
    for name, values, unit in _columns(truth, images, expression_names):
        arrays.append(_array(values))
        fields.append(pa.field(name, arrays[-1].type, nullable=False, metadata={"unit": unit}))
    schema = pa.schema(fields, metadata={"mien.synth": json.dumps(config)})
    with replacing(path, overwrite=True) as unfinished:
        pq.write_table(pa.Table.from_arrays(arrays, schema=schema), unfinished)


def _columns(
    truth: Sequence[Labels], images: Sequence[Sequence[str]], expression_names: Sequence[str]
) -> Iterator[tuple[str, np.ndarray | list[str], str]]:
    """Yield each column's name, values and unit; vectors are [N, D]."""
    frames = [len(t) for t in truth]

    def of_person(values: Any) -> np.ndarray:
        return np.repeat(np.asarray(values), frames, axis=0)

    def of_frames(field: str) -> np.ndarray:
        return np.concatenate([getattr(t, field).reshape(len(t), -1) for t in truth])

    def number(field: str) -> np.ndarray:
        return of_frames(field)[:, 0]

    def axes(prefix: str, field: str, unit: str) -> Iterator[tuple[str, np.ndarray, str]]:
        for axis, values in zip("xyz", of_frames(field).T, strict=True):
            yield f"{prefix}_{axis}", values, unit

    skin = np.stack([t.skin for t in truth]).astype(np.float32)
    lightness = cv2.cvtColor(skin[None], cv2.COLOR_RGB2LAB)[0, :, 0]
    shapes = "weights of the shapes: " + " ".join(expression_names)
    order = "head to camera frame, row by row; Ry(yaw) Rx(-pitch) Rz(roll)"
    yield "path", [path for person in images for path in person], "relative to the table"
    yield "person", of_person([t.person + 1 for t in truth]), "number"
    yield "frame", np.concatenate([np.arange(count) for count in frames]), "number"
    identity = of_person([t.identity for t in truth])
    yield "identity", identity, "coefficients of the head model, standard normal"
    yield "expression", [EXPRESSIONS[e] for t in truth for e in t.expression], "name"
    yield "expression_weights", of_frames("expression_weights"), shapes
    # What people may be grouped by: how light the skin is, glasses, beard.
    yield "skin_lightness", of_person(lightness), "CIE L*, 0 black to 100 white"
    yield "glasses", of_person([int(t.glasses) for t in truth]), "1 worn, 0 not"
    yield "beard", of_person([t.beard for t in truth]), "opacity, 0 to 1"
    yield "rotation", of_frames("rotation"), order
    yield "yaw_rad", number("yaw"), "radians, + towards image-left"
    yield "pitch_rad", number("pitch"), "radians, + up"
    yield "roll_rad", number("roll"), "radians, + clockwise in the image"
    yield from axes("translation", "translation", "cm, camera frame, of the head's centre")
    yield "focal_px", number("focal"), "pixels; principal point in the middle"
    yield from axes("gaze", "gaze", "unit vector, camera frame")
    yield "light_ambient", number("ambient"), "fraction of the albedo"
    yield "light_diffuse", number("diffuse"), "fraction of the albedo"
    yield from axes("light", "light", "unit vector to the light, camera frame")
    yield "eye_boxes", of_frames("eye_boxes"), f"pixels: {_EYE_BOX_ORDER}"
    yield "landmarks", of_frames("landmarks"), f"pixels: {_LANDMARK_ORDER}"


def _array(values: np.ndarray | list[str]) -> pa.Array:
    """Return text, whole numbers (int32), numbers or vectors (float32) as a column."""
    if isinstance(values, list):
        return pa.array(values, pa.string())
    if values.ndim == 1:
        return pa.array(values, pa.int32() if values.dtype.kind in "iu" else pa.float32())
    flat = pa.array(np.ascontiguousarray(values, dtype=np.float32).ravel(), pa.float32())
    return pa.FixedSizeListArray.from_arrays(flat, values.shape[1])
