"""Images that stand in two parts of a data set, to the pixel."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.protocol import Images

__all__ = ["without_twins"]

Rows = NDArray[np.int64]


def without_twins(images: Images, train: Rows, test: Rows) -> tuple[Rows, int]:
    """Leave training images out whose very pixels are also in the test part.

    Args:
        images: of both parts; all of them are read.
        train: training rows.
        test: test rows.

    Returns:
        The training rows that are left, and how many are not.
    """
    known = {_pixels(images, int(row)) for row in test}
    kept = np.array([_pixels(images, int(row)) not in known for row in train], dtype=bool)
    return train[kept], int((~kept).sum())


def _pixels(images: Images, row: int) -> bytes:
    image = images.read(row)
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()
