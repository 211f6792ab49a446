"""Narrow layers that start from wide ones: which channels stay, what becomes of their weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.gaze.pruning import prune_bottleneck, prune_localizer
from mien.pruning import outgoing, strongest, take_inputs

SIZES = GazeConfig(code_dim=4, dim=32, heads=4, stem_width=8, encoder_depth=1, decoder_depth=1)


def branch(sizes: GazeConfig, seed: int) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        made = EMIB(sizes)
        for parameter in made.parameters():  # blocks begin as nothing
            nn.init.normal_(parameter, std=0.3)
    return made


def test_the_strongest_stay_as_many_of_each_group():
    strength = torch.tensor([5.0, 1.0, 4.0, 3.0, 0.1, 0.2, 0.4, 0.3])
    assert strongest(strength, 4).tolist() == [0, 1, 2, 3]
    assert strongest(strength, 4, groups=2).tolist() == [0, 2, 6, 7]
    # A norm of three groups cannot go with eight channels: they are one.
    assert strongest(strength, 3, groups=3).tolist() == [0, 2, 3]


def test_weights_that_are_left_are_scaled_up():
    wide, own = nn.Linear(8, 6), nn.Linear(2, 3)
    rows, columns = torch.tensor([0, 2, 5]), torch.tensor([1, 4])
    with torch.no_grad():
        take_inputs(own, wide, rows, columns)
    torch.testing.assert_close(own.weight, 2 * wide.weight[rows][:, columns])
    assert torch.equal(own.bias, wide.bias[rows])


def test_what_goes_out_is_summed_over_outputs_and_places():
    layer = nn.Conv2d(2, 3, 3)
    with torch.no_grad():
        layer.weight[:, 0], layer.weight[:, 1] = 1.0, 2.0
    assert outgoing(layer).tolist() == [27.0, 108.0]


def test_a_branch_as_wide_as_before_is_the_same():
    wide, same = branch(SIZES, 0), branch(SIZES, 1)
    prune_localizer(same.localizer, wide.localizer)
    prune_bottleneck(same.bottleneck, wide.bottleneck)
    for name in ("localizer", "bottleneck"):
        own, theirs = getattr(same, name).state_dict(), getattr(wide, name).state_dict()
        assert all(torch.equal(own[key], theirs[key]) for key in theirs), name


@pytest.mark.parametrize("depth", [1, 2])
def test_a_narrower_branch_keeps_what_is_read_most(depth):
    wide = branch(SIZES, 0)
    with torch.no_grad():  # half of the tokens' numbers, the first of four heads, half of the maps
        for block in wide.bottleneck.blocks:
            block.qkv.weight[:, 16:] = 0
            block.mlp[0].weight[:, 16:] = 0
            block.out.weight[:, 8:] *= 0.01
        wide.bottleneck.head.weight[:, 16:] = 0
        wide.localizer.layers[2].weight[:, 8:] = 0
    sizes = replace(
        SIZES,
        bottleneck_dim=16,
        bottleneck_depth=depth,
        bottleneck_stem_width=4,
        localizer_width=8,
    )
    narrow = branch(sizes, 1)
    prune_localizer(narrow.localizer, wide.localizer)
    prune_bottleneck(narrow.bottleneck, wide.bottleneck)
    own, theirs = narrow.bottleneck, wide.bottleneck
    assert torch.equal(own.query, theirs.query[..., :16])
    assert torch.equal(own.norm.weight, theirs.norm.weight[:16])
    last = theirs.blocks[-1]
    # Of heads 8 wide the first and one more stay.
    assert torch.equal(own.blocks[-1].out.bias, last.out.bias[:16])
    torch.testing.assert_close(own.blocks[-1].out.weight[:, :8], 2**0.5 * last.out.weight[:16, :8])
    assert torch.equal(narrow.localizer.layers[0].weight, wide.localizer.layers[0].weight[:8])
