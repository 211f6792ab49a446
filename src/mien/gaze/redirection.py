"""Gaze redirection: faces with eyes rendered from another gaze code."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.cut import luminance, normalised, offsets
from mien.gaze.emib import EMIB
from mien.gaze.windows import cut_upright

__all__ = ["redirect"]

# The rendered eye fills an ellipse and fades into the face along this fraction of its radius.
_SEAM = 0.5


def redirect(model: EMIB, images: Tensor, guess: Tensor | None, codes: Tensor) -> Tensor:
    """Render faces with other codes, RGB in [0, 1] [B, 3, 224, 224]; only luminance changes.

    The rendered eyes have mean 0 and standard deviation 1: they take those of the eyes that were
    there.

    Args:
        model: the gaze branch.
        images: RGB face crops in [0, 1]. [B, 3, 224, 224].
        guess: about where the eyes stand, x, y as fractions of the sides. [B, 2, 2].
        codes: [B, d].
    """
    grey = luminance(images)
    image, _ = model.locate_eyes(grey, guess, is_face=True)
    views = cut_upright(image, model.config)
    rendered = model.render_eyes(normalised(views), codes)
    mean = views.eyes.mean(dim=(-2, -1), keepdim=True)
    std = views.eyes.std(dim=(-2, -1), keepdim=True)
    lit = rendered * std + mean
    change, cover = torch.zeros_like(grey), torch.zeros_like(grey)
    for k in (0, 1):
        new, weight = _placed(lit[:, k], image.eyes[:, k], grey.shape[-2:])
        change = change + weight * (new - grey)
        cover = cover + weight
    return (images + change / cover.clamp_min(1)).clamp(0, 1)


def _placed(eye: Tensor, centre: Tensor, size: torch.Size) -> tuple[Tensor, Tensor]:
    """Put an eye's image into an empty face, with its weight in each pixel. [B, 1, H, W] each."""
    height, width = eye.shape[-2:]
    offset = offsets((size[0], size[1]), (0, 0), eye.device) - centre[:, None, None]
    half = offset.new_tensor([(width - 1) / 2, (height - 1) / 2])
    grid = offset / half
    placed = F.grid_sample(eye, grid, mode="bilinear", padding_mode="border", align_corners=True)
    inside = ((1 - grid.norm(dim=3)) / _SEAM).clamp(0, 1)
    return placed, inside[:, None]
