"""Head rotations as the pose benchmarks write them, and how far two of them are apart.

300W-LP and AFLW2000-3D (Zhu et al., 2016) turn a head by R' = Rx'(pitch) Ry'(yaw) Rz'(roll), each
factor the transpose of the usual right-handed rotation, in a frame with x to image-right, y up and
z towards the camera. In ours (x right, y down, z away) with the usual rotations that is

    R = Rx(-pitch) Ry(yaw) Rz(roll)

so that each angle has our sign (yaw + towards image-left, pitch + up, roll + clockwise in the
image), but they are applied in another order than in our Ry(yaw) Rx(-pitch) Rz(roll): angles of
a head that is turned and raised differ by some degrees. FSA-Net (Yang et al., 2019) and those after
it write BIWI's labels in the same order. Errors of single angles are therefore taken in it, and are
comparable with theirs; the geodesic error knows no order.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mien.evaluate.datasets.head_pose import benchmark_angles, seen_along
from mien.geometry.rotation import angles_to_rotation, rotation_to_angles

__all__ = [
    "ANGLES",
    "angle_errors_deg",
    "benchmark_angles",
    "benchmark_rotation",
    "geodesic_deg",
    "own_angles",
    "own_rotation",
    "seen_along",
]

Array = NDArray[np.floating]
ANGLES = ("yaw", "pitch", "roll")
"""The order of the columns, everywhere."""


def own_rotation(angles: Array) -> NDArray[np.float64]:
    """Return Ry(yaw) Rx(-pitch) Rz(roll) of our yaw, pitch, roll. Radians [N, 3] -> [N, 3, 3]."""
    yaw, pitch, roll = torch.from_numpy(np.array(angles, dtype=np.float64)).unbind(dim=-1)
    return angles_to_rotation(yaw, pitch, roll).numpy()


def own_angles(rotation: Array) -> NDArray[np.float64]:
    """Return our yaw, pitch, roll of rotations. [N, 3, 3] -> radians [N, 3]."""
    found = rotation_to_angles(torch.from_numpy(np.array(rotation, dtype=np.float64)))
    return torch.stack(found, dim=-1).numpy()


def benchmark_rotation(angles: Array) -> NDArray[np.float64]:
    """Return R = Rx(-pitch) Ry(yaw) Rz(roll) in our frame. Radians [N, 3] -> [N, 3, 3].

    Args:
        angles: yaw, pitch, roll as the benchmarks have them.
    """
    yaw, pitch, roll = np.moveaxis(np.asarray(angles, dtype=np.float64), -1, 0)
    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (np.cos, np.sin))
    # Ry(yaw) Rz(roll), then Rx(-pitch), which has +sin above the diagonal, multiplied out.
    rows = [
        np.stack([cy * cr, -cy * sr, sy], axis=-1),
        np.stack([cp * sr - sp * sy * cr, cp * cr + sp * sy * sr, sp * cy], axis=-1),
        np.stack([-sp * sr - cp * sy * cr, -sp * cr + cp * sy * sr, cp * cy], axis=-1),
    ]
    return np.stack(rows, axis=-2)


def geodesic_deg(*, predicted: Array, truth: Array) -> NDArray[np.float64]:
    """Return the angle of the rotation from one to the other: acos((tr(A' B) - 1) / 2). [N].

    From the chord |A - B| = 2 sqrt(2) sin(angle / 2), which is exact for small angles, too.

    Args:
        predicted: [N, 3, 3].
        truth: [N, 3, 3].
    """
    chord = np.linalg.norm(np.asarray(predicted) - np.asarray(truth), axis=(-2, -1))
    return np.degrees(2 * np.arcsin((chord / (2 * np.sqrt(2))).clip(0, 1)))


def angle_errors_deg(*, predicted: Array, truth: Array) -> NDArray[np.float64]:
    """Return the absolute difference of each angle, the short way round. Radians -> degrees [N, 3].

    Args:
        predicted: yaw, pitch, roll. Radians [N, 3].
        truth: likewise, in the same order of rotations.
    """
    apart = np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return np.degrees(np.abs((apart + np.pi) % (2 * np.pi) - np.pi))
