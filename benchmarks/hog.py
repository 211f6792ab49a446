"""Histograms of oriented gradients (Dalal and Triggs 2005): what an image says with no learning.

The scale that learned codes are held against; a ridge regression on them is the whole method.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["hog_features"]

BINS = 9
"""Orientations, unsigned."""


def hog_features(
    *, images: Iterable[NDArray[np.uint8]], size: Sequence[int], cell: int = 8
) -> NDArray[np.float32]:
    """Return the histograms of each image, brought to one size first.

    Args:
        images: grey. Each uint8 [H, W]; their sizes may differ.
        size: (height, width) that images are scaled to, at least two cells each. Pixels.
        cell: side of a cell; a block has two by two, one cell apart. Pixels.

    Returns:
        Block-normalised histograms. [N, D], D = 36 (height / cell - 1) (width / cell - 1).

    Raises:
        ValueError: a size that is not in whole cells, or an image that is not grey uint8.
    """
    height, width = size
    block = 2 * cell
    if cell < 1 or min(size) < block or height % cell or width % cell:
        raise ValueError(f"multiples of {cell}, at least {block}, are wanted, not {tuple(size)}")
    window = (width, height)
    describe = cv2.HOGDescriptor(window, (block, block), (cell, cell), (cell, cell), BINS)
    rows = []
    for image in images:
        if image.ndim != 2 or image.dtype != np.uint8:
            raise ValueError(f"grey uint8 is wanted, not {image.dtype} {list(image.shape)}")
        if image.shape != (height, width):
            image = cv2.resize(image, window, interpolation=cv2.INTER_AREA)
        rows.append(np.asarray(describe.compute(image), np.float32).reshape(-1))
    length = 4 * BINS * (height // cell - 1) * (width // cell - 1)
    return np.stack(rows) if rows else np.empty((0, length), np.float32)
