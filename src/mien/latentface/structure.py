"""The default perceptual term: local structure, with no downloaded features.

Two parts, both computed on grey or colour edges rather than on absolute colour:
gradients at three scales, and oriented gradients pooled over cells and normalised by their
neighbourhood's contrast (the idea of Dalal & Triggs 2005, made differentiable), which weighs the
eyes and the mouth of a dark face as those of a bright one.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["gradient_error", "orientation_error", "oriented_gradients"]


CONTRAST_FLOOR = 1e-3
"""Squared gradient below which contrast is taken for noise and not blown up."""


def gradient_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute difference of image gradients, summed over three scales. [B].

    Args:
        prediction: RGB in [0, 1]. [B, 3, H, W].
        target: likewise.
        mask: weight of each pixel. [B, 1, H, W].
    """
    total = prediction.new_zeros(len(prediction))
    difference = (prediction - target) * mask
    for scale in range(3):
        if scale:
            difference = F.avg_pool2d(difference, 2)
        across = (difference[..., 1:] - difference[..., :-1]).abs().mean(dim=(1, 2, 3))
        down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean(dim=(1, 2, 3))
        total = total + across + down
    return total


def oriented_gradients(images: Tensor, *, orientations: int = 6, cell: int = 4) -> Tensor:
    """Return contrast-normalised oriented gradients. [B, orientations, 2 H/cell - 1, ...].

    Args:
        images: RGB in [0, 1]. [B, 3, H, W].
        orientations: number of edge directions over half a circle.
        cell: side of a pooling cell, pixels; cells overlap by half.
    """
    grey = images.mean(dim=1, keepdim=True)
    across = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]) / 2
    down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]) / 2
    angle = torch.arange(orientations, device=images.device) * (math.pi / orientations)
    direction = torch.stack([angle.cos(), angle.sin()], dim=1)[:, :, None, None].to(images.dtype)
    response = F.conv2d(torch.cat([across, down], dim=1), direction)
    strength = F.avg_pool2d(response.abs(), cell, cell // 2)
    energy = strength.square().sum(dim=1, keepdim=True)
    local = F.avg_pool2d(energy, 5, 1, 2, count_include_pad=False)
    return strength / (local + CONTRAST_FLOOR).sqrt()


def orientation_error(prediction: Tensor, target: Tensor, mask: Tensor) -> Tensor:
    """Return the mean absolute difference of the oriented gradients at two scales. [B]."""
    total = prediction.new_zeros(len(prediction))
    blended = prediction * mask + target * (1 - mask)
    for scale in range(2):
        if scale:
            blended, target = F.avg_pool2d(blended, 2), F.avg_pool2d(target, 2)
        difference = oriented_gradients(blended) - oriented_gradients(target)
        total = total + difference.abs().mean(dim=(1, 2, 3))
    return total
