"""Head pose as angles in the order of another program."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.columns import POSE

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GAZE", "numbers", "pose_angles"]

GAZE = ("gaze_x", "gaze_y", "gaze_z")


def pose_angles(faces: pd.DataFrame, order: str) -> NDArray[np.float64]:
    """Return angles that make the same rotations, in radians; NaN where there is none. [N, 3].

    Args:
        faces: a table's columns, head pose among them. N rows.
        order: as of SciPy's `Rotation.as_euler`, about the axes of the camera frame: "XYZ" for
            R = Rx Ry Rz, "xyz" for R = Rz Ry Rx. The angles come in this order.
    """
    from scipy.spatial.transform import Rotation  # only where these columns are asked for

    angles = numbers(faces, POSE)
    there = np.isfinite(angles).all(axis=1)
    turned = np.full(angles.shape, np.nan)
    if there.any():
        yaw, pitch, roll = angles[there].T
        rotation = Rotation.from_euler("YXZ", np.stack([yaw, -pitch, roll], axis=1))
        turned[there] = rotation.as_euler(order)
    return turned


def numbers(faces: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float64]:
    """Return columns of numbers side by side, NaN where they are empty. [N, D]."""
    return np.stack([faces[n].to_numpy(dtype=np.float64, na_value=np.nan) for n in names], axis=1)
