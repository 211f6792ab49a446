"""Head rotations as NumPy arrays to angles: tables are made where torch is not loaded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["rotation_angles"]

Array = NDArray[Any]


def rotation_angles(rotation: Array) -> tuple[Array, Array, Array]:
    """Return yaw, pitch, roll in radians, as `mien.geometry.rotation.rotation_to_angles`. Each [B].

    Args:
        rotation: R = Ry(yaw) Rx(-pitch) Rz(roll), canonical -> camera frame. [B, 3, 3].
    """
    pitch = np.arcsin(np.clip(rotation[:, 1, 2], -1, 1))
    yaw = np.arctan2(rotation[:, 0, 2], rotation[:, 2, 2])
    roll = np.arctan2(rotation[:, 1, 0], rotation[:, 1, 1])
    return yaw, pitch, roll
