"""Local binary patterns (Ojala et al. 2002; on faces, Ahonen et al. 2006) of whole face crops.

Eight neighbours on a circle, bilinear between pixels, each 1 where it is not darker than the
middle. The 58 patterns with at most two changes around the circle have a bin each, all others share
one. Histograms of cells are joined, as the square roots of their fractions: the cosine of two
of these is the Bhattacharyya coefficient of the histograms, which suits them better than the cosine
of the fractions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["LBP_SETTINGS", "Lbp", "LbpSetting", "lbp_codes", "uniform_bins"]

NEIGHBOURS, BINS = 8, 59
_EQUAL = 1e-3
"""Grey values that differ by less are equal: what is between pixels is not exact."""


@dataclass(frozen=True)
class LbpSetting:
    """How large circles and cells are."""

    radii: tuple[int, ...] = (1, 2)
    """Of the circles; their histograms are joined. Pixels."""
    cells: int = 8
    """Cells along a side; where they do not divide it, they differ by a pixel."""

    def __str__(self) -> str:
        """Return it in words."""
        radii = " and ".join(map(str, self.radii))
        return f"radius {radii}, {self.cells} x {self.cells} cells"


LBP_SETTINGS = (
    LbpSetting((1,), 7),
    LbpSetting((2,), 5),
    LbpSetting((2,), 7),
    LbpSetting((2,), 10),
    LbpSetting((1, 2), 5),
    LbpSetting((1, 2), 7),
    LbpSetting((1, 2), 10),
    LbpSetting((1, 2, 3), 7),
)
"""To choose from; circles of one size or of several, coarse to fine cells."""


class Lbp:
    """Describes crops by their patterns."""

    parameters = 0

    def __init__(self, setting: LbpSetting = LBP_SETTINGS[5]) -> None:
        """Prepare the histograms of a setting."""
        self.setting = setting
        self._bin_of = uniform_bins()

    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the histograms of RGB crops. [B, S, S, 3] -> [B, radii cells^2 59]."""
        grey = np.stack([cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY) for crop in crops])
        parts = [self._histograms(grey, radius) for radius in self.setting.radii]
        return np.concatenate(parts, axis=1)

    def _histograms(self, grey: NDArray[np.uint8], radius: int) -> NDArray[np.float32]:
        bins = self._bin_of[lbp_codes(grey, radius)]
        count, side, cells = len(grey), grey.shape[1], self.setting.cells
        cell = np.arange(side) * cells // side
        place = (cell[:, None] * cells + cell[None, :])[None]
        row = np.arange(count)[:, None, None] * cells * cells
        flat = ((row + place) * BINS + bins).ravel()
        found = np.bincount(flat, minlength=count * cells * cells * BINS)
        found = found.reshape(count, cells * cells, BINS)
        fractions = found / found.sum(axis=2, keepdims=True)
        return np.sqrt(fractions).reshape(count, -1).astype(np.float32)


def lbp_codes(grey: NDArray[np.uint8], radius: int) -> NDArray[np.uint8]:
    """Return each pixel's pattern; beyond the image its outermost pixels go on.

    Args:
        grey: [B, H, W].
        radius: of the circle. Pixels.

    Returns:
        Bit k is the neighbour at k / 8 of the circle, from the right towards the top. [B, H, W].
    """
    height, width = grey.shape[1:]
    room = radius + 1
    around = np.pad(grey, ((0, 0), (room, room), (room, room)), mode="edge").astype(np.float32)

    def moved(down: int, right: int) -> NDArray[np.float32]:
        return around[:, room + down :, room + right :][:, :height, :width]

    codes = np.zeros(grey.shape, dtype=np.uint8)
    for k in range(NEIGHBOURS):
        angle = 2 * math.pi * k / NEIGHBOURS
        y, x = -radius * math.sin(angle), radius * math.cos(angle)
        # Whole numbers come out of sin and cos a hair beside themselves.
        y, x = round(y, 6), round(x, 6)
        top, left = math.floor(y), math.floor(x)
        below, beside = y - top, x - left
        upper = (1 - beside) * moved(top, left) + beside * moved(top, left + 1)
        lower = (1 - beside) * moved(top + 1, left) + beside * moved(top + 1, left + 1)
        neighbour = (1 - below) * upper + below * lower
        codes |= (neighbour >= moved(0, 0) - _EQUAL).astype(np.uint8) << np.uint8(k)
    return codes


def uniform_bins() -> NDArray[np.int64]:
    """Return the bin of each of the 256 patterns: 0 to 57, and 58 for all that are not uniform."""
    bins = np.full(1 << NEIGHBOURS, BINS - 1, dtype=np.int64)
    uniform = 0
    for code in range(1 << NEIGHBOURS):
        bits = [code >> k & 1 for k in range(NEIGHBOURS)]
        if sum(bits[k] != bits[k - 1] for k in range(NEIGHBOURS)) <= 2:
            bins[code] = uniform
            uniform += 1
    return bins
