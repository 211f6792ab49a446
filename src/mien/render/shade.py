"""From the canonical face to the image: light on a matte surface, and sampling at positions."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.types import Light

__all__ = ["sample", "shade"]


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


def sample(image: Tensor, uv: Tensor) -> Tensor:
    """Read an image at these positions, bilinearly; differentiable in both. [B, C, h, w].

    Args:
        image: [B, C, H, W]; outside it its border goes on.
        uv: Column u and row v in the image's pixels, centres at integers. [B, 2, h, w].
    """
    height, width = image.shape[-2:]
    # grid_sample counts from -1 at the first centre to 1 at the last.
    spans = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=uv.device, dtype=uv.dtype)
    grid = uv.permute(0, 2, 3, 1) * (2.0 / spans) - 1.0
    return F.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )
