"""A face that was found: where it is, how sure the detector is, and how its box is to be read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["Box", "Detector", "Face", "Framing", "overlap"]

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in pixels; 0 is the outer edge of the first column or row, and the width or height
of the image that of the last. A box may reach outside the image."""

Framing = Literal["haar", "yunet", "image"]
"""Whose idea of a box it is: what a detector takes for the extent of a face differs by 20 %."""


@dataclass(frozen=True, eq=False)
class Face:
    """One face in an image."""

    box: Box
    """Where it is, as its detector frames faces."""
    score: float
    """How sure the detector is, 0 to 1; comparable within one detector only."""
    landmarks: NDArray[np.float32] | None = None
    """x, y in pixels, counted as in `box`, of the image-left eye, the image-right eye, the nose's
    tip, the image-left and the image-right corner of the mouth. [5, 2], or None."""
    framing: Framing = "haar"
    """Whose idea of a box `box` is."""
    turn: int = 0
    """Quarters counterclockwise by which the image has to be turned for the face to be upright, 0
    to 3; box and landmarks are in the image as it is."""

    def scaled(self, factor: float) -> Face:
        """Return the same face in the image enlarged by this factor."""
        x1, y1, x2, y2 = (side * factor for side in self.box)
        landmarks = None
        if self.landmarks is not None:
            landmarks = (self.landmarks * np.float32(factor)).astype(np.float32)
        return replace(self, box=(x1, y1, x2, y2), landmarks=landmarks)


class Detector(Protocol):
    """Finds faces. One may be used from several threads at a time."""

    @property
    def name(self) -> str:
        """`haar`, `yunet` or `none`."""
        ...

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an RGB image [H, W, 3] of any size, in any order."""
        ...


def overlap(first: Box, second: Box) -> float:
    """Return the intersection of two boxes over their union, 0 to 1."""
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (first, second))
    return width * height / (areas - width * height)
