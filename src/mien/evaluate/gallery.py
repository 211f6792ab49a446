"""Images of the worst cases, small enough to be shown."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["SIDE", "small"]

SIDE = 160
"""Neither side is longer. Pixels."""


def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image reduced so that neither side is longer than `SIDE`. RGB [H, W, 3]."""
    reduced = Image.fromarray(np.ascontiguousarray(image))
    reduced.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.array(reduced)
