"""The detector's network: an image => at every cell of three grids, a face's score, box, landmarks.

A cell of a grid with stride t (8, 16, 32 pixels) at column i, row j predicts one face, as YuNet's
cells do: a logit of the score; dx, dy, log w, log h of its box, whose centre is ((i + dx) t,
(j + dy) t) and whose size is (t exp(log w), t exp(log h)); and x, y of five landmarks, at
((i + x) t, (j + y) t).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.faces.grid_detector import STRIDES

__all__ = ["CHANNELS", "DetectorNetwork"]

CHANNELS = 15
"""A logit, 4 of the box, 10 of the landmarks."""
_PRIOR = -4.0
"""Logit at the start: hardly any cell is a face."""


def _separable(inner: int, outer: int, stride: int) -> nn.Sequential:
    """Return a depthwise 3 x 3 convolution, then one over channels."""
    return nn.Sequential(
        nn.Conv2d(inner, inner, 3, stride, 1, groups=inner, bias=False),
        nn.BatchNorm2d(inner),
        nn.Conv2d(inner, outer, 1, bias=False),
        nn.BatchNorm2d(outer),
    )


class _Block(nn.Module):
    """Half the resolution or the same; with the same width and resolution a residual."""

    def __init__(self, inner: int, outer: int, stride: int = 1) -> None:
        super().__init__()
        self.conv = _separable(inner, outer, stride)
        self.residual = inner == outer and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return F.relu(x + y if self.residual else y)


class DetectorNetwork(nn.Module):
    """RGB in 0 to 255 [B, 3, H, W] => maps [B, 15, H/t, W/t] of strides t = 8, 16, 32.

    H and W are multiples of 32.
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()
        )
        self.stages = nn.ModuleList(
            [
                nn.Sequential(_Block(16, 32, 2), _Block(32, 32), _Block(32, 64, 2), *_same(64, 2)),
                nn.Sequential(_Block(64, 80, 2), *_same(80, 2)),
                nn.Sequential(_Block(80, 112, 2), *_same(112, 1)),
            ]
        )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(width, 64, 1, bias=False), nn.BatchNorm2d(64))
            for width in (64, 80, 112)
        )
        self.smooth = nn.ModuleList(_Block(64, 64) for _ in STRIDES)
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(64, CHANNELS, 1), nn.Conv2d(CHANNELS, CHANNELS, 3, 1, 1, groups=CHANNELS)
            )
            for _ in STRIDES
        )
        self._start()

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return the maps of the three grids, the finest first."""
        x = self.stem(images / 127.5 - 1)
        levels: list[Tensor] = []
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        above: Tensor | None = None
        maps: list[Tensor] = []
        for k in (2, 1, 0):
            y = self.lateral[k](levels[k])
            if above is not None:
                y = y + F.interpolate(above, scale_factor=2.0, mode="nearest")
            above = self.smooth[k](F.relu(y))
            maps.append(self.heads[k](above))
        return maps[::-1]

    @torch.no_grad()
    def _start(self) -> None:
        for head in self.heads:
            bias = head.get_parameter("1.bias")
            bias.zero_()
            bias[0] = _PRIOR


def _same(width: int, count: int) -> list[_Block]:
    return [_Block(width, width) for _ in range(count)]
