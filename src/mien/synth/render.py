"""Render a clip's heads over their backgrounds: fused numba on the CPU, torch on any device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from mien.render.rasterize import corners_of, rasterize
from mien.synth.head_model import HeadModel, Part
from mien.synth.kernels import FLIP_ABOVE, SUPERSAMPLE, for_each_frame, shade_frame
from mien.synth.scene import Placement

__all__ = ["Rendered", "Surface", "render_frames", "render_frames_torch", "two_sided_triangles"]


@dataclass(frozen=True)
class Surface:
    """What is rendered, the same in all frames of a clip."""

    material: np.ndarray
    """Per vertex: albedo r g b, gloss, sharpness of the highlight. float32 [V, 5]."""
    triangles: np.ndarray
    """Vertex indices, outward winding. int32 [F, 3]."""
    two_sided: np.ndarray
    """Whether a triangle is seen from behind too. bool [F]."""


@dataclass(frozen=True)
class Rendered:
    """The images of a clip before the sensor."""

    image: np.ndarray
    """Colours in [0, 1]. float32 [T, S, S, 3]."""
    depth: np.ndarray
    """z in the camera frame, cm; 0 where nothing. float32 [T, S, S]."""
    mask: np.ndarray
    """Where the head covers at least half of the pixel. bool [T, S, S]."""


def two_sided_triangles(head: HeadModel) -> np.ndarray:
    """Return which triangles are thin sheets, seen from both sides. bool [F]."""
    return np.isin(head.triangle_part, (Part.HAIR, Part.GLASSES))


def render_frames(
    placement: Placement, surface: Surface, light: np.ndarray, background: np.ndarray
) -> Rendered:
    """Render the frames on the CPU with the fused kernel, on as many threads as torch uses.

    Args:
        placement: Vertices before the camera.
        surface: Material and triangles.
        light: Rows of `scene.light_rows`, float32 [T, 12].
        background: float32 [T, S, S, 3].
    """
    image = np.empty_like(background)
    depth = np.empty(background.shape[:3], dtype=np.float32)
    cover = np.empty_like(depth)
    matter = (surface.material, surface.triangles, surface.two_sided)

    def render_one(t: int) -> None:
        view = (placement.camera[t], placement.focal[t])
        shade_frame(view, matter, light[t], background[t], (image[t], depth[t], cover[t]))

    for_each_frame(render_one, len(image))
    return Rendered(image, depth, cover >= 0.5)


@torch.no_grad()
def render_frames_torch(
    placement: Placement,
    surface: Surface,
    light: np.ndarray,
    background: np.ndarray,
    *,
    device: torch.device | str,
    backend: str = "auto",
) -> Rendered:
    """Render the same images with torch on a device, all frames at once.

    Agrees with `render_frames`, whose arguments it takes, but for single samples on the edges of
    triangles, where rounding decides. `backend` is that of `mien.render.rasterize`.
    """
    size, fine = placement.size, placement.size * SUPERSAMPLE
    camera = torch.from_numpy(placement.camera).to(device)
    triangles = torch.from_numpy(surface.triangles).to(device, torch.int64)
    material = torch.from_numpy(surface.material).to(device)
    scale = torch.from_numpy(placement.focal).to(device)[:, None, None] / camera[..., 2:]
    pixels = camera[..., :2] * scale + 0.5 * (size - 1)
    samples = torch.cat([(pixels + 0.5) * SUPERSAMPLE - 0.5, camera[..., 2:]], dim=2)
    # Every triangle gets vertices of its own, so that those seen from behind can be taken out:
    # the rasteriser skips what is not finite.
    corners = samples[:, triangles]
    edge, other = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    area = edge[..., 0] * other[..., 1] - edge[..., 1] * other[..., 0]
    hidden = (area > 0) & ~torch.from_numpy(surface.two_sided).to(device)
    corners = torch.where(hidden[..., None, None], torch.nan, corners)
    alone = torch.arange(triangles.numel(), device=device).reshape(-1, 3)
    flat = corners.flatten(1, 2)
    fragments = rasterize(flat, alone, fine, fine, backend=backend)
    weights = fragments.barycentric.unsqueeze(-1)
    normals = _vertex_normals(camera, triangles)
    normal = (corners_of(normals, triangles, fragments.pix_to_face) * weights).sum(dim=3)
    shared = material.expand(len(camera), -1, -1)
    matter = (corners_of(shared, triangles, fragments.pix_to_face) * weights).sum(dim=3)
    colour = _shade(normal, matter, torch.from_numpy(light).to(device))
    covered = (fragments.pix_to_face >= 0).unsqueeze(1)
    cover = _pool(covered.to(colour.dtype))
    behind = torch.from_numpy(background).to(device).permute(0, 3, 1, 2) * (1.0 - cover)
    image = _pool(torch.where(covered, colour.permute(0, 3, 1, 2), 0.0)) + behind
    depth = _pool(torch.where(covered, fragments.depth.unsqueeze(1), 0.0))
    depth = torch.where(cover > 0, depth / cover.clamp_min(1e-6), 0.0)
    return Rendered(
        image.clamp(0.0, 1.0).permute(0, 2, 3, 1).contiguous().cpu().numpy(),
        depth[:, 0].cpu().numpy(),
        (cover[:, 0] >= 0.5).cpu().numpy(),
    )


def _vertex_normals(points: Tensor, triangles: Tensor) -> Tensor:
    """Return unit outward normals of the vertices, weighted by area. [T, V, 3]."""
    corners = points[:, triangles]
    face = torch.linalg.cross(
        corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    )
    total = torch.zeros_like(points)
    for corner in range(3):
        total.index_add_(1, triangles[:, corner], face)
    return torch.nn.functional.normalize(total, dim=2)


def _shade(normal: Tensor, matter: Tensor, light: Tensor) -> Tensor:
    """Return the colour of every sample, as the fused kernel does. [T, H, W, 3]."""
    normal = torch.nn.functional.normalize(normal, dim=3)
    normal = torch.where(normal[..., 2:] > FLIP_ABOVE, -normal, normal)
    to_light, half, ambient, diffuse = light[:, None, None, :].split(3, dim=-1)
    lambert = (normal * to_light).sum(dim=3, keepdim=True).clamp_min(0.0)
    facing = (normal * half).sum(dim=3, keepdim=True).clamp_min(0.0)
    albedo, gloss, sharp = matter.split([3, 1, 1], dim=3)
    lobe = (1.0 - sharp) * facing**16 + sharp * facing**128
    return albedo * (ambient + diffuse * lambert) + diffuse * gloss * lobe * (lambert > 0)


def _pool(samples: Tensor) -> Tensor:
    """Average the samples of each pixel. [T, C, S, S]."""
    return torch.nn.functional.avg_pool2d(samples, SUPERSAMPLE)
