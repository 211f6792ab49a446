"""What a crop is worth: how large the face is in its image, and how sharp the crop."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["sharpness"]


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Return the standard deviation of a crop's Laplacian, grey values from 0 to 1.

    The less the crop shows of fine structure (blur, an enlarged small face) the lower it is;
    crops of one size can be compared (Pech-Pacheco et al. 2000 take its square).

        (L g)(x, y) = g(x-1, y) + g(x+1, y) + g(x, y-1) + g(x, y+1) - 4 g(x, y)

    Args:
        crop: RGB, at least 3 x 3 pixels. [H, W, 3].
    """
    grey = cv2.cvtColor(crop.astype(np.float32), cv2.COLOR_RGB2GRAY)
    # What it gives at the edge is of pixels that are not there.
    laplacian = cv2.Laplacian(grey, cv2.CV_32F, ksize=1)[1:-1, 1:-1]
    return float(laplacian.std()) / 255 if laplacian.size else 0.0
