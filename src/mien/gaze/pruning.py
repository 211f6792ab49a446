"""A narrow gaze branch that starts from the strongest channels of a wide one (see mien.pruning)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

import torch
from torch import Tensor, nn

from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.layers import Block, ResidualBlock
from mien.gaze.localizer import EyeLocalizer
from mien.pruning import outgoing, prune_block, strongest, take_inputs, take_rows

__all__ = ["prune_bottleneck", "prune_localizer"]


@torch.no_grad()
def prune_localizer(narrow: EyeLocalizer, wide: EyeLocalizer) -> None:
    """Start a narrow eye localizer from a wide one, in place."""
    first, second = cast("nn.Conv2d", wide.layers[0]), cast("nn.Conv2d", wide.layers[2])
    own_first, own_second = cast("nn.Conv2d", narrow.layers[0]), cast("nn.Conv2d", narrow.layers[2])
    finer = strongest(outgoing(second), own_first.out_channels)
    take_inputs(own_first, first, finer)
    scored, mapped = cast("nn.Linear", wide.score[0]), wide.maps
    count = second.out_channels
    read = outgoing(mapped) + outgoing(scored).view(2, count).sum(dim=0)
    blocks = [cast("ResidualBlock", layer) for layer in list(narrow.layers)[3:]]
    kept = strongest(read, own_second.out_channels, groups=blocks[0].norm1.num_groups)
    take_inputs(own_second, second, kept, finer)
    for block, wider in zip(blocks, list(wide.layers)[3:], strict=True):
        prune_block(block, cast("ResidualBlock", wider), kept)
    take_inputs(narrow.maps, mapped, columns=kept)
    own_score = cast("nn.Linear", narrow.score[0])
    take_inputs(own_score, scored, columns=torch.cat([kept, kept + count]))
    narrow.score[2].load_state_dict(wide.score[2].state_dict())


@torch.no_grad()
def prune_bottleneck(narrow: FullFaceBottleneck, wide: FullFaceBottleneck) -> None:
    """Start a narrow FF-IB from a wide one, in place; of fewer blocks it gets the last ones."""
    depth = len(narrow.blocks)
    blocks = [cast("Block", block) for block in wide.blocks][len(wide.blocks) - depth :]
    kept = strongest(_stream(wide, blocks), narrow.norm.normalized_shape[0])
    _prune_stem(narrow.stem, wide.stem, kept)
    for name in ("band", "face", "place"):
        take_inputs(getattr(narrow, name), getattr(wide, name), kept)
    for name in ("query", "eye_places", "band_places", "face_places", "no_face"):
        getattr(narrow, name).copy_(getattr(wide, name)[..., kept])
    for block, wider in zip(narrow.blocks, blocks, strict=True):
        _prune_attention(cast("Block", block), wider, kept)
    take_rows(narrow.norm, wide.norm, kept)
    rows = torch.arange(narrow.head.out_features, device=kept.device)
    take_inputs(narrow.head, wide.head, rows, kept)


def _stream(wide: FullFaceBottleneck, blocks: Iterable[Block]) -> Tensor:
    """Return how strongly each number of the tokens is read by blocks and head. [D]."""
    strength = wide.norm.weight.square() * outgoing(wide.head)
    for block in blocks:
        strength = strength + block.norm1.weight.square() * outgoing(block.qkv)
        strength = strength + block.norm2.weight.square() * outgoing(_first(block))
    return strength


def _prune_stem(narrow: nn.Sequential, wide: nn.Sequential, tokens: Tensor) -> None:
    """Prune strided convolutions; the last gives the numbers of the tokens that are kept."""
    places = [i for i, layer in enumerate(wide) if isinstance(layer, nn.Conv2d)]
    given: Tensor | None = None
    for place, after in zip(places, [*places[1:], None], strict=True):
        own, theirs = cast("nn.Conv2d", narrow[place]), cast("nn.Conv2d", wide[place])
        if after is None:
            take_inputs(own, theirs, tokens, given)
            break
        blocks = [i for i in range(place, after) if isinstance(wide[i], ResidualBlock)]
        groups = 1
        for number in blocks:
            groups = cast("ResidualBlock", narrow[number]).norm1.num_groups
        read = outgoing(cast("nn.Conv2d", wide[after]))
        kept = strongest(read, own.out_channels, groups=groups)
        take_inputs(own, theirs, kept, given)
        for number in blocks:
            block = cast("ResidualBlock", narrow[number])
            prune_block(block, cast("ResidualBlock", wide[number]), kept)
        given = kept


def _prune_attention(narrow: Block, wide: Block, kept: Tensor) -> None:
    """Prune a transformer block: whole heads, and the perceptron's hidden units."""
    dim = wide.out.in_features
    width = dim // wide.heads
    heads = strongest(outgoing(wide.out).view(wide.heads, width).sum(dim=1), narrow.heads)
    inside = (heads[:, None] * width + torch.arange(width, device=heads.device)).flatten()
    take_rows(narrow.norm1, wide.norm1, kept)
    rows = torch.cat([inside + part * dim for part in range(3)])
    take_inputs(narrow.qkv, wide.qkv, rows, kept)
    take_inputs(narrow.out, wide.out, kept, inside)
    take_rows(narrow.norm2, wide.norm2, kept)
    hidden = strongest(outgoing(_last(wide)), _first(narrow).out_features)
    take_inputs(_first(narrow), _first(wide), hidden, kept)
    take_inputs(_last(narrow), _last(wide), kept, hidden)


def _first(block: Block) -> nn.Linear:
    return cast("nn.Linear", block.mlp[0])


def _last(block: Block) -> nn.Linear:
    return cast("nn.Linear", block.mlp[2])
