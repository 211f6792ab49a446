"""Head rotations: angles to matrices and back.

R = Ry(yaw) Rx(-pitch) Rz(roll), canonical -> camera frame (x right, y down, z away): pitch +
looks up, yaw + is towards image-left, roll + is clockwise in the image.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["angles_to_rotation", "angles_to_vector", "rotation_to_angles", "vector_to_angles"]


def angles_to_rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """Return R = Ry(yaw) Rx(-pitch) Rz(roll), angles in radians. [..., 3, 3]."""
    cy, sy = yaw.cos(), yaw.sin()
    cp, sp = pitch.cos(), pitch.sin()
    cr, sr = roll.cos(), roll.sin()
    # Rx(-pitch) has +sin above the diagonal; the product below is written out.
    rows = [
        torch.stack([cy * cr - sy * sp * sr, -cy * sr - sy * sp * cr, sy * cp], dim=-1),
        torch.stack([cp * sr, cp * cr, sp], dim=-1),
        torch.stack([-sy * cr - cy * sp * sr, sy * sr - cy * sp * cr, cy * cp], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def rotation_to_angles(rotation: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return (yaw, pitch, roll) in radians of R = Ry(yaw) Rx(-pitch) Rz(roll). Each [...]."""
    pitch = torch.asin(rotation[..., 1, 2].clamp(-1, 1))
    yaw = torch.atan2(rotation[..., 0, 2], rotation[..., 2, 2])
    roll = torch.atan2(rotation[..., 1, 0], rotation[..., 1, 1])
    return yaw, pitch, roll


def vector_to_angles(direction: Tensor) -> tuple[Tensor, Tensor]:
    """Return (yaw, pitch) in radians of unit vectors in the camera frame. [..., 3] -> [...]."""
    pitch = torch.asin((-direction[..., 1]).clamp(-1, 1))
    yaw = torch.atan2(-direction[..., 0], -direction[..., 2])
    return yaw, pitch


def angles_to_vector(yaw: Tensor, pitch: Tensor) -> Tensor:
    """Return the unit vector in the camera frame that looks along (yaw, pitch). [..., 3]."""
    return torch.stack([-pitch.cos() * yaw.sin(), -pitch.sin(), -pitch.cos() * yaw.cos()], dim=-1)
