"""What a crop is worth: how large the face is in its image, and how sharp the crop."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["sharpness"]

_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32) / 255


def sharpness(crop: NDArray[np.uint8]) -> float:
    """Return the standard deviation of a crop's Laplacian, grey values from 0 to 1.

    The less the crop shows of fine structure (blur, an enlarged small face) the lower it is;
    crops of one size can be compared (Pech-Pacheco et al. 2000 take its square).

        (L g)(x, y) = g(x-1, y) + g(x+1, y) + g(x, y-1) + g(x, y+1) - 4 g(x, y)

    Args:
        crop: RGB, at least 3 x 3 pixels. [H, W, 3].
    """
    grey = crop.astype(np.float32) @ _LUMA
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    return float(laplacian.std()) if laplacian.size else 0.0
