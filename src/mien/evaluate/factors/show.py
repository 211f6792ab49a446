"""Pictures for the gallery of the worst cases."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

__all__ = ["MOST_PIXELS", "small"]

MOST_PIXELS = 160


def small(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture whose longer side has at most 160 pixels. RGB [H, W, 3]."""
    longest = max(picture.shape[:2])
    if longest <= MOST_PIXELS:
        return picture
    height, width = (max(1, round(side * MOST_PIXELS / longest)) for side in picture.shape[:2])
    return np.array(Image.fromarray(picture).resize((width, height), Image.Resampling.BOX))
