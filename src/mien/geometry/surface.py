"""Depth maps as surfaces: their outward normals."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["surface_normals"]


def surface_normals(points: Tensor) -> Tensor:
    """Return outward unit normals of a grid of surface points (towards the camera).

    Central differences inside; the border repeats its neighbour.

    Args:
        points: camera frame, rows down, columns right. [B, H, W, 3].

    Returns:
        Unit normals. [B, 3, H, W].
    """
    across = points[:, 1:-1, 2:] - points[:, 1:-1, :-2]
    down = points[:, 2:, 1:-1] - points[:, :-2, 1:-1]
    # y down x right: down x across points towards the camera (negative z).
    normals = down.cross(across, dim=-1).movedim(-1, 1)
    normals = F.pad(normals, (1, 1, 1, 1), mode="replicate")
    return F.normalize(normals, dim=1, eps=1e-12)
