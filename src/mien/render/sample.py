"""Looking up an image at positions given in pixels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["sample"]


def sample(image: Tensor, uv: Tensor) -> Tensor:
    """Read an image at these positions, bilinearly; outside it its border goes on.

    Args:
        image: [B, C, H, W].
        uv: Column u and row v in the image's pixels, centres at integers. [B, 2, h, w].

    Returns:
        [B, C, h, w]; differentiable in both arguments.
    """
    height, width = image.shape[-2:]
    # grid_sample counts from -1 at the first centre to 1 at the last.
    spans = torch.tensor([max(width - 1, 1), max(height - 1, 1)], device=uv.device, dtype=uv.dtype)
    grid = uv.permute(0, 2, 3, 1) * (2.0 / spans) - 1.0
    return functional.grid_sample(
        image, grid.to(image.dtype), mode="bilinear", padding_mode="border", align_corners=True
    )
