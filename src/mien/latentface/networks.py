"""Convolutional encoders and decoders: images to vectors and back.

`small` networks are made to be fast on a CPU; `paper` networks have the layers and sizes of the
LatentFace paper's autoencoder (that of Wu et al. 2020), written for any power-of-two size.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["PaperDecoder", "PaperEncoder", "SmallDecoder", "SmallEncoder"]


def _norm(channels: int) -> nn.GroupNorm:
    """Return group normalisation with eight groups, or what divides a narrow layer."""
    return nn.GroupNorm(math.gcd(8, channels), channels)


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x))))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = _norm(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        h = self.conv1(F.silu(self.norm1(x)))
        return x + self.conv2(F.silu(self.norm2(h)))


class SmallEncoder(nn.Module):
    """Strided convolutions with a residual block at each of the coarse levels."""

    def __init__(self, image_size: int, width: int, out_features: int) -> None:
        super().__init__()
        levels = int(math.log2(image_size)) - 2
        channels = [min(width * 2**i, width * 5) for i in range(levels)]
        layers: list[nn.Module] = []
        previous = 3
        for i, c in enumerate(channels):
            layers += [nn.Conv2d(previous, c, 4, 2, 1), _norm(c), nn.SiLU()]
            if i >= levels - 3:
                layers.append(ResidualBlock(c))
            if i == levels - 2:
                self._finer = len(layers)
            previous = c
        self.map_channels = sum(channels[-2:])
        self.convolutions = nn.Sequential(*layers)
        self.norm = _norm(previous)
        self.linear = nn.Linear(previous * 16, out_features)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1], [B, 3, H, W] -> the maps of the last two levels, 8 x 8 and 4 x 4."""
        finer = self.convolutions[: self._finer](images * 2 - 1)
        last = self.convolutions[self._finer :](finer)
        return F.silu(finer), F.silu(self.norm(last))

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1], [B, 3, H, W] -> features [B, out_features]."""
        return self.read(self.maps(images)[1])

    def read(self, maps: Tensor) -> Tensor:
        """The last maps [B, C, 4, 4] -> features [B, out_features]."""
        return self.linear(maps.flatten(1))


class SmallDecoder(nn.Module):
    """Nearest-neighbour upsampling and 3x3 convolutions, slim towards full size."""

    def __init__(self, in_features: int, out_channels: int, image_size: int, width: int) -> None:
        super().__init__()
        levels = int(math.log2(image_size)) - 2
        channels = [
            max(width // 2, min(width * 4, width * 2 ** (levels - 2 - i))) for i in range(levels)
        ]
        self.first = channels[0]
        self.linear = nn.Linear(in_features, self.first * 16)
        layers: list[nn.Module] = []
        previous = self.first
        for c in channels:
            layers += [
                nn.Upsample(scale_factor=2, mode="nearest"),
                nn.Conv2d(previous, c, 3, padding=1),
                _norm(c),
                nn.SiLU(),
            ]
            previous = c
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Conv2d(previous, out_channels, 5, padding=2)

    def forward(self, code: Tensor) -> Tensor:
        """[B, in_features] -> [B, out_channels, H, W], not yet squashed."""
        h = self.linear(code).unflatten(1, (self.first, 4, 4))
        h = h.contiguous(memory_format=torch.channels_last)
        return self.head(self.convolutions(h))


class PaperEncoder(nn.Module):
    """Five 4x4 convolutions from 64 px to one vector (methods of Wu et al. 2020, appendix)."""

    def __init__(self, image_size: int, width: int, out_features: int) -> None:
        super().__init__()
        levels = int(math.log2(image_size)) - 2
        channels = [min(width * 2**i, width * 8) for i in range(levels)]
        layers: list[nn.Module] = []
        previous = 3
        for i, c in enumerate(channels):
            layers.append(nn.Conv2d(previous, c, 4, 2, 1, bias=False))
            if 0 < i < levels - 1:
                layers.append(nn.GroupNorm(16, c))
            layers.append(nn.LeakyReLU(0.2))
            if i == levels - 2:
                self._finer = len(layers)
            previous = c
        self.map_channels = sum(channels[-2:])
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Conv2d(previous, out_features, 4, bias=False)

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [0, 1], [B, 3, H, W] -> the maps of the last two levels, 8 x 8 and 4 x 4."""
        finer = self.convolutions[: self._finer](images * 2 - 1)
        return finer, self.convolutions[self._finer :](finer)

    def forward(self, images: Tensor) -> Tensor:
        """Images in [0, 1], [B, 3, H, W] -> features [B, out_features]."""
        return self.read(self.maps(images)[1])

    def read(self, maps: Tensor) -> Tensor:
        """The last maps [B, C, 4, 4] -> features [B, out_features]."""
        return self.last(maps).flatten(1)


class PaperDecoder(nn.Module):
    """Transposed 4x4 convolutions, a 3x3 after each, and a two-layer full-size head."""

    def __init__(self, in_features: int, out_channels: int, image_size: int, width: int) -> None:
        super().__init__()
        levels = int(math.log2(image_size)) - 3
        top = width * 8
        layers: list[nn.Module] = [
            nn.ConvTranspose2d(in_features, top, 4, bias=False),
            nn.ReLU(),
            nn.Conv2d(top, top, 3, padding=1, bias=False),
            nn.ReLU(),
        ]
        previous = top
        for i in range(levels):
            c = max(width, min(top, width * 2 ** (levels - 1 - i)))
            layers += [
                nn.ConvTranspose2d(previous, c, 4, 2, 1, bias=False),
                nn.GroupNorm(16, c),
                nn.ReLU(),
                nn.Conv2d(c, c, 3, padding=1, bias=False),
                nn.GroupNorm(16, c),
                nn.ReLU(),
            ]
            previous = c
        layers += [
            nn.Upsample(scale_factor=2, mode="nearest"),
            nn.Conv2d(previous, width, 3, padding=1, bias=False),
            nn.GroupNorm(16, width),
            nn.ReLU(),
            nn.Conv2d(width, width, 5, padding=2, bias=False),
            nn.GroupNorm(16, width),
            nn.ReLU(),
            nn.Conv2d(width, out_channels, 5, padding=2),
        ]
        self.layers = nn.Sequential(*layers)

    def forward(self, code: Tensor) -> Tensor:
        """[B, in_features] -> [B, out_channels, H, W], not yet squashed."""
        return self.layers(code[:, :, None, None])
