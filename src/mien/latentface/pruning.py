"""Narrower encoders out of wide ones: the channels whose outgoing weights are the largest stay.

Channels are chosen within each group of the normalisation, as many of each, so that groups stay
groups; after Li et al. 2017, "Pruning filters for efficient convnets", who rank by incoming
weights. Where a part f of the incoming channels is left, weights are divided by sqrt(f): sums of
as many independent terms keep their size.
"""

from __future__ import annotations

import math
from typing import cast

import torch
from torch import Tensor, nn

from mien.latentface.latentface import LatentFace
from mien.latentface.networks import ResidualBlock, SmallEncoder
from mien.latentface.recognition import RecognitionNetwork

__all__ = ["prune", "prune_encoder"]

_CELLS = 16
"""Of the last maps, 4 x 4, which linear maps read channel by channel."""


@torch.no_grad()
def prune(narrow: LatentFace, wide: LatentFace) -> None:
    """Start narrow encoders from the strongest channels of wide ones, in place.

    Args:
        narrow: `small` networks that differ from the wide ones in `encoder_width` alone.
        wide: stays as it is.
    """
    trunk, other = narrow.autoencoder.trunk, wide.autoencoder.trunk
    kept = prune_encoder(trunk, other, None)
    _take_columns(trunk.linear, other.linear, kept[-1])
    own, theirs = narrow.face_embedding, wide.face_embedding
    if isinstance(own, RecognitionNetwork) and isinstance(theirs, RecognitionNetwork):
        shared = wide.config.face_embedding_shares
        given = kept[shared - 1] if shared else None
        last = prune_encoder(own.encoder, theirs.encoder, given)
        finer = len(theirs.encoder.level(-2)[1].weight)
        _take_columns(
            own.encoder.linear, theirs.encoder.linear, torch.cat([last[-2], last[-1] + finer])
        )


@torch.no_grad()
def prune_encoder(narrow: SmallEncoder, wide: SmallEncoder, given: Tensor | None) -> list[Tensor]:
    """Prune all levels of an encoder; return the channels that each level keeps.

    Args:
        narrow: changed in place.
        wide: of as many levels.
        given: channels that its first level still gets; None: all.
    """
    kept: list[Tensor] = []
    count = len(wide)
    for number in range(count):
        own, theirs = narrow.level(number), wide.level(number)
        if number + 1 < count:
            outgoing = wide.level(number + 1)[0].weight.square().sum(dim=(0, 2, 3))
        else:
            channels = len(theirs[1].weight)
            cells = wide.linear.weight.unflatten(1, (-1, _CELLS))[:, -channels:]
            outgoing = cells.square().sum(dim=(0, 2))
        chosen = _strongest(outgoing, cast("nn.GroupNorm", own[1]))
        _take_convolution(own[0], theirs[0], chosen, given)
        _take_rows(own[1], theirs[1], chosen)
        for block, wider in zip(own[3:], theirs[3:], strict=True):
            _prune_block(cast("ResidualBlock", block), cast("ResidualBlock", wider), chosen)
        kept.append(chosen)
        given = chosen
    _take_rows(narrow.norm, wide.norm, kept[-1])
    return kept


def _prune_block(narrow: ResidualBlock, wide: ResidualBlock, channels: Tensor) -> None:
    outgoing = wide.conv2.weight.square().sum(dim=(0, 2, 3)) * wide.norm2.weight.square()
    inner = _strongest(outgoing, narrow.norm2)
    _take_rows(narrow.norm1, wide.norm1, channels)
    _take_convolution(narrow.conv1, wide.conv1, inner, channels)
    _take_rows(narrow.norm2, wide.norm2, inner)
    _take_convolution(narrow.conv2, wide.conv2, channels, inner)


def _strongest(strength: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Return the numbers of the strongest channels, as many for each group of a norm. int64 [C]."""
    groups = math.gcd(norm.num_groups, len(strength))
    size, count = len(strength) // groups, norm.num_channels // groups
    within = strength.view(groups, size).topk(count, dim=1).indices.sort(dim=1).values
    return (within + size * torch.arange(groups, device=within.device)[:, None]).flatten()


def _take_convolution(
    own: nn.Module, theirs: nn.Module, rows: Tensor, columns: Tensor | None
) -> None:
    own, theirs = cast("nn.Conv2d", own), cast("nn.Conv2d", theirs)
    weight = theirs.weight[rows]
    if columns is not None:
        weight = weight[:, columns] * (weight.shape[1] / len(columns)) ** 0.5
    own.weight.copy_(weight)
    if own.bias is not None and theirs.bias is not None:
        own.bias.copy_(theirs.bias[rows])


def _take_rows(own: nn.Module, theirs: nn.Module, rows: Tensor) -> None:
    own, theirs = cast("nn.GroupNorm", own), cast("nn.GroupNorm", theirs)
    own.weight.copy_(theirs.weight[rows])
    own.bias.copy_(theirs.bias[rows])


def _columns(channels: Tensor) -> Tensor:
    """Return the numbers of all cells of some channels of flattened maps."""
    return (channels[:, None] * _CELLS + torch.arange(_CELLS, device=channels.device)).flatten()


def _take_columns(own: nn.Linear, theirs: nn.Linear, channels: Tensor) -> None:
    columns = _columns(channels)
    own.weight.copy_(theirs.weight[:, columns] * (theirs.in_features / len(columns)) ** 0.5)
    own.bias.copy_(theirs.bias)
