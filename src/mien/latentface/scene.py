"""Image formation: canonical face, pose and light to the camera's image.

LatentFace section 3 (after Wu et al. 2020, equations 1 and 2): shading, rotation, rasterisation
and sampling, in that order.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.geometry.camera import pixel_grid, place, project, surface_normals, unproject
from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import Fragments, rasterize
from mien.render.shade import sample, shade
from mien.types import Light, Pose, Rendering

__all__ = ["View", "render", "shade_view", "view"]


@dataclass(frozen=True)
class View:
    """Where every image pixel looks on the canonical face."""

    uv: Tensor
    """Canonical pixel (column, row) seen by each pixel. [B, 2, H, W]."""
    mask: Tensor
    """1 where the surface covers the pixel. [B, 1, H, W]."""
    depth: Tensor
    """z of the seen point in the camera frame; 0 where nothing. [B, 1, H, W]."""


def view(depth: Tensor, pose: Pose, fov_deg: float) -> View:
    """Find which canonical pixel each image pixel sees; differentiable in depth and pose.

    Args:
        depth: canonical z, face units. [B, 1, H, W].
        pose: canonical -> camera.
        fov_deg: field of view across the image, degrees.
    """
    batch, _, height, width = depth.shape
    points = unproject(depth, fov_deg).reshape(batch, height * width, 3)
    placed = project(place(points, pose), height, width, fov_deg)
    triangles = grid_triangles(height, width).to(depth.device)
    fragments: Fragments = rasterize(placed.detach(), triangles, height, width)
    grid = pixel_grid(height, width, depth.device).reshape(1, -1, 2).expand(batch, -1, -1)
    attributes = torch.cat([grid.to(depth.dtype), placed[..., 2:]], dim=2)
    seen = interpolate(fragments, placed, triangles, attributes)
    mask = (fragments.pix_to_face >= 0)[:, None].to(depth.dtype)
    return View(seen[:, :2], mask, seen[:, 2:])


def shade_view(
    albedo: Tensor, depth: Tensor, seen: View, rotation: Tensor, light: Light, fov_deg: float
) -> Tensor:
    """Shade the canonical face under a light in the camera frame, then sample it. [B, 3, H, W].

    Args:
        albedo: canonical RGB in [0, 1]. [B, 3, H, W].
        depth: canonical z, face units. [B, 1, H, W].
        seen: where each pixel looks, of `view`; the image is 0 where nothing is seen.
        rotation: canonical -> camera. [B, 3, 3].
        light: camera frame, one row a face.
        fov_deg: field of view across the image, degrees.
    """
    normals = surface_normals(unproject(depth, fov_deg))
    rotated = torch.einsum("bij,bjhw->bihw", rotation, normals)
    shaded = shade(albedo, rotated, light)
    return sample(shaded, seen.uv) * seen.mask


def render(albedo: Tensor, depth: Tensor, pose: Pose, light: Light, fov_deg: float) -> Rendering:
    """Render a canonical face and all that goes with the image, for a person to look at.

    Args:
        albedo: canonical RGB. [B, 3, H, W].
        depth: canonical z, face units. [B, 1, H, W].
        pose: canonical -> camera, one row a face.
        light: camera frame, one row a face.
        fov_deg: field of view across the image, degrees.
    """
    seen = view(depth, pose, fov_deg)
    image = shade_view(albedo, depth, seen, pose.rotation, light, fov_deg)
    normals = surface_normals(unproject(depth, fov_deg))
    rotated = sample(torch.einsum("bij,bjhw->bihw", pose.rotation, normals), seen.uv)
    return Rendering(
        image=image.clamp(0, 1),
        mask=seen.mask,
        depth=seen.depth,
        normals=F.normalize(rotated, dim=1, eps=1e-12) * seen.mask,
        canonical_albedo=albedo,
        canonical_depth=depth,
        canonical_normals=normals,
    )
