"""Faces with eyes drawn from another gaze code: an image of what the bottleneck carries."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.cut import cut_views, luminance, normalised
from mien.gaze.emib import EMIB

__all__ = ["redraw"]

# The drawn eye fills an ellipse and goes over into the face along this share of its radius.
_SEAM = 0.5


def redraw(model: EMIB, images: Tensor, guess: Tensor | None, codes: Tensor) -> Tensor:
    """Draw faces with other codes; only the luminance around the eyes changes.

    The drawn eyes have mean 0 and spread 1: they take those of the eyes that were there.

    Args:
        model: the gaze branch.
        images: RGB face crops in [0, 1]. [B, 3, 224, 224].
        guess: about where the eyes stand, shares of the sides. [B, 2, 2].
        codes: [B, d].

    Returns:
        RGB in [0, 1]. [B, 3, 224, 224].
    """
    grey = luminance(images)
    image, _ = model.look(grey, guess, is_face=True)
    views = cut_views(image, model.config)
    drawn = model.draw(normalised(views), codes)
    mean = views.eyes.mean(dim=(-2, -1), keepdim=True)
    spread = views.eyes.std(dim=(-2, -1), keepdim=True)
    lit = drawn * spread + mean
    change, share = torch.zeros_like(grey), torch.zeros_like(grey)
    for k in (0, 1):
        new, weight = _placed(lit[:, k], image.eyes[:, k], grey.shape[-2:])
        change = change + weight * (new - grey)
        share = share + weight
    return (images + change / share.clamp_min(1)).clamp(0, 1)


def _placed(eye: Tensor, centre: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Put an eye's image into an empty face, with its share of each pixel. [B, 1, H, W] each."""
    height, width = eye.shape[-2:]
    y, x = torch.meshgrid(
        torch.arange(size[0], device=eye.device),
        torch.arange(size[1], device=eye.device),
        indexing="ij",
    )
    offset = torch.stack([x, y], dim=-1) - centre[:, None, None]
    half = offset.new_tensor([(width - 1) / 2, (height - 1) / 2])
    grid = offset / half
    placed = F.grid_sample(eye, grid, mode="bilinear", padding_mode="border", align_corners=True)
    inside = ((1 - grid.norm(dim=3)) / _SEAM).clamp(0, 1)
    return placed, inside[:, None]
