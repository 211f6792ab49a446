"""Images sampled at pixel coordinates, their border going on beyond them."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F

__all__ = ["sample_at"]


def sample_at(pixels: Tensor, places: Tensor) -> Tensor:
    """Return bilinear samples; beyond an image its outermost pixels go on.

    Args:
        pixels: [B, C, H, W].
        places: x, y in pixels, (0, 0) = centre of the top left pixel. [B, h, w, 2].

    Returns:
        [B, C, h, w].
    """
    span = places.new_tensor([pixels.shape[-1] - 1, pixels.shape[-2] - 1])
    return F.grid_sample(
        pixels, places / span * 2 - 1, mode="bilinear", padding_mode="border", align_corners=True
    )
