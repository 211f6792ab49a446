"""What is drawn on the face from the front: lips, brows, stubble, freckles, wrinkles, lid lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from benchmarks.other_renderer.looks import Looks
from numpy.typing import NDArray

__all__ = ["LEFT_TOP", "PER_CM", "SHAPE", "FaceMarks", "draw_marks"]

PER_CM = 36
LEFT_TOP = (-9.0, -14.0)
"""Of the drawing, x and y of the head's frame. Cm."""
SHAPE = (24 * PER_CM, 18 * PER_CM)
"""Rows and columns of the drawing."""

Array = NDArray[np.floating]


@dataclass(frozen=True)
class FaceMarks:
    """Opacities over the face as seen from the front. Each [*SHAPE], 0 to 1."""

    lips: Array
    brows: Array
    stubble: Array
    spots: Array
    """Freckles and moles."""
    lines: Array
    """Wrinkles."""
    lids: Array
    """The line along the lids' edges."""
    rings: Array
    """The hollows under the eyes."""
    flush: Array
    """Where cheeks, nose and chin are red."""


def draw_marks(looks: Looks, marks: Array) -> FaceMarks:
    """Draw a person's marks; the same looks give the same drawing.

    Args:
        looks: whose.
        marks: the 68 landmarks of the mean head, cm. [68, 3].
    """
    rng = np.random.default_rng([looks.seed, 1])
    flat = marks[:, :2]
    return FaceMarks(
        lips=_lips(flat),
        brows=_brows(rng, looks, flat),
        stubble=_stubble(rng, looks, flat),
        spots=_spots(rng, looks),
        lines=_wrinkles(rng, looks, flat),
        lids=_lid_lines(looks, flat),
        rings=_blobs(np.stack([flat[40] + [0.1, 1.1], flat[47] + [-0.1, 1.1]]), 0.75),
        flush=np.maximum(
            _blobs(np.stack([[-4.2, 0.6], [4.2, 0.6]]), 1.6),
            0.8 * _blobs(np.stack([flat[30], flat[8] - [0, 1.0]]), 0.9),
        ),
    )


def _pixels(points: NDArray[np.floating]) -> NDArray[np.int32]:
    """Return places in sixteenths of a pixel, as OpenCV draws them. [..., 2]."""
    return np.round((points - np.array(LEFT_TOP)) * PER_CM * 16).astype(np.int32)


def _blank() -> Array:
    return np.zeros(SHAPE, np.float32)


def _soft(image: Array, sigma_cm: float) -> Array:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), sigma_cm * PER_CM), np.float32)


def _blobs(centres: NDArray[np.floating], radius: float) -> Array:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(np.float32) / PER_CM
    at = np.stack([x + LEFT_TOP[0], y + LEFT_TOP[1]], axis=-1)
    squared = [((at - np.asarray(c, np.float32)) ** 2).sum(axis=-1) for c in centres]
    return np.exp(-np.min(squared, axis=0) / (2 * radius**2)).astype(np.float32)


def _strokes(
    image: Array, starts: NDArray[np.floating], steps: NDArray[np.floating], thickness: int = 1
) -> None:
    """Draw short hairs from places along steps, in cm, in place."""
    a, b = _pixels(starts), _pixels(starts + steps)
    for p, q in zip(a.tolist(), b.tolist(), strict=True):
        cv2.line(image, p, q, 1.0, thickness, cv2.LINE_8, 4)


def _lips(flat: Array) -> Array:
    image = _blank()
    cv2.fillPoly(image, [_pixels(flat[48:60])], 1.0, cv2.LINE_8, 4)
    return _soft(image, 0.07)


def _brows(rng: np.random.Generator, looks: Looks, flat: Array) -> Array:
    """Return hairs along both brows, rising at the inner end and lying at the outer one."""
    image = _blank()
    count = int(90 + 330 * looks.brow_density)
    for side, line in ((-1.0, flat[17:22][::-1]), (1.0, flat[22:27])):
        t = rng.beta(1.1, 1.2, count)
        place = t * (len(line) - 1)
        x = np.interp(place, np.arange(len(line)), line[:, 0])
        y = np.interp(place, np.arange(len(line)), line[:, 1])
        width = looks.brow_width * np.interp(t, [0.0, 0.25, 0.7, 1.0], [0.8, 1.0, 0.75, 0.25])
        across = rng.uniform(-0.5, 0.5, count) * width
        # The landmarks lie on the upper edge.
        y = y + 0.3 - looks.brow_lift - looks.brow_slope * (t - 0.4) + across
        angle = np.interp(t, [0.0, 0.3, 1.0], [1.2, 0.5, -0.25]) + 0.25 * rng.standard_normal(count)
        length = rng.uniform(0.25, 0.55, count)
        steps = np.stack([side * np.cos(angle), -np.sin(angle)], axis=1) * length[:, None]
        _strokes(image, np.stack([x, y], axis=1) - 0.4 * steps, steps)
    thick = 0.6 + 0.4 * looks.brow_density
    return np.clip(1.5 * thick * _soft(image, 0.035) + 0.5 * thick * _soft(image, 0.15), 0, 1)


def _stubble(rng: np.random.Generator, looks: Looks, flat: Array) -> Array:
    """Return hairs of beard and moustache; dense where the beard is full."""
    image = _blank()
    if looks.stubble == 0.0:
        return image
    edge = 0.6 + 2.2 * rng.random()
    outline = np.concatenate([flat[2:15], [[5.2, edge], [2.9, 2.6], [-2.9, 2.6], [-5.2, edge]]])
    outline[:13] *= [1.12, 1.15]
    area = _blank()
    cv2.fillPoly(area, [_pixels(outline)], looks.stubble, cv2.LINE_8, 4)
    lip = np.array([[-2.7, 3.3], [-1.6, 1.5], [1.6, 1.5], [2.7, 3.3]])
    cv2.fillPoly(area, [_pixels(lip)], looks.moustache, cv2.LINE_8, 4)
    area = _soft(area, 0.3) * (1 - _lips(flat))
    low = np.array([-7.5, 0.0])
    starts = low + rng.random((9000, 2)) * [15.0, 10.0]
    row, column = (((starts - np.array(LEFT_TOP)) * PER_CM).astype(int)).T[::-1]
    starts = starts[rng.random(len(starts)) < area[row, column]]
    steps = rng.normal([0.0, 0.18], 0.08, starts.shape)
    steps[:, 0] += 0.012 * starts[:, 0]
    _strokes(image, starts, steps)
    return np.clip(0.8 * _soft(image, 0.03) + 0.8 * _soft(image, 0.2), 0, 1)


def _spots(rng: np.random.Generator, looks: Looks) -> Array:
    image = _blank()
    for count, size, strength in ((looks.freckles, 0.05, 0.45), (looks.moles, 0.11, 0.9)):
        places = np.stack([rng.normal(0, 3.6, count), rng.normal(0.0, 3.2, count)], axis=1)
        for place in _pixels(places).tolist():
            radius = max(16, int(16 * PER_CM * size * rng.uniform(0.6, 1.5)))
            cv2.circle(image, place, radius, strength * rng.uniform(0.4, 1.0), -1, cv2.LINE_8, 4)
    return _soft(image, 0.03)


def _wrinkles(rng: np.random.Generator, looks: Looks, flat: Array) -> Array:
    """Return folds beside the mouth, lines on the forehead and at the eyes' corners."""
    image = _blank()
    for side, corner, eye in ((-1.0, flat[48], flat[36]), (1.0, flat[54], flat[45])):
        wing = np.array([side * 1.9, 0.2])
        middle = 0.5 * (wing + corner) + [side * rng.uniform(0.5, 0.9), 0.0]
        fold = np.stack([wing, middle, corner + np.array([side * 0.55, 0.5])])
        cv2.polylines(image, [_pixels(fold)], False, 0.8, 3, cv2.LINE_8, 4)
        for angle in rng.uniform(-0.5, 0.6, 3):
            start = eye + np.array([side * 0.25, 0.0])
            end = start + np.array([side * np.cos(angle), np.sin(angle)]) * rng.uniform(0.5, 1.0)
            cv2.polylines(image, [_pixels(np.stack([start, end]))], False, 0.7, 2, cv2.LINE_8, 4)
    for height in rng.uniform(-10.2, -7.6, int(rng.integers(2, 5))):
        x = np.linspace(-rng.uniform(2, 4), rng.uniform(2, 4), 9)
        line = np.stack([x, height + 0.03 * x**2 + rng.normal(0, 0.05, 9)], axis=1)
        cv2.polylines(image, [_pixels(line)], False, 0.7, 2, cv2.LINE_8, 4)
    return np.clip(_soft(image, 0.06), 0, 1) * np.float32(looks.age)


def _lid_lines(looks: Looks, flat: Array) -> Array:
    image = _blank()
    for upper, lower in (
        (flat[36:40], flat[[39, 40, 41, 36]]),
        (flat[42:46], flat[[45, 46, 47, 42]]),
    ):
        cv2.polylines(image, [_pixels(upper)], False, looks.liner, 5, cv2.LINE_8, 4)
        cv2.polylines(image, [_pixels(lower)], False, 0.35 * looks.liner, 3, cv2.LINE_8, 4)
    return np.clip(1.4 * _soft(image, 0.05), 0, 1)
