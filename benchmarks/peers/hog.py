"""Histograms of oriented gradients (Dalal and Triggs 2005) of whole face crops.

The size of a cell is chosen on training data, as whoever uses HOG would do.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from benchmarks.hog import hog_features
from numpy.typing import NDArray

__all__ = ["HOG_SETTINGS", "Hog", "HogSetting"]


@dataclass(frozen=True)
class HogSetting:
    """How fine the histograms are."""

    cell: int = 8
    """Side of a cell; a block has two by two. Pixels."""
    side: int = 64
    """The crop is brought to this side first: a whole number of cells. Pixels."""

    def __post_init__(self) -> None:
        """Refuse cells that do not fill the image."""
        if self.cell < 1 or self.side % self.cell or self.side < 2 * self.cell:
            raise ValueError(f"a side of {self.side} is no whole number of cells of {self.cell}")

    def __str__(self) -> str:
        """Return it in words."""
        return f"{self.side // self.cell} x {self.side // self.cell} cells"


HOG_SETTINGS = (
    HogSetting(16),
    HogSetting(8, 48),
    HogSetting(8),
    HogSetting(8, 80),
    HogSetting(8, 96),
    HogSetting(4),
)
"""To choose from, coarse to fine: 4, 6, 8, 10, 12 and 16 cells a side."""


class Hog:
    """Describes crops by their gradients."""

    parameters = 0

    def __init__(self, setting: HogSetting = HOG_SETTINGS[2]) -> None:
        """Take the histograms of a setting."""
        self.setting = setting

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the histograms of RGB crops. [B, S, S, 3] -> [B, 36 (cells - 1)^2]."""
        side, cell = self.setting.side, self.setting.cell
        images = [self._grey(crop) for crop in crops]
        return hog_features(images=images, size=(side, side), cell=cell)

    def _grey(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        grey, side = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), self.setting.side
        if grey.shape != (side, side):
            smaller = side < grey.shape[0]
            how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
            grey = cv2.resize(grey, (side, side), interpolation=how)
        return np.asarray(grey, np.uint8)
