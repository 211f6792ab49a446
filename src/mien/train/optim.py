"""The optimiser, its learning rate as a function of the step, and the average of the weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mien.train.options import LoopOptions, Pace

__all__ = [
    "WeightAverage",
    "learning_rate",
    "make_optimizer",
    "set_learning_rate",
    "without_decay",
]


def learning_rate(step: int, pace: Pace) -> float:
    """Return the rate of a step (from 0): linear warm-up, then a cosine down to `min_lr_ratio`."""
    if step < pace.warmup_steps:
        return pace.learning_rate * (step + 1) / pace.warmup_steps
    done = (step - pace.warmup_steps) / max(1, pace.steps - pace.warmup_steps)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return pace.learning_rate * (pace.min_lr_ratio + (1 - pace.min_lr_ratio) * cosine)


def without_decay(parameters: Iterable[nn.Parameter]) -> list[dict[str, Any]]:
    """Return the groups of matrices and kernels, and of biases and gains, which must not decay."""
    learned = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim > 1]},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimizer(
    groups: Iterable[dict[str, Any]], options: LoopOptions, pace: Pace
) -> torch.optim.Optimizer:
    """Return AdamW, which is Adam where nothing decays.

    Args:
        groups: parameter groups; `lr_scale` multiplies the rate of a group, `weight_decay`
            replaces the stage's.
        options: decays of the moments.
        pace: rate and weight decay.
    """
    rate, decay = pace.learning_rate, pace.weight_decay
    betas = (options.beta1, options.beta2)
    return torch.optim.AdamW(list(groups), lr=rate, betas=betas, weight_decay=decay)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)


class WeightAverage:
    """average <- d average + (1 - d) weights, d = min(decay, (1 + step) / (10 + step)).

    The early decay is small, so that the average forgets the initial weights. Buffers and whole
    numbers are copied. torch's AveragedModel starts at the first update, not at the initial
    weights, and has no such warm-up: runs would end with other weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        """Start at the weights of `module`; `decay` is d, after the first steps."""
        self._module = module
        self._decay = decay
        self._average = {k: v.detach().clone() for k, v in module.state_dict().items()}
        self._learned = {name for name, _ in module.named_parameters()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move towards the module's present weights; `step` counts from 0."""
        decay = min(self._decay, (1 + step) / (10 + step))
        weights = self._module.state_dict()
        for name, average in self._average.items():
            if name in self._learned:
                average.lerp_(weights[name], 1 - decay)
            else:
                average.copy_(weights[name])

    def state(self) -> dict[str, Tensor]:
        """Return the average by the module's own names; live, not a copy."""
        return self._average

    def restore(self, state: Mapping[str, Tensor]) -> None:
        """Put a saved average back."""
        for name, value in self._average.items():
            value.copy_(state[name])
