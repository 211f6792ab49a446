"""A teacher's answers for a scene => targets for the scene turned and cut out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.data.scenes import CANVAS
from mien.faces.dense import Cells

__all__ = ["View", "join_cells", "sample_view", "seen", "targets"]

View = NDArray[np.float64]
"""Maps a point of what is cut out to one of the scene. Pixels, 0 = the outer edge. [2, 3]."""
_TURNED = 0.45
"""Fraction of the views that are turned."""
_ANGLE = 75.0
"""By how much at most. Degrees."""
_CELL = 32


def sample_view(side: int, rng: np.random.Generator) -> View:
    """Return how the network's image lies in the scene: turned about its middle, or a part of it.

    Args:
        side: of the network's image, a multiple of 32, at most CANVAS. Pixels.
        rng: source of all choices.
    """
    turn = math.radians(rng.uniform(-_ANGLE, _ANGLE)) if rng.random() < _TURNED else 0.0
    room = (CANVAS - side) // _CELL
    # Moved by whole cells, so that an image that is not turned has the teacher's very cells.
    corner = _CELL * rng.integers(0, room + 1, 2).astype(np.float64)
    cos, sin = math.cos(turn), math.sin(turn)
    middle = np.full(2, side / 2)
    turned = np.array([[cos, -sin], [sin, cos]])
    return np.concatenate([turned, (corner + middle - turned @ middle)[:, None]], axis=1)


def seen(scene: NDArray[np.uint8], view: View, side: int) -> NDArray[np.uint8]:
    """Return what is seen of a scene; beyond its border the outermost pixels go on.

    Args:
        scene: RGB, uint8 [CANVAS, CANVAS, 3].
        view: see `View`.
        side: of the network's image. Pixels.

    Returns:
        RGB, uint8 [side, side, 3].
    """
    if view[0, 1] == 0:
        x, y = (round(v) for v in view[:, 2])
        return np.ascontiguousarray(scene[y : y + side, x : x + side])
    half = np.array([0.5, 0.5])
    by_pixel = view.copy()
    by_pixel[:, 2] += view[:, :2] @ half - half
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    turned = cv2.warpAffine(
        scene, by_pixel, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(turned, np.uint8)


def join_cells(
    grids: Sequence[Cells], shape: tuple[int, int], strides: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Return a detector's cells as maps: score, box, landmarks. [15, H/t, W/t] for each grid.

    Args:
        grids: what a detector says of an image.
        shape: H, W of the image. Pixels.
        strides: t of each grid.
    """
    return [
        np.concatenate([scores[:, None], boxes, marks], axis=1, dtype=np.float32)
        .reshape(shape[0] // stride, shape[1] // stride, -1)
        .transpose(2, 0, 1)
        for (scores, boxes, marks), stride in zip(grids, strides, strict=True)
    ]


def targets(
    answers: Sequence[NDArray[np.float32]], view: View, side: int, strides: Sequence[int]
) -> list[NDArray[np.float32]]:
    """Return the targets of mien.detection.loss for each grid. [16, side/t, side/t].

    A cell is to give what the teacher says at the cell of the scene that it shows.

    Args:
        answers: the teacher's maps of the scene: score, box, landmarks. [15, CANVAS/t, CANVAS/t].
        view: see `View`.
        side: of the network's image.
        strides: t of each grid.
    """
    turned = view[:, :2]
    found: list[NDArray[np.float32]] = []
    for maps, stride in zip(answers, strides, strict=True):
        cells = side // stride
        grid = np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), axis=-1).reshape(-1, 2)
        # Predictions belong to the middle of a cell, though they are counted from its corner.
        place = ((grid + 0.5) * stride) @ turned.T + view[:, 2]
        cell = np.floor(place / stride).astype(int)
        limit = CANVAS // stride
        inside = ((cell >= 0) & (cell < limit)).all(axis=1)
        kept = cell.clip(0, limit - 1)
        values = maps[:, kept[:, 1], kept[:, 0]].T.copy()
        values[~inside, 0] = 0
        points = values[:, [1, 2, *range(5, 15)]].reshape(-1, 6, 2) + kept[:, None]
        points = (points * stride - view[:, 2]) @ turned
        points = points / stride - grid[:, None]
        out = np.ones((16, len(grid)), np.float32)
        out[0] = values[:, 0]
        out[1:3] = points[:, 0].T
        out[3:5] = _turned_box(values[:, 3:5], turned).T
        out[5:15] = points[:, 1:].reshape(-1, 10).T
        found.append(out.reshape(16, cells, cells))
    return found


def _turned_box(logs: NDArray[np.float32], turned: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log w, log h of the upright box around an oval that is turned."""
    square = np.exp(2 * logs.astype(np.float64))
    return 0.5 * np.log(square @ (turned**2))
