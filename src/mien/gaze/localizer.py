"""Where the eyes are and whether they can be seen: a small network over the canvas around them.

Trained on rendered faces, where the eyes' places and the lids are known; no gaze label is used.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.gaze.config import CANVAS_HEIGHT, CANVAS_WIDTH
from mien.gaze.layers import ResidualBlock
from mien.gaze.resample import sample_at

__all__ = ["EyeLocalizer", "Found", "cut_canvas"]

_STRIDE = 8


@dataclass(frozen=True)
class Found:
    """What the eye localizer says of canvases."""

    eyes: Tensor
    """x, y of the eye left of the image, then right of it; pixels of the canvas. [B, 2, 2]."""
    logit: Tensor
    """Above 0: open eyes are more likely there than not. [B]."""


class EyeLocalizer(nn.Module):
    """Two heat maps whose centres of mass are the eyes, and one score."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 5, 2, 2),
            nn.GELU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1),
            ResidualBlock(2 * width),
            ResidualBlock(2 * width),
            ResidualBlock(2 * width),
        )
        self.maps = nn.Conv2d(2 * width, 2, 3, padding=1)
        self.score = nn.Sequential(nn.Linear(4 * width, 64), nn.GELU(), nn.Linear(64, 1))

    def forward(self, canvas: Tensor) -> Found:
        """Luminance in [0, 1] -> eyes. [B, 1, CANVAS_HEIGHT, CANVAS_WIDTH]."""
        small = F.avg_pool2d(canvas, 2)
        mean = small.mean(dim=(1, 2, 3), keepdim=True)
        spread = small.std(dim=(1, 2, 3), keepdim=True).clamp_min(0.04)
        features = self.layers((small - mean) / spread)
        weight = self.maps(features).float().flatten(2).softmax(dim=2)
        rows, columns = features.shape[-2:]
        # Each cell stands for _STRIDE pixels of the canvas, its middle at (cell + 0.5) * _STRIDE.
        y, x = torch.meshgrid(
            (torch.arange(rows, device=canvas.device) + 0.5) * _STRIDE - 0.5,
            (torch.arange(columns, device=canvas.device) + 0.5) * _STRIDE - 0.5,
            indexing="ij",
        )
        places = torch.stack([x.flatten(), y.flatten()], dim=1)
        at_eyes = torch.einsum("bkn,bcn->bkc", weight.to(features.dtype), features.flatten(2))
        return Found(weight @ places, self.score(at_eyes.flatten(1)).float()[:, 0])


def cut_canvas(pixels: Tensor, middle: Tensor) -> Tensor:
    """Cut the canvas around the middle between the eyes; beyond the image its border goes on.

    Args:
        pixels: luminance. [B, 1, H, W].
        middle: x, y in pixels; whole numbers keep the pixels as they are. [B, 2].

    Returns:
        [B, 1, CANVAS_HEIGHT, CANVAS_WIDTH]; its middle pixel is (CANVAS_WIDTH // 2,
        CANVAS_HEIGHT // 2).
    """
    y, x = torch.meshgrid(
        torch.arange(CANVAS_HEIGHT, device=pixels.device) - CANVAS_HEIGHT // 2,
        torch.arange(CANVAS_WIDTH, device=pixels.device) - CANVAS_WIDTH // 2,
        indexing="ij",
    )
    grid = torch.stack([x, y], dim=-1) + middle[:, None, None]
    return sample_at(pixels, grid)
