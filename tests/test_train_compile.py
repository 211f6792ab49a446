"""loop.compile: the whole step is compiled, and its losses are those of the step as it is."""

from __future__ import annotations

import pytest
import torch

from mien.latentface.autoencoder import Autoencoder
from mien.latentface.config import ModelConfig
from mien.latentface.stage1 import Stage1Weights
from mien.train import loop
from mien.train.options import LoopOptions
from mien.train.recipes.stage1 import AutoencoderObjective


@pytest.fixture
def objective():
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        config = ModelConfig(image_size=32, width=16, feature_dim=32, texture_dim=16, shape_dim=16)
        return AutoencoderObjective(Autoencoder(config), Stage1Weights())


def batch(seed):
    images = torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return {"input": images, "image": images, "clip": torch.tensor([0, 0, -1, -1])}


@pytest.mark.slow  # torch.compile traces the whole of stage 1
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")  # Dynamo's
def test_the_whole_step_is_compiled_and_gives_the_same_loss(objective, monkeypatch):
    # Imported by the process that runs this alone: it takes long.
    from torch._dynamo.testing import CompileCounter

    counter = CompileCounter()
    compile_ = torch.compile
    monkeypatch.setattr(torch, "compile", lambda f: compile_(f, backend=counter))
    step = loop._Step(objective, compiled=True)  # pyright: ignore[reportPrivateUsage]
    generator = torch.Generator()
    found = step(batch(0), 0, generator)
    # Networks, image formation and losses; the graph breaks at the rasteriser and at the pairs.
    assert counter.frame_count <= 6
    assert counter.op_count > 300
    plain = objective.compute(batch(0), 0, generator)
    torch.testing.assert_close(found["total"]["total"], plain.total)
    for name, part in plain.parts.items():
        torch.testing.assert_close(found["parts"][name], part)
    compiled_grads = torch.autograd.grad(found["total"]["total"], objective.module.to_view.bias)
    plain_grads = torch.autograd.grad(plain.total, objective.module.to_view.bias)
    torch.testing.assert_close(compiled_grads, plain_grads, rtol=1e-3, atol=1e-5)
    step(batch(1), 1, generator)
    graphs = counter.frame_count
    step(batch(2), 2, generator)
    assert counter.frame_count == graphs


def test_nothing_is_compiled_unless_asked_for(objective):
    assert not LoopOptions().compile
    step = loop._Step(objective, compiled=False)  # pyright: ignore[reportPrivateUsage]
    assert step._compute == objective.compute  # pyright: ignore[reportPrivateUsage]
