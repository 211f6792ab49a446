"""Histograms of oriented gradients (Dalal and Triggs 2005): what an image says with no learning.

The scale that learned codes are held against; a ridge regression on them is the whole method.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["hog_features"]

CELL, BLOCK, BINS = 8, 16, 9
"""Side of a cell and of a block (two cells, one apart), in pixels; orientations, unsigned."""


def hog_features(
    *, images: Iterable[NDArray[np.uint8]], size: Sequence[int]
) -> NDArray[np.float32]:
    """Return the histograms of each image, brought to one size first.

    Args:
        images: grey. Each uint8 [H, W]; their sizes may differ.
        size: (height, width) that images are scaled to: multiples of 8, at least 16. Pixels.

    Returns:
        Block-normalised histograms. [N, D], D = 36 (height / 8 - 1) (width / 8 - 1).

    Raises:
        ValueError: a size that is not in whole cells, or an image that is not grey uint8.
    """
    height, width = size
    if min(size) < BLOCK or height % CELL or width % CELL:
        raise ValueError(f"multiples of {CELL}, at least {BLOCK}, are wanted, not {tuple(size)}")
    window = (width, height)
    describe = cv2.HOGDescriptor(window, (BLOCK, BLOCK), (CELL, CELL), (CELL, CELL), BINS)
    rows = []
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"grey uint8 is wanted, not {image.dtype} {list(image.shape)}")
        if image.shape != (height, width):
            image = cv2.resize(image, window, interpolation=cv2.INTER_AREA)
        rows.append(np.asarray(describe.compute(image), np.float32).reshape(-1))
    length = 4 * BINS * (height // CELL - 1) * (width // CELL - 1)
    return np.stack(rows) if rows else np.empty((0, length), np.float32)
