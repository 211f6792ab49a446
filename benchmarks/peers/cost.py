"""What training costs, as processor time: of a peer's image against one of mien's stage 1.

Peers are trained for the steps that take as long as mien's `small` preset. The fractions are
constants of their recipes, so that a training can be repeated; `run.py --measure-cost` measures
them anew.
mien's stage 2 takes some hundredths of stage 1's time and is left out.

Counted multiplications would be a worse measure: they leave out the renderer and would give peers
half the time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch
from benchmarks.peers.learner import Learner
from torch import Tensor, nn

from mien.latentface.autoencoder import Autoencoder
from mien.latentface.stage1 import stage1_loss
from mien.train.config import load_config
from mien.train.options import TrainConfig
from mien.train.process import keep_freed_memory

__all__ = ["measure_fractions", "mien_images", "steps_for"]

Network = TypeVar("Network", bound=nn.Module)


def mien_images(preset: str = "small") -> int:
    """Return how many images stage 1 of a preset is shown."""
    stage = load_config(preset).stage1
    return stage.steps * stage.batch_size


def steps_for(network: Learner, images: int) -> int:
    """Return how many steps of a peer take as long as so many images of mien's stage 1."""
    return max(1, math.ceil(images / network.recipe.cost / network.recipe.batch_size))


def measure_fractions(networks: Sequence[Learner], *, rounds: int = 6) -> list[float]:
    """Return the processor time of each peer's image as a fraction of mien's.

    All alternate, forwards and backwards on one thread, in bfloat16 as in training; the fastest
    round of each counts, for others only add to the time.

    Args:
        networks: peers.
        rounds: repetitions of each.
    """
    keep_freed_memory()
    config = load_config("small")
    calls = [_mien_step(config), *(_step(network, config.model.image_size) for network in networks)]
    sizes = [config.stage1.batch_size, *(network.recipe.batch_size for network in networks)]
    least = [math.inf] * len(calls)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for _ in range(rounds):
            for k, call in enumerate(calls):
                start = time.process_time()
                call()
                least[k] = min(least[k], (time.process_time() - start) / sizes[k])
    finally:
        torch.set_num_threads(threads)
    return [each / least[0] for each in least[1:]]


def _mien_step(config: TrainConfig) -> Callable[[], None]:
    """Return what does the work of stage 1 for one batch, mixed as its sampler would."""
    stage, size = config.stage1, config.model.image_size
    with torch.random.fork_rng(devices=[]):
        model = _channels_last(Autoencoder(config.model))
    clips = round(stage.batch_size * (1 - stage.stills_fraction) / stage.frames)
    clip = torch.full((stage.batch_size,), -1)
    clip[: clips * stage.frames] = torch.arange(clips).repeat_interleave(stage.frames)
    images = torch.rand(stage.batch_size, 3, size, size)

    def loss() -> Tensor:
        return stage1_loss(model, images, images, clip, stage.loss_weights).total

    return lambda: _work(model, loss)


def _step(network: Learner, size: int) -> Callable[[], None]:
    """Return what does the work of a peer for one batch."""
    _channels_last(network)
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(network.recipe.batch_size, 3, size, size, generator=generator)
    batch = {"image": images, "input": images}

    def loss() -> Tensor:
        return torch.stack(list(network.loss(batch, generator).values())).sum()

    return lambda: _work(network, loss)


def _work(network: nn.Module, loss: Callable[[], Tensor]) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        total = loss()
    network.zero_grad(set_to_none=True)
    total.backward()


def _channels_last(network: Network) -> Network:
    """Store kernels as the training loop does."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
