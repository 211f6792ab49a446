"""An image in memory: a still, or one frame of a video."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Frame"]


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or one frame of a video."""

    pixels: NDArray[np.uint8] | None
    """RGB [H, W, 3]; None: a broken frame of a video."""
    index: int = 0
    """Its place among all frames in the order of showing, broken ones counted; the first is 0."""
    time_s: float | None = None
    """When it is shown, in seconds, 0 where a player sees the file begin; None: a still."""
    scale: int = 1
    """Pixels of the file per pixel here, >= 1: very large images are reduced by a whole factor."""
