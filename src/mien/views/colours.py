"""Depth, normals and shape as images; every function gives RGB in [0, 1]."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.render.shade import shade
from mien.types import Light

__all__ = ["BACKGROUND", "depth_grey", "normal_colours", "on_background", "shaded"]

BACKGROUND = 0.93
"""Grey behind a rendered face: nothing of the face is as bright all over."""


def on_background(image: Tensor, mask: Tensor) -> Tensor:
    """Put a rendered face before a light grey wall. [B, 3, H, W].

    Args:
        image: RGB. [B, 3, H, W].
        mask: 1 where the face is. [B, 1, H, W].
    """
    return (image * mask + BACKGROUND * (1 - mask)).clamp(0, 1)


def depth_grey(depth: Tensor, mask: Tensor) -> Tensor:
    """Show depth as grey: each face's nearest point white, its farthest black. [B, 3, H, W].

    Args:
        depth: z, any unit. [B, 1, H, W].
        mask: 1 where there is a surface. [B, 1, H, W].
    """
    kept = mask > 0
    near = depth.masked_fill(~kept, torch.inf).amin(dim=(1, 2, 3), keepdim=True)
    far = depth.masked_fill(~kept, -torch.inf).amax(dim=(1, 2, 3), keepdim=True)
    grey = 1 - (depth - near) / (far - near).clamp_min(1e-6)
    return on_background(grey.nan_to_num(0, 0, 0).expand(-1, 3, -1, -1), mask)


def normal_colours(normals: Tensor, mask: Tensor) -> Tensor:
    """Show outward normals: red = image-right, green = up, blue = towards the camera.

    Args:
        normals: unit vectors, camera frame (x right, y down, z away). [B, 3, H, W].
        mask: 1 where there is a surface. [B, 1, H, W].
    """
    signs = normals.new_tensor([1.0, -1.0, -1.0])[None, :, None, None]
    return on_background((normals * signs + 1) / 2, mask)


def shaded(normals: Tensor, light: Light | None = None) -> Tensor:
    """Show shape as a grey plaster cast under a light.

    Args:
        normals: outward unit vectors, camera frame. [B, 3, H, W].
        light: one row, or one a face; from above image-left where not given.
    """
    if light is None:
        towards = F.normalize(normals.new_tensor([[-0.6, -0.5, -1.0]]), dim=1)
        light = Light(normals.new_tensor([0.15]), normals.new_tensor([0.8]), towards)
    return shade(torch.ones_like(normals), normals, light).clamp(0, 1)
