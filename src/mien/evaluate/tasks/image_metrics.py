"""How alike two images are, inside a mask; every argument by keyword, so none can be swapped."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["colour_error", "psnr", "ssim"]

Array = NDArray[np.floating]

SIGMA, WINDOW = 1.5, 11
"""Of SSIM's Gaussian, pixels."""
C1, C2 = 0.01**2, 0.03**2


def psnr(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the peak signal-to-noise ratio, dB: −10 log10 of the mean squared error.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].
    """
    squared = float(((made - truth)[mask] ** 2).mean())
    return float(-10 * np.log10(max(squared, 1e-10)))


def ssim(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the structural similarity of Wang et al. 2004, mean over the mask and the colours.

        SSIM = (2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2))

    with means, variances and covariance under a Gaussian of 1.5 pixels, 11 wide; c1 = 0.01² and
    c2 = 0.03² for values in [0, 1]. The window reaches over the mask's edge.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].
    """
    x, y = np.asarray(made, np.float64), np.asarray(truth, np.float64)
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x, var_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    both = _smooth(x * y) - mean_x * mean_y
    above = (2 * mean_x * mean_y + C1) * (2 * both + C2)
    below = (mean_x**2 + mean_y**2 + C1) * (var_x + var_y + C2)
    return float((above / below)[mask].mean())


def colour_error(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the mean absolute difference of colours in levels of 255; NaN for an empty mask.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].
    """
    if not mask.any():
        return float("nan")
    return float(255 * np.abs(made - truth)[mask].mean())


def _smooth(values: Array) -> Array:
    blurred = cv2.GaussianBlur(values, (WINDOW, WINDOW), SIGMA, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float64)
