"""Frontal views without holes: what a turn hides is taken from the other half of the face.

The canonical face is close to mirror symmetric, so a point that the image does not show is best
known from its mirrored twin where the image shows that one.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.geometry.camera import focal_length, place, project, unproject
from mien.geometry.surface import surface_normals
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize
from mien.types import Pose

__all__ = ["restore_hidden", "visibility"]

_GRAZING, _PLAIN = 0.1, 0.4
"""Cosines between normal and line of sight: seen too flatly to trust; seen well."""


def visibility(depth: Tensor, pose: Pose, fov_deg: float) -> Tensor:
    """Tell how well the camera sees each point of the canonical face.

    Args:
        depth: canonical z, face units. [B, 1, H, W].
        pose: canonical -> camera.
        fov_deg: field of view across the image.

    Returns:
        1 for a point seen plainly, 0 for one that is hidden behind others, turned away or
        outside the image. [B, 1, H, W].
    """
    batch, _, height, width = depth.shape
    grid = unproject(depth, fov_deg)
    placed = place(grid.reshape(batch, -1, 3), pose)
    normals = surface_normals(grid).reshape(batch, 3, -1).transpose(1, 2)
    turned = normals @ pose.rotation.transpose(1, 2)
    facing = -(turned * F.normalize(placed, dim=2)).sum(dim=2)
    trust = ((facing - _GRAZING) / (_PLAIN - _GRAZING)).clamp(0, 1)
    seen = project(placed, height, width, fov_deg)
    triangles = grid_triangles(height, width).to(depth.device)
    nearest = rasterize(seen, triangles, height, width).depth[:, None]
    # The surface slopes within a pixel, so a point may lie behind the depth at its pixel's centre.
    farthest = F.max_pool2d(nearest.nan_to_num(posinf=0.0), 3, stride=1, padding=1).flatten(1)
    u, v = seen[..., 0].round().long(), seen[..., 1].round().long()
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    at = v.clamp(0, height - 1) * width + u.clamp(0, width - 1)
    pixel = 1 / focal_length(width, fov_deg)
    unhidden = seen[..., 2] <= farthest.gather(1, at) + 2 * pixel
    return (trust * (inside & unhidden)).reshape(batch, 1, height, width)


def restore_hidden(canonical: Tensor, seen: Tensor) -> Tensor:
    """Take each point from its mirrored twin as far as the image shows the twin better.

    Args:
        canonical: a canonical map (albedo, depth). [B, C, H, W].
        seen: visibility of its points. [B, 1, H, W].

    Returns:
        The completed map. [B, C, H, W].
    """
    share = (seen.flip(-1) - seen).clamp(0, 1)
    # A soft edge, so that a small error in symmetry does not show as a line.
    share = F.avg_pool2d(F.pad(share, (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    return torch.lerp(canonical, canonical.flip(-1), share)
