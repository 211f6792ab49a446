"""The centred cosine of codes, and the thresholds that are measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Threshold", "centred"]


@dataclass(frozen=True)
class Threshold:
    """A similarity from which two faces are taken for one person, and what that costs."""

    similarity: float
    """In [-1, 1]."""
    false_match_rate: float
    """Pairs of different people that reach it, as a fraction."""
    true_match_rate: float
    """Pairs of one person that reach it, as a fraction."""


def centred(
    codes: NDArray[np.floating[Any]], mean: NDArray[np.floating[Any]] | float
) -> NDArray[np.float64]:
    """Return codes less their mean, of length one; one that is the mean stays 0.

    Args:
        codes: of faces. [..., D].
        mean: of the code over many people [D]; 0: none is taken off.
    """
    moved = codes.astype(np.float64) - mean
    return moved / np.maximum(np.linalg.norm(moved, axis=-1, keepdims=True), 1e-12)
