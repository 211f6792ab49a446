"""Arrows that show where faces look, drawn over an image.

The direction is projected along the camera's axis: x and y of the unit vector times the arrow's
length. A gaze into the camera is a dot, one to the side an arrow of full length. Around it a cone
shows, where it is known, how far off the direction may be: one standard deviation to all sides.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["FaceGaze", "draw_gazes"]

# Bright and of a hue that neither skin nor eyes have, with a black border: one of both stands out.
_FILL, _BORDER, _CONE = (60, 255, 150), (0, 25, 15), (60, 255, 150)
_CONE_OPACITY = 0.32
_MAX_CONE = 1.2
_SHIFT = 6
"""Bits behind the point in the coordinates that OpenCV draws at."""


@dataclass(frozen=True, eq=False)
class FaceGaze:
    """Where one face of an image looks, and how long an arrow suits it."""

    eyes: NDArray[Any]
    """x, y in pixels, counted as in `mien.faces.face.Face.box`: both eyes' centres, [2, 2], or one
    place for the arrow to start from, [2]."""
    direction: NDArray[Any]
    """Camera frame (x right, y down, z away); any length but 0. [3]."""
    length: float
    """Pixels that a gaze straight to the side is drawn long, > 0."""
    std_rad: float | None = None
    """Standard deviation of the direction in radians; None where it is not known."""


def draw_gazes(image: NDArray[np.uint8], gazes: Iterable[FaceGaze]) -> NDArray[np.uint8]:
    """Return the image with the arrows of all its faces; the image itself stays as it is.

    Args:
        image: RGB. [H, W, 3].
        gazes: one a face; what lies outside the image is left out.

    Raises:
        ValueError: if the image is not such, or a gaze is not finite or points nowhere.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            f"image must be uint8 RGB [H, W, 3], not {image.dtype} {list(image.shape)}"
        )
    drawn = image.copy()
    for gaze in gazes:
        starts, unit = _checked(gaze)
        # Strokes grow more slowly than faces: what is bold enough on a small one hides a large one.
        width = max(1.8, 0.32 * math.sqrt(gaze.length))  # of the shaft at its head
        # All cones first, then all borders: nothing of one eye's arrow dims the other's.
        if gaze.std_rad is not None:
            cone = _cone(unit, gaze.length, gaze.std_rad)
            _paint(drawn, [start + cone for start in starts], _CONE, opacity=_CONE_OPACITY)
        shapes = [start + shape for start in starts for shape in _arrow(unit, gaze.length, width)]
        _paint(drawn, shapes, _BORDER, swell=max(0.9, 0.3 * width))
        _paint(drawn, shapes, _FILL)
    return drawn


def _checked(gaze: FaceGaze) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the starting points as OpenCV counts pixels, [1 or 2, 2], and the unit vector."""
    starts = np.asarray(gaze.eyes, np.float64)
    direction = np.asarray(gaze.direction, np.float64)
    if starts.shape not in ((2,), (2, 2)) or direction.shape != (3,):
        raise ValueError(f"eyes must be [2, 2] or [2] and direction [3], not {gaze}")
    norm = float(np.linalg.norm(direction))
    numbers = (norm, gaze.length, gaze.std_rad or 0.0, float(starts.sum()))
    if not all(map(math.isfinite, numbers)) or norm == 0 or gaze.length <= 0:
        raise ValueError(f"a gaze must be finite and its direction not zero, not {gaze}")
    return starts.reshape(-1, 2) - 0.5, direction / norm


def _arrow(unit: NDArray[np.float64], length: float, width: float) -> list[NDArray[np.float64]]:
    """Return the outlines of the dot at the eye and of the arrow, about the starting point."""
    reach = float(np.hypot(unit[0], unit[1])) * length
    angle = np.linspace(0, 2 * math.pi, 24, endpoint=False)
    dot = 0.8 * width * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    if reach < width:
        return [dot]
    along = unit[:2] * length / reach
    across = np.array([-along[1], along[0]])
    # A short arrow keeps a head outside its dot: a small triangle shows which way.
    neck = max(reach - min(4.0 * width, 0.55 * reach), 0.6 * width)
    head = reach - neck
    wide = min(1.8 * width, 0.7 * head)
    # The barbs reach back a little: a swept head reads better than a plain triangle.
    outline = [
        *((0.0, 0.25 * width), (neck, min(0.5 * width, 0.5 * wide))),
        *((neck - 0.15 * head, wide), (reach, 0.0)),
    ]
    half = [step * along + side * across for step, side in outline]
    other = [step * along - side * across for step, side in reversed(outline)]
    return [dot, np.array(half + other)]


def _cone(unit: NDArray[np.float64], length: float, std_rad: float) -> NDArray[np.float64]:
    """Return the outline of all directions within `std_rad`, about the starting point. [n, 2]."""
    half = min(abs(std_rad), _MAX_CONE)
    aside = np.cross(unit, np.eye(3)[int(np.argmin(np.abs(unit)))])
    aside /= np.linalg.norm(aside)
    angle = np.linspace(0, 2 * math.pi, 48, endpoint=False)[:, None]
    around = np.cos(angle) * aside + np.sin(angle) * np.cross(unit, aside)
    circle = length * (math.cos(half) * unit + math.sin(half) * around)[:, :2]
    points = np.concatenate([circle, np.zeros((1, 2))]).astype(np.float32)
    return cv2.convexHull(points)[:, 0].astype(np.float64)


def _paint(
    image: NDArray[np.uint8],
    shapes: list[NDArray[np.float64]],
    colour: tuple[int, int, int],
    *,
    opacity: float = 1.0,
    swell: float = 0.0,
) -> None:
    """Fill polygons in place; `swell` lets them grow by so many pixels to all sides."""
    every = np.concatenate(shapes)
    margin = math.ceil(swell) + 2
    limits = np.array(image.shape[1::-1])
    low = np.clip(np.floor(every.min(axis=0)) - margin, 0, limits).astype(int)
    high = np.clip(np.ceil(every.max(axis=0)) + margin + 1, 0, limits).astype(int)
    if (high <= low).any():
        return
    # Drawn four times as large and averaged: OpenCV's own smoothing has no lines of half a pixel.
    size = high - low
    mask = np.zeros((4 * size[1], 4 * size[0]), np.uint8)
    for shape in shapes:
        points = ((shape - low + 0.5) * 4 - 0.5) * (1 << _SHIFT)
        corners = np.round(points).astype(np.int32)[:, None]
        cv2.fillPoly(mask, [corners], 255, shift=_SHIFT)
        if swell:
            thickness = max(1, round(8 * swell))
            cv2.polylines(mask, [corners], True, 255, thickness, shift=_SHIFT)
    cover = cv2.resize(mask, tuple(map(int, size)), interpolation=cv2.INTER_AREA)
    weight = cover[..., None].astype(np.float32) * (opacity / 255)
    window = image[low[1] : high[1], low[0] : high[0]]
    paint = np.array(colour, np.float32)
    window[:] = np.round(window + weight * (paint - window)).astype(np.uint8)
