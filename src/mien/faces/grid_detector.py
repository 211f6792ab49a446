"""A detector whose network answers at the cells of three grids, run by ONNX Runtime.

YuNet and mien's own detector are such; they differ in their file and in how its answers are
ordered.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.dense import Cells, decode, suppress
from mien.faces.face import Face

__all__ = ["STRIDES", "Answer", "GridDetector", "at_work_size"]

STRIDES = (8, 16, 32)
"""Pixels between the cells of the three grids."""
_CELL = 32
"""Sides of what the network sees are multiples of it."""
# Made for faces of 10 to 300 pixels: large images are reduced, small ones enlarged.
_LONGEST = 640
_SHORTEST = 160
_LEAST_SIDE = 8
_SAME = 0.3

Answer = Callable[[NDArray[np.uint8]], Sequence[Cells]]
"""RGB [H, W, 3], H and W multiples of 32 => the cells of the grids of strides 8, 16, 32."""


class GridDetector:
    """Finds faces in images of any size; safe to share between threads."""

    def __init__(self, name: str, answer: Answer, least_score: float) -> None:
        """Take a network.

        Args:
            name: of the detector.
            answer: runs the network.
            least_score: faces below it are left out.
        """
        self.name, self._answer, self._least_score = name, answer, least_score

    def answer(self, work: NDArray[np.uint8]) -> Sequence[Cells]:
        """Return what the network says at the cells of the grids of strides 8, 16, 32.

        Args:
            work: RGB [H, W, 3] as it is, H and W multiples of 32; see `at_work_size`.
        """
        return self._answer(work)

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of an RGB image [H, W, 3]; one below 8 pixels a side has none."""
        height, width = image.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return []
        work, to_image = at_work_size(image)
        widths = [work.shape[1] // stride for stride in STRIDES]
        rows = decode(self._answer(work), STRIDES, widths, self._least_score)
        return [_face(row, to_image) for row in suppress(rows, _SAME)]


def at_work_size(image: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return an image as the network is given it, and pixels of the image per pixel of that. [2].

    The longer side is at most 640 pixels, the shorter at least 160 where that can be; black is
    added on the right and below to the next multiples of 32.
    """
    height, width = image.shape[:2]
    scale = min(_LONGEST / max(height, width), max(1.0, _SHORTEST / min(height, width)))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    right, below = (-side % _CELL for side in size)
    work = np.zeros((size[1] + below, size[0] + right, 3), np.uint8)
    inner = work[: size[1], : size[0]]
    inner[:] = image if size == (width, height) else _resized(image, size)
    return work, np.array([width / size[0], height / size[1]])


def _resized(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if (width, height) == (3 * size[0], 3 * size[1]):
        # What INTER_AREA gives of 1080p, in two thirds of its time.
        means = cv2.boxFilter(image, -1, (3, 3), anchor=(0, 0))
        return cv2.resize(means, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8, copy=False)
    kind = cv2.INTER_AREA if size < (width, height) else cv2.INTER_LINEAR
    return cv2.resize(image, size, interpolation=kind).astype(np.uint8, copy=False)


def _face(row: NDArray[np.float32], to_image: NDArray[np.float64]) -> Face:
    points = row[:14].reshape(7, 2) * to_image
    (x1, y1), (x2, y2) = points[0].tolist(), points[1].tolist()
    # Landmarks: the person's right first, which is the image's left.
    return Face((x1, y1, x2, y2), float(row[14]), points[2:].astype(np.float32), "yunet")
