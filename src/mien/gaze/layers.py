"""The pieces both branches are made of: attention blocks, a stem over an eye, its way back."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Block", "ResidualBlock", "Upsampler", "eye_stem", "patches", "table_of"]


class Block(nn.Module):
    """Pre-norm transformer block: self-attention, then a two-layer perceptron."""

    def __init__(self, dim: int, heads: int, ratio: int = 3) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(dim)
        self.qkv = nn.Linear(dim, 3 * dim)
        self.out = nn.Linear(dim, dim)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(
            nn.Linear(dim, ratio * dim), nn.GELU(), nn.Linear(ratio * dim, dim)
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        query, key, value = self._heads(self.qkv(self.norm1(tokens)), 3)
        return self._mixed(tokens, query, key, value)

    def first(self, tokens: Tensor) -> Tensor:
        """Return what becomes of the first token alone. [B, N, D] -> [B, 1, D]."""
        dim = tokens.shape[2]
        seen = self.norm1(tokens)
        (query,) = self._heads(F.linear(seen[:, :1], self.qkv.weight[:dim], self.qkv.bias[:dim]), 1)
        key, value = self._heads(F.linear(seen, self.qkv.weight[dim:], self.qkv.bias[dim:]), 2)
        return self._mixed(tokens[:, :1], query, key, value)

    def _heads(self, mapped: Tensor, parts: int) -> tuple[Tensor, ...]:
        """Split parts and heads. [B, N, parts * D] -> parts of [B, heads, N, D / heads]."""
        width = mapped.shape[2] // (parts * self.heads)
        split = mapped.view(-1, mapped.shape[1], parts, self.heads, width)
        return split.permute(2, 0, 3, 1, 4).unbind()

    def _mixed(self, tokens: Tensor, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mixed = F.scaled_dot_product_attention(query, key, value)
        tokens = tokens + self.out(mixed.transpose(1, 2).reshape(tokens.shape))
        return tokens + self.mlp(self.norm2(tokens))


class ResidualBlock(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))); begins as x."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        groups = math.gcd(8, channels)
        self.norm1 = nn.GroupNorm(groups, channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        h = self.conv1(F.gelu(self.norm1(x)))
        return x + self.conv2(F.gelu(self.norm2(h)))


def eye_stem(patch: int, width: int, dim: int) -> nn.Sequential:
    """Return strided convolutions that make one token of each patch of an eye.

    Convolutions locate an edge to a fraction of a pixel, which decides here, and learn that from
    fewer images than a linear embedding of the patch.
    """
    levels = int(math.log2(patch))
    layers: list[nn.Module] = [nn.Conv2d(1, width, 5, 2, 2), nn.GELU()]
    previous = width
    for level in range(1, levels - 1):
        channels = width * (level + 1)
        layers += [
            nn.Conv2d(previous, channels, 3, 2, 1),
            ResidualBlock(channels),
            nn.GELU(),
        ]
        previous = channels
    return nn.Sequential(*layers, nn.Conv2d(previous, dim, 3, 2, 1))


class Upsampler(nn.Module):
    """The stem's way back: tokens on an eye's grid to its image, by pixel shuffling."""

    def __init__(self, patch: int, width: int, dim: int) -> None:
        super().__init__()
        levels = int(math.log2(patch))
        layers: list[nn.Module] = []
        previous = dim
        for level in range(levels - 1, 0, -1):
            channels, coarse = width * level, level > 1
            size = 1 if level == levels - 1 else 3
            layers += [nn.Conv2d(previous, 4 * channels, size, padding=size // 2)]
            layers += [nn.PixelShuffle(2)]
            layers += [ResidualBlock(channels)] if coarse else []
            layers += [nn.GELU()]
            previous = channels
        last = width // 2
        layers += [nn.Conv2d(previous, 4 * last, 3, padding=1), nn.PixelShuffle(2), nn.GELU()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(last, 1, 3, padding=1))

    def forward(self, tokens: Tensor) -> Tensor:
        """[B, D, rows, columns] -> [B, 1, rows * patch, columns * patch]."""
        return self.layers(tokens)


def patches(images: Tensor, side: int) -> Tensor:
    """Return an image's square patches, row by row. [B, 1, H, W] -> [B, N, side * side]."""
    rows, columns = images.shape[2] // side, images.shape[3] // side
    grid = images.reshape(-1, rows, side, columns, side).transpose(2, 3)
    return grid.reshape(-1, rows * columns, side * side)


def table_of(count: int, dim: int) -> nn.Parameter:
    """Return a learned table of positions. [1, count, dim]."""
    return nn.Parameter(torch.randn(1, count, dim) * 0.02)
