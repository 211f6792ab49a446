"""Where a screen stands before the camera: from pixels on it to directions of gaze."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.bounded import MIB, read_json, read_yaml

__all__ = ["Screen", "read_screen"]

Array = NDArray[np.float64]

_KEYS = {"eye_distance_mm": 1, "eye_mm": 3, "origin_mm": 3, "pixel_mm": 2, "x_axis": 3, "y_axis": 3}
"""How many numbers each key has."""
_AXES = {"x_axis": [-1, 0, 0], "y_axis": [0, 1, 0]}
_TOLERANCE = 0.01
_FARTHEST = 1e9


@dataclass(frozen=True)
class Screen:
    """A flat screen; all in the camera frame (x right, y down, z away from the camera), mm."""

    pixel_mm: tuple[float, float]
    """Width and height of a pixel."""
    origin_mm: tuple[float, float, float]
    """The outer corner of pixel (0, 0): the top left one for who looks at the screen."""
    x_axis: tuple[float, float, float]
    """Unit vector along which x_px grows."""
    y_axis: tuple[float, float, float]
    """Unit vector along which y_px grows."""
    eye_mm: tuple[float, float, float]
    """The point between the eyes."""

    def directions(self, points: Array) -> Array:
        """Return unit vectors from the eye to points on the screen. [N, 2] => [N, 3].

        Args:
            points: x, y in pixels; (0.5, 0.5) is the middle of the first pixel. [N, 2].
        """
        across = points[:, :1] * self.pixel_mm[0] * np.array(self.x_axis)
        down = points[:, 1:] * self.pixel_mm[1] * np.array(self.y_axis)
        gaze = np.array(self.origin_mm) + across + down - np.array(self.eye_mm)
        return gaze / np.linalg.norm(gaze, axis=1, keepdims=True)


def read_screen(path: str | Path) -> Screen:
    """Read a screen's geometry from JSON or YAML.

    Keys: `pixel_mm` (one number, or width and height), `origin_mm`, either `eye_mm` or
    `eye_distance_mm` (straight before the camera), and, for a screen that does not stand upright
    and face the way the camera does, `x_axis` and `y_axis`; otherwise these are (-1, 0, 0) and
    (0, 1, 0), because who looks at the screen sees the camera's right to their left.

    Raises:
        MienError: if the file cannot be read, or a key is missing, unknown or impossible.
    """
    path = Path(path)
    given = {**_AXES, **_read(path)}
    unknown = sorted(str(key) for key in given if key not in _KEYS)
    if unknown:
        raise MienError(f"{path} has the unknown key {unknown[0]}; there are {', '.join(_KEYS)}")
    if ("eye_mm" in given) == ("eye_distance_mm" in given):
        raise MienError(f"{path} must have either eye_mm or eye_distance_mm")
    pixel = given.get("pixel_mm")
    given["pixel_mm"] = pixel if isinstance(pixel, list) else [pixel, pixel]
    given.setdefault("origin_mm", None)
    found = {key: _numbers(path, key, value) for key, value in given.items()}
    for key in ("pixel_mm", "eye_distance_mm"):
        if min(found.get(key, (1.0,))) <= 0:
            raise MienError(f"{path}: {key} must be above 0")
    for key in _AXES:
        length = math.hypot(*found[key])
        if abs(length - 1) > _TOLERANCE:
            raise MienError(f"{path}: {key} must be a unit vector, its length is {length:.3g}")
        found[key] = tuple(x / length for x in found[key])
    x_axis, y_axis = found["x_axis"], found["y_axis"]
    if abs(float(np.dot(x_axis, y_axis))) > _TOLERANCE:
        raise MienError(f"{path}: x_axis and y_axis must be perpendicular")
    if "eye_distance_mm" in found:
        found["eye_mm"] = (0.0, 0.0, *found.pop("eye_distance_mm"))
    distance = np.dot(np.cross(x_axis, y_axis), np.subtract(found["eye_mm"], found["origin_mm"]))
    if abs(float(distance)) < 1:
        raise MienError(f"{path}: the eye lies in the plane of the screen; check eye and origin_mm")
    return Screen(**found)


def _read(path: Path) -> Mapping[str, Any]:
    given = (read_json if path.suffix.lower() == ".json" else read_yaml)(path, limit=MIB)
    if not isinstance(given, dict):
        raise MienError(f"{path} does not hold the keys of a screen: {', '.join(_KEYS)}")
    return given


def _numbers(path: Path, key: str, value: Any) -> tuple[Any, ...]:
    values = value if isinstance(value, list) else [value]
    count = _KEYS[key]
    if len(values) != count or not all(
        type(x) in (int, float) and abs(x) <= _FARTHEST for x in values
    ):
        raise MienError(f"{path}: {key} must be {count} numbers")
    return tuple(float(x) for x in values)
