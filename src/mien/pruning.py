"""Which channels of a wide layer a narrow one keeps, and how it takes their weights over.

Channels whose outgoing weights are the largest stay (Li et al. 2017, "Pruning filters for efficient
convnets", rank by incoming weights). Where a part f of the inputs is left, weights are divided by
sqrt(f): sums of as many independent terms keep their size.
"""

from __future__ import annotations

import math
from typing import Protocol, TypeVar

import torch
from torch import Tensor, nn

__all__ = ["outgoing", "prune_block", "strongest", "take_inputs", "take_rows"]

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear)
Norm = TypeVar("Norm", nn.GroupNorm, nn.LayerNorm)


class ResidualBlock(Protocol):
    """Two convolutions whose result is added to what they are given."""

    norm1: nn.GroupNorm
    conv1: nn.Conv2d
    norm2: nn.GroupNorm
    conv2: nn.Conv2d


def prune_block(narrow: ResidualBlock, wide: ResidualBlock, channels: Tensor) -> None:
    """Prune a residual block in place.

    Args:
        narrow: the narrow block.
        wide: the wide one.
        channels: those that go through; between its convolutions the strongest stay. int64 [C].
    """
    norm = narrow.norm2
    strength = outgoing(wide.conv2) * wide.norm2.weight.square()
    inner = strongest(strength, norm.num_channels, groups=norm.num_groups)
    take_rows(narrow.norm1, wide.norm1, channels)
    take_inputs(narrow.conv1, wide.conv1, inner, channels)
    take_rows(norm, wide.norm2, inner)
    take_inputs(narrow.conv2, wide.conv2, channels, inner)


def outgoing(layer: nn.Conv2d | nn.Linear) -> Tensor:
    """Return the summed squares of the weights that each input goes out by. [inputs]."""
    squares = layer.weight.square()
    return squares.sum(dim=(0, 2, 3)) if squares.ndim == 4 else squares.sum(dim=0)


def strongest(strength: Tensor, count: int, *, groups: int = 1) -> Tensor:
    """Return the numbers of the strongest channels, ascending. int64 [count].

    Args:
        strength: of each channel. [C].
        count: how many are kept.
        groups: of the norm that follows, which keeps as many of each; what does not divide the
            channels is reduced to what does.
    """
    groups = math.gcd(groups, len(strength))
    size = len(strength) // groups
    within = strength.reshape(groups, size).topk(count // groups, dim=1).indices.sort(dim=1).values
    return (within + size * torch.arange(groups, device=within.device)[:, None]).flatten()


def take_inputs(
    own: Layer, wide: Layer, rows: Tensor | None = None, columns: Tensor | None = None
) -> None:
    """Take a wide layer's weights over, in place.

    Args:
        own: the narrow layer.
        wide: the wide one.
        rows: outputs that are kept; None: all.
        columns: inputs that are left; None: all.
    """
    weight, bias = wide.weight, wide.bias
    if rows is not None:
        weight, bias = weight[rows], None if bias is None else bias[rows]
    if columns is not None:
        weight = weight[:, columns] * (weight.shape[1] / len(columns)) ** 0.5
    own.weight.copy_(weight)
    if own.bias is not None and bias is not None:
        own.bias.copy_(bias)


def take_rows(own: Norm, wide: Norm, rows: Tensor) -> None:
    """Take a wide norm's gains and offsets of some channels over, in place."""
    own.weight.copy_(wide.weight[rows])
    own.bias.copy_(wide.bias[rows])
