"""Light on a matte surface."""

from __future__ import annotations

from torch import Tensor

from mien.types import Light

__all__ = ["shade"]


def shade(albedo: Tensor, normals: Tensor, light: Light) -> Tensor:
    """Return albedo * (ambient + diffuse * max(0, n . l)) (Lambert's law).

    Args:
        albedo: Colour without light, RGB in [0, 1]. [B, 3, H, W].
        normals: Outward unit normals n, camera frame (z < 0 faces the camera). [B, 3, H, W].
        light: Ambient and diffuse strength and the unit direction l to the light, camera frame.

    Returns:
        The lit colours, not clamped: above 1 where ambient + diffuse is. [B, 3, H, W].
    """
    facing = (normals * light.direction[:, :, None, None]).sum(dim=1, keepdim=True).clamp_min(0.0)
    ambient, diffuse = light.ambient[:, None, None, None], light.diffuse[:, None, None, None]
    return albedo * (ambient + diffuse * facing)
