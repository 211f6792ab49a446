"""Directions of light, and how far two of them are apart."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.geometry.gaze import angle_between

__all__ = ["apart_deg", "off_axis_deg", "unit_rows"]

Array = NDArray[np.floating]


def off_axis_deg(direction: Array) -> NDArray[np.float64]:
    """Return the angle between a lamp and the camera, as seen from the face. [N, 3] -> [N]."""
    ahead = np.array([0.0, 0.0, -1.0])
    return np.degrees(angle_between(np.asarray(direction, np.float64), ahead))


def apart_deg(*, predicted: Array, truth: Array) -> NDArray[np.float64]:
    """Return the angle between directions of any length but 0. [N, 3], [N, 3] -> [N]."""
    return np.degrees(
        angle_between(np.asarray(predicted, np.float64), np.asarray(truth, np.float64))
    )


def unit_rows(vectors: Array) -> NDArray[np.float64]:
    """Return vectors of length 1; one without length is the way to the camera. [N, 3]."""
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-9, vectors / length.clip(1e-9), np.array([0.0, 0.0, -1.0]))
