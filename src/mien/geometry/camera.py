"""The pinhole camera: image points to camera frame and back, and the normals of depth maps.

Camera frame: x right, y down, z away. Pixel centres lie at integers; the principal point is the
image's middle.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.types import Pose

__all__ = ["focal_length", "pixel_grid", "place", "project", "surface_normals", "unproject"]


def focal_length(width: int, fov_deg: float) -> float:
    """Return the focal length in pixels of a camera that sees `fov_deg` across the image."""
    return (width - 1) / 2 / math.tan(math.radians(fov_deg) / 2)


def pixel_grid(height: int, width: int, device: torch.device | str | None = None) -> Tensor:
    """Return (u, v) of every pixel centre, column first. [H, W, 2]."""
    v, u = torch.meshgrid(
        torch.arange(height, dtype=torch.float32, device=device),
        torch.arange(width, dtype=torch.float32, device=device),
        indexing="ij",
    )
    return torch.stack([u, v], dim=-1)


def unproject(depth: Tensor, fov_deg: float) -> Tensor:
    """Return the points that a depth map shows, camera frame. [B, H, W, 3].

    Args:
        depth: z in face units. [B, 1, H, W].
        fov_deg: field of view across the image, degrees.
    """
    height, width = depth.shape[-2:]
    focal = focal_length(width, fov_deg)
    grid = pixel_grid(height, width, depth.device).to(depth.dtype)
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2], dtype=depth.dtype).to(depth.device)
    z = depth.movedim(1, -1)
    return torch.cat([(grid - centre) / focal * z, z], dim=-1)


def project(points: Tensor, height: int, width: int, fov_deg: float) -> Tensor:
    """Return where points fall in the image: (u, v) in pixels, then their z unchanged. [..., 3].

    Args:
        points: camera frame, z > 0. [..., 3].
        height: rows of the image.
        width: columns of the image.
        fov_deg: field of view across the image, degrees.
    """
    focal = focal_length(width, fov_deg)
    z = points[..., 2:]
    centre = points.new_tensor([(width - 1) / 2, (height - 1) / 2])
    return torch.cat([points[..., :2] / z * focal + centre, z], dim=-1)


def place(points: Tensor, pose: Pose) -> Tensor:
    """Rotate canonical points about (0, 0, 1), then shift them. [B, N, 3] -> [B, N, 3].

    Args:
        points: canonical frame, face units. [B, N, 3].
        pose: canonical -> camera. [B].
    """
    centre = points.new_tensor([0.0, 0.0, 1.0])
    rotated = (points - centre) @ pose.rotation.transpose(1, 2)
    return rotated + centre + pose.translation[:, None]


def surface_normals(points: Tensor) -> Tensor:
    """Return outward unit normals (towards the camera) of a grid of surface points. [B, 3, H, W].

    Central differences inside; the border repeats its neighbour.

    Args:
        points: camera frame, rows down, columns right. [B, H, W, 3].
    """
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    # y down x right: down x across points towards the camera (negative z).
    normals = down.cross(across, dim=-1).movedim(-1, 1)
    normals = F.pad(normals, (1, 1, 1, 1), mode="replicate")
    return F.normalize(normals, dim=1, eps=1e-12)
