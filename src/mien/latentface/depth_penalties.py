"""Penalties on canonical depth, for what no reconstruction mends: hidden pixels have no gradient.

Our additions to Wu et al. 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["FACE_OVAL", "border_nearness", "depth_outliers", "roughness"]

FACE_OVAL = (0.82, 1.15)
"""Half axes of the oval that the canonical face fills, as fractions of half the image."""


def border_nearness(depth: Tensor, depth_range: float, level: float) -> Tensor:
    """Return how much nearer than `level` the depth beside the face is, a mean over the border. [].

    Args:
        depth: canonical. [B, 1, H, W].
        depth_range: largest distance from the canonical centre, face units.
        level: how far behind that centre the border must be at least, as a fraction of the range.
    """
    line = torch.linspace(-1, 1, depth.shape[-1], device=depth.device)
    # The face, its hair above and its neck below: an oval that reaches over top and bottom.
    half_width, half_height = FACE_OVAL
    border = (line[None, :] / half_width) ** 2 + (line[:, None] / half_height) ** 2 > 1
    behind = (depth[:, 0] - 1) / depth_range
    return ((level - behind).clamp_min(0) * border).sum() / (border.sum() * len(depth))


def depth_outliers(depth: Tensor, depth_range: float, level: float) -> Tensor:
    """Return how much farther than `level` depth is from the batch's median, a mean over all. [].

    Args:
        depth: canonical. [B, 1, H, W].
        depth_range: largest distance from the canonical centre, face units.
        level: how far faces may differ at a pixel, as a fraction of the range.
    """
    # Without a gradient, and a median: one broken face does not draw the others to itself.
    # Contiguous: of a tensor that `expand` gave, torch 2.13 finds the medians of other elements.
    usual = depth.detach().contiguous().median(dim=0).values
    return ((depth - usual).abs() / depth_range - level).clamp_min(0).mean()


def roughness(depth: Tensor, depth_range: float) -> Tensor:
    """Return the mean absolute Laplacian of depth, per range: what shows as a weave in shading. [].

    Args:
        depth: canonical. [B, 1, H, W].
        depth_range: largest distance from the canonical centre, face units.
    """
    across = depth[..., 1:-1, 2:] + depth[..., 1:-1, :-2]
    along = depth[..., 2:, 1:-1] + depth[..., :-2, 1:-1]
    return (across + along - 4 * depth[..., 1:-1, 1:-1]).abs().mean() / depth_range
