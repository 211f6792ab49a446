"""Cells of a detector's grids => faces: decoding and suppression of overlapping boxes, vectorised.

The form of the cells is that of `mien.detection.network`, which YuNet shares.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cells", "decode", "suppress"]

Cells = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Scores 0 to 1 [N], boxes dx, dy, log w, log h [N, 4] and landmarks [N, 10] of one grid, row by
row."""


def decode(
    grids: Sequence[Cells],
    strides: Sequence[int],
    widths: Sequence[int],
    least_score: float,
) -> NDArray[np.float32]:
    """Return the cells that may be faces: x1, y1, x2, y2, five landmarks x, y, score. [K, 15].

    Args:
        grids: what the network says, a grid per stride.
        strides: pixels between cells.
        widths: cells in a row of each grid.
        least_score: cells below it are left out.
    """
    rows: list[NDArray[np.float32]] = []
    for (scores, boxes, marks), stride, width in zip(grids, strides, widths, strict=True):
        kept = np.flatnonzero(scores >= least_score)
        cell = np.stack([kept % width, kept // width], axis=1).astype(np.float32)
        centre = cell + boxes[kept, :2]
        half = np.exp(np.minimum(boxes[kept, 2:], 8)) / 2
        points = marks[kept].reshape(-1, 5, 2) + cell[:, None]
        found = np.concatenate([centre - half, centre + half, points.reshape(-1, 10)], axis=1)
        rows.append(np.concatenate([found * stride, scores[kept, None]], axis=1, dtype=np.float32))
    joined = np.concatenate(rows).astype(np.float32)
    return joined[np.isfinite(joined).all(axis=1)]


def suppress(rows: NDArray[np.float32], overlap: float) -> NDArray[np.float32]:
    """Return the rows of `decode` without those that overlap a surer one, the surest first.

    Args:
        rows: x1, y1, x2, y2, ..., score. [K, 15].
        overlap: intersection over union from which on two boxes are one face.
    """
    rows = rows[np.argsort(-rows[:, -1], kind="stable")]
    x1, y1, x2, y2 = rows[:, :4].T
    area = (x2 - x1) * (y2 - y1)
    left = np.ones(len(rows), bool)
    for i in range(len(rows)):
        if not left[i]:
            continue
        wide = np.minimum(x2[i], x2[i + 1 :]) - np.maximum(x1[i], x1[i + 1 :])
        high = np.minimum(y2[i], y2[i + 1 :]) - np.maximum(y1[i], y1[i + 1 :])
        shared = wide.clip(0) * high.clip(0)
        left[i + 1 :] &= shared <= overlap * (area[i] + area[i + 1 :] - shared)
    return rows[left]
