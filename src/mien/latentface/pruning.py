"""Narrow encoders that start from the strongest channels of wide ones (see mien.pruning)."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from mien.latentface.latentface import LatentFace
from mien.latentface.networks import ResidualBlock, SmallEncoder
from mien.latentface.recognition import RecognitionNetwork
from mien.pruning import outgoing, prune_block, strongest, take_inputs, take_rows

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
    take_inputs(trunk.linear, other.linear, columns=_cells(kept[-1]))
    own, theirs = narrow.face_embedding, wide.face_embedding
    if isinstance(own, RecognitionNetwork) and isinstance(theirs, RecognitionNetwork):
        shared = wide.config.face_embedding_shares
        given = kept[shared - 1] if shared else None
        last = prune_encoder(own.encoder, theirs.encoder, given)
        finer = theirs.encoder.map_channels - theirs.encoder.norm.num_channels
        both = _cells(torch.cat([last[-2], last[-1] + finer]))
        take_inputs(own.encoder.linear, theirs.encoder.linear, columns=both)


@torch.no_grad()
def prune_encoder(narrow: SmallEncoder, wide: SmallEncoder, given: Tensor | None) -> list[Tensor]:
    """Prune all levels of an encoder; return the channels that each level keeps.

    Args:
        narrow: changed in place.
        wide: of as many levels.
        given: channels that its first level still gets; None: all.
    """
    kept: list[Tensor] = []
    for number in range(len(wide)):
        own, theirs = narrow.level(number), wide.level(number)
        norm = cast("nn.GroupNorm", own[1])
        strength = _read_by_next(wide, number)
        chosen = strongest(strength, norm.num_channels, groups=norm.num_groups)
        take_inputs(_convolution(own), _convolution(theirs), chosen, given)
        take_rows(norm, cast("nn.GroupNorm", theirs[1]), chosen)
        for block, wider in zip(own[3:], theirs[3:], strict=True):
            prune_block(cast("ResidualBlock", block), cast("ResidualBlock", wider), chosen)
        kept.append(chosen)
        given = chosen
    take_rows(narrow.norm, wide.norm, kept[-1])
    return kept


def _read_by_next(wide: SmallEncoder, number: int) -> Tensor:
    """Return how strongly each channel of a level is read by what comes after it. [C]."""
    if number + 1 < len(wide):
        return outgoing(_convolution(wide.level(number + 1)))
    cells = outgoing(wide.linear).unflatten(0, (-1, _CELLS)).sum(dim=1)
    return cells[-wide.norm.num_channels :]


def _convolution(level: list[nn.Module]) -> nn.Conv2d:
    return cast("nn.Conv2d", level[0])


def _cells(channels: Tensor) -> Tensor:
    """Return the numbers of all cells of some channels of flattened maps."""
    return (channels[:, None] * _CELLS + torch.arange(_CELLS, device=channels.device)).flatten()
