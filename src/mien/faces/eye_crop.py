"""Eye-region crops, which show both eyes and little else, brought to the size a model wants."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError

__all__ = ["MIN_WIDTH", "fit_eye_crop"]

MIN_WIDTH = 32
"""Of a narrower image nothing of the irises is left, in pixels."""


def fit_eye_crop(pixels: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Resize an eye-region crop to the width; cut its height, or repeat its edge rows.

    Args:
        pixels: RGB [h, w, 3].
        size: height H and width W that are wanted, in pixels.

    Returns:
        RGB [H, W, 3]; the same scale along both sides, but for rounding.

    Raises:
        MienError: if the image is higher than wide, or less than `MIN_WIDTH` wide.
    """
    height, width = size
    old_height, old_width = pixels.shape[:2]
    if old_height > old_width:
        raise MienError(f"no eye-region crop: {old_width} x {old_height} px, higher than wide")
    if old_width < MIN_WIDTH:
        raise MienError(f"too small for eyes: {old_width} px wide, at least {MIN_WIDTH} is read")
    rows = max(1, round(old_height * width / old_width))
    if (rows, width) != (old_height, old_width):
        eye_crop = Image.fromarray(np.ascontiguousarray(pixels))
        # A triangle filter, as for crops of faces.
        pixels = np.array(eye_crop.resize((width, rows), Image.Resampling.BILINEAR))
    # Whole rows are taken: a shift by half of one would blur the irises.
    top = (rows - height) // 2
    return pixels[np.arange(top, top + height).clip(0, rows - 1)]
