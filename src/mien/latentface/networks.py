"""Convolutional encoders and decoders: images to vectors and back.

`small` networks are made to be fast on a CPU; `paper` networks have the layers and sizes of the
LatentFace paper's autoencoder (that of Wu et al. 2020), written for any power-of-two size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import islice, pairwise

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
    """Strided convolutions with a residual block at each of the three coarsest levels."""

    def __init__(self, image_size: int, width: int, out_features: int, *, skip: int = 0) -> None:
        """Build an untrained encoder.

        Args:
            image_size: side of the images. Pixels.
            width: channels of the first level.
            out_features: length of what it gives.
            skip: finest levels that it has not: another encoder's `levels` give what comes in.
        """
        super().__init__()
        count = int(math.log2(image_size)) - 2
        channels = [min(width * 2**i, width * 5) for i in range(count)]
        layers: list[nn.Module] = []
        self._skip, self._ends = skip, [0]
        for i in range(skip, count):
            before, c = channels[i - 1] if i else 3, channels[i]
            layers += [nn.Conv2d(before, c, 4, 2, 1), _norm(c), nn.SiLU()]
            if i >= count - 3:
                layers.append(ResidualBlock(c))
            self._ends.append(len(layers))
        self.map_channels = sum(channels[-2:])
        self.convolutions = nn.Sequential(*layers)
        self.norm = _norm(channels[-1])
        self.linear = nn.Linear(channels[-1] * 16, out_features)

    def levels(self, images: Tensor, count: int | None = None) -> tuple[Tensor, ...]:
        """Return what each level gives, finest first. Each [B, C, S, S].

        Args:
            images: in [0, 1], [B, 3, H, W]; with `skip`, what the last of the skipped levels gives.
            count: how many levels; None: all.
        """
        found = [images if self._skip else images * 2 - 1]
        for start, stop in islice(pairwise(self._ends), count):
            found.append(self.convolutions[start:stop](found[-1]))
        return tuple(found[1:])

    def take(self, other: SmallEncoder) -> None:
        """Copy the convolutions of all levels that this encoder and another of its sizes have."""
        first = max(self._skip, other._skip)
        for level in range(first, self._skip + len(self)):
            mine, theirs = self.level(level - self._skip), other.level(level - other._skip)
            for own, given in zip(mine, theirs, strict=True):
                own.load_state_dict(given.state_dict())
        self.norm.load_state_dict(other.norm.state_dict())

    def __len__(self) -> int:
        """Return the number of its own levels."""
        return len(self._ends) - 1

    def level(self, number: int) -> list[nn.Module]:
        """Return the layers of one of its own levels: convolution, norm, SiLU, residual block."""
        number %= len(self)
        return list(self.convolutions)[self._ends[number] : self._ends[number + 1]]

    def maps_of(self, levels: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the maps of the last two levels, 8 x 8 and 4 x 4, of what `levels` gives."""
        return F.silu(levels[-2]), F.silu(self.norm(levels[-1]))

    def maps(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images, as `levels` takes them -> the maps of the last two levels, 8 x 8 and 4 x 4."""
        return self.maps_of(self.levels(images))

    def forward(self, images: Tensor) -> Tensor:
        """Images, as `levels` takes them -> features [B, out_features]."""
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
