"""The contact sheet of the detector: faces as they should be found, and as they are."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mien.faces.dense import decode, suppress
from mien.faces.grid_detector import STRIDES

__all__ = ["sheet"]

_COLUMNS = 4
_LEAST_SCORE, _SAME = 0.3, 0.3
_TARGET, _PREDICTION = (0, 220, 0), (255, 140, 0)


def sheet(images: Tensor, wanted: Sequence[Tensor], maps: Sequence[Tensor]) -> NDArray[np.uint8]:
    """Return images in rows of four, with the faces of targets (green) and predictions (orange).

    Args:
        images: RGB, uint8 [B, 3, S, S].
        wanted: of each grid, the score 0 to 1, box, landmarks. [B, 15, S/t, S/t].
        maps: of each grid, the same with the score's logit. [B, 15, S/t, S/t].

    Returns:
        uint8 [H, W, 3].
    """
    said = [m.detach().clone() for m in maps]
    for each in said:
        each[:, 0].sigmoid_()
    drawn = images.permute(0, 2, 3, 1).cpu().contiguous().numpy().copy()
    for number, image in enumerate(drawn):
        for grids, colour in ((wanted, _TARGET), (said, _PREDICTION)):
            _draw(image, [grid[number] for grid in grids], colour)
    count, side = drawn.shape[:2]
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    out = np.zeros((rows * columns, side, side, 3), np.uint8)
    out[:count] = drawn
    placed = out.reshape(rows, columns, side, side, 3).swapaxes(1, 2)
    return placed.reshape(rows * side, columns * side, 3)


def _draw(image: NDArray[np.uint8], grids: Sequence[Tensor], colour: tuple[int, int, int]) -> None:
    cells = [grid.flatten(1).T.float().cpu().numpy() for grid in grids]
    split = [(cell[:, 0], cell[:, 1:5], cell[:, 5:15]) for cell in cells]
    widths = [grid.shape[2] for grid in grids]
    # An untrained network's boxes may lie anywhere.
    rows = suppress(decode(split, STRIDES, widths, _LEAST_SCORE), _SAME).clip(-1e4, 1e4)
    for row in rows:
        (x1, y1), (x2, y2), *marks = (
            (round(float(x)), round(float(y))) for x, y in row[:14].reshape(7, 2)
        )
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, 1)
        for mark in marks:
            cv2.circle(image, mark, 1, colour, -1)
