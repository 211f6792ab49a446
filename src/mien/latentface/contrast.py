"""An auxiliary term of stage 1: two views of one picture must have codes that find each other.

Our addition. Reconstruction alone spends a code on what fills many pixels; telling a picture from
the other frames of its own clip takes what is small and changes: the mouth, the brows, the eyes.
Views differ in mirror, framing, colour and sharpness, so the codes do not depend on those.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["contrastive_error", "second_view"]

MIRROR, GREY, BLUR = 0.5, 0.3, 0.3
SHIFT, ZOOM, TURN = 0.06, 0.1, 0.12
COLOUR = 0.4


def second_view(images: Tensor, generator: torch.Generator) -> Tensor:
    """Return each picture framed, coloured and mirrored anew. [B, 3, H, W] -> [B, 3, H, W].

    Args:
        images: RGB in [0, 1]. [B, 3, H, W].
        generator: draws the changes.
    """
    batch = len(images)
    uniform = torch.rand(batch, 12, generator=generator, device=generator.device).to(images.device)
    spread = 2 * uniform - 1
    sign = torch.where(uniform[:, 0] < MIRROR, -1.0, 1.0)
    zoom, turn = 1 + ZOOM * spread[:, 1], TURN * spread[:, 2]
    cos, sin = zoom * turn.cos(), zoom * turn.sin()
    shift = 2 * SHIFT * spread[:, 3:5]
    affine = torch.stack([sign * cos, -sin, shift[:, 0], sign * sin, cos, shift[:, 1]], dim=1)
    grid = F.affine_grid(affine.reshape(-1, 2, 3), list(images.shape), align_corners=True)
    moved = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    grey = moved.mean(dim=1, keepdim=True)
    moved = torch.where((uniform[:, 5] < GREY)[:, None, None, None], grey, moved)
    small = F.avg_pool2d(moved, 2)
    soft = F.interpolate(small, size=moved.shape[-2:], mode="bilinear", align_corners=False)
    moved = torch.where((uniform[:, 6] < BLUR)[:, None, None, None], soft, moved)
    gain = 1 + COLOUR * spread[:, 7:8] + 0.4 * COLOUR * spread[:, 8:11]
    contrast = (1 + COLOUR * spread[:, 11])[:, None, None, None]
    middle = moved.mean(dim=(1, 2, 3), keepdim=True)
    return ((moved - middle) * contrast + middle * gain[:, :, None, None]).clamp(0, 1)


def contrastive_error(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the normalised-temperature cross entropy of each picture (Chen et al. 2020, eq. 1). [B].

    Args:
        first: projected codes of the pictures. [B, D].
        second: projected codes of their second views. [B, D].
        temperature: τ.
    """
    rows = torch.cat([F.normalize(first, dim=1), F.normalize(second, dim=1)])
    batch = len(first)
    similarity = (rows @ rows.T / temperature).fill_diagonal_(float("-inf"))
    twin = torch.arange(2 * batch, device=rows.device).roll(batch)
    error = F.cross_entropy(similarity, twin, reduction="none")
    return (error[:batch] + error[batch:]) / 2
