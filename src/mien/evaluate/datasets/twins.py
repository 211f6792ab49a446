"""Pictures that stand in two parts of a data set, to the pixel."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.protocol import Pictures

__all__ = ["without_twins"]

Rows = NDArray[np.int64]


def without_twins(pictures: Pictures, train: Rows, test: Rows) -> tuple[Rows, int]:
    """Leave training pictures out whose very pixels are also in the test part.

    Args:
        pictures: of both parts; all of them are read.
        train: training rows.
        test: test rows.

    Returns:
        The training rows that are left, and how many are not.
    """
    known = {_pixels(pictures, int(row)) for row in test}
    kept = np.array([_pixels(pictures, int(row)) not in known for row in train], dtype=bool)
    return train[kept], int((~kept).sum())


def _pixels(pictures: Pictures, row: int) -> bytes:
    image = pictures.read(row)
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()
