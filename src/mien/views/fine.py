"""Rendering for the eye: larger than the model's own size, smooth, with soft outlines.

Networks leave a fine checkerboard in their maps, and normals, being differences of depth, show it
most. So depth is smoothed over its pixels and enlarged by cubic B-splines, which have no kinks;
colour and normals are then read, and light computed, for every pixel of the image and not of the
map. The image is rendered at twice its size and averaged: outlines are soft and have no holes.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.geometry.camera import pixel_grid, place, project, surface_normals, unproject
from mien.render.interpolate import interpolate
from mien.render.mesh import grid_triangles
from mien.render.rasterize import rasterize
from mien.render.shade import sample, shade
from mien.types import Light, Pose, Rendering

__all__ = ["enlarge", "fine_maps", "render_fine", "smooth"]

_GRID = 256
"""Side of the maps that are sampled, in pixels: four of them for each of the networks'."""
_FINER = 2


def smooth(image: Tensor) -> Tensor:
    """Average each pixel with its neighbours, [1 2 1] / 4 both ways: no checkerboard is left.

    Args:
        image: [B, C, H, W].
    """
    kernel = image.new_tensor([0.25, 0.5, 0.25])
    weight = (kernel[:, None] * kernel).expand(image.shape[1], 1, 3, 3)
    return F.conv2d(F.pad(image, (1, 1, 1, 1), mode="replicate"), weight, groups=image.shape[1])


def enlarge(image: Tensor, size: int) -> Tensor:
    """Bring a map to another size by cubic B-splines; its corners stay where they are.

    Args:
        image: [B, C, H, W].
        size: pixels.

    Returns:
        [B, C, size, size].
    """
    rows, columns = (_splines(n, size).to(image) for n in image.shape[-2:])
    return rows @ image @ columns.T


def _splines(old: int, new: int) -> Tensor:
    """Return how much each new pixel takes of each old one; at the border the last goes on."""
    places = torch.linspace(-1, old, old + 2)  # one more to both sides
    far = (torch.linspace(0, old - 1, new)[:, None] - places).abs()
    near = 2 / 3 - far**2 + far**3 / 2
    weights = torch.where(far < 1, near, (2 - far).clamp_min(0) ** 3 / 6)
    inner = weights[:, 1:-1].clone()
    inner[:, 0] += weights[:, 0]
    inner[:, -1] += weights[:, -1]
    return inner


def fine_maps(albedo: Tensor, depth: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maps that are sampled: smoothed and enlarged. [B, C, 256, 256].

    Args:
        albedo: canonical RGB. [B, 3, H, W].
        depth: canonical z, face units. [B, 1, H, W].
    """
    # Splines blur a little, which a little sharpening makes up for.
    sharp = albedo + (albedo - smooth(albedo)) / 2
    return enlarge(sharp, _GRID).clamp(0, 1), enlarge(smooth(depth), _GRID)


@torch.no_grad()
def render_fine(
    albedo: Tensor, depth: Tensor, pose: Pose, light: Light, fov_deg: float, size: int
) -> Rendering:
    """Render canonical faces as images of any size.

    Args:
        albedo: canonical RGB. [B, 3, H, W].
        depth: canonical z, face units. [B, 1, H, W].
        pose: canonical -> camera, one row a face.
        light: camera frame, one row a face.
        fov_deg: field of view across the image, degrees.
        size: side of the image, pixels.

    Returns:
        Images [B, C, size, size], their `mask` the part of a pixel that the face covers, 0 to 1;
        canonical maps [B, C, 256, 256].
    """
    albedo, depth = fine_maps(albedo, depth)
    batch, side = len(depth), _FINER * size
    surface = unproject(depth, fov_deg)
    normals = surface_normals(surface)
    points = project(place(surface.flatten(1, 2), pose), side, side, fov_deg)
    triangles = grid_triangles(_GRID, _GRID).to(depth.device)
    fragments = rasterize(points, triangles, side, side)
    grid = pixel_grid(_GRID, _GRID, depth.device).reshape(1, -1, 2).expand(batch, -1, -1)
    seen = interpolate(fragments, points, triangles, torch.cat([grid, points[..., 2:]], dim=2))
    uv, mask = seen[:, :2], (fragments.pix_to_face >= 0)[:, None].to(depth.dtype)
    turned = torch.einsum("bij,bjhw->bihw", pose.rotation, normals)
    towards = F.normalize(sample(turned, uv), dim=1, eps=1e-12)
    image = shade(sample(albedo, uv), towards, light).clamp(0, 1)
    cover = F.avg_pool2d(mask, _FINER)

    def averaged(what: Tensor) -> Tensor:
        return F.avg_pool2d(what * mask, _FINER) / cover.clamp_min(1e-6)

    return Rendering(
        image=averaged(image),
        mask=cover,
        depth=averaged(seen[:, 2:]),
        normals=F.normalize(averaged(towards), dim=1, eps=1e-12) * (cover > 0),
        canonical_albedo=albedo,
        canonical_depth=depth,
        canonical_normals=normals,
    )
