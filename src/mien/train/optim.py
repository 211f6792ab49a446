"""The optimiser and its learning rate as a function of the step."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Protocol

import torch

from mien.train.options import LoopOptions

__all__ = ["Pace", "learning_rate", "make_optimizer", "set_learning_rate", "without_decay"]


class Pace(Protocol):
    """What a stage says about its length and its learning rate; Stage1Options is one."""

    @property
    def steps(self) -> int:
        """Optimiser steps."""
        ...

    @property
    def batch_size(self) -> int:
        """Images in a step, over all processes."""
        ...

    @property
    def learning_rate(self) -> float:
        """Peak rate."""
        ...

    @property
    def warmup_steps(self) -> int:
        """Steps of linear warm-up."""
        ...

    @property
    def final_share(self) -> float:
        """Rate at the end, as a share of the peak."""
        ...

    @property
    def weight_decay(self) -> float:
        """Decoupled weight decay; 0 = Adam."""
        ...


def learning_rate(step: int, pace: Pace) -> float:
    """Return the rate of a step (from 0): linear warm-up, then a cosine down to the final share."""
    if step < pace.warmup_steps:
        return pace.learning_rate * (step + 1) / pace.warmup_steps
    done = (step - pace.warmup_steps) / max(1, pace.steps - pace.warmup_steps)
    cosine = (1 + math.cos(math.pi * min(1.0, done))) / 2
    return pace.learning_rate * (pace.final_share + (1 - pace.final_share) * cosine)


def without_decay(parameters: Iterable[torch.nn.Parameter]) -> list[dict[str, Any]]:
    """Return the groups of matrices and kernels, and of biases and gains, which must not decay."""
    learned = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in learned if p.ndim > 1]},
        {"params": [p for p in learned if p.ndim <= 1], "weight_decay": 0.0},
    ]


def make_optimizer(
    groups: Iterable[dict[str, Any]], options: LoopOptions, pace: Pace
) -> torch.optim.Optimizer:
    """Return Adam, or AdamW where weight decay is asked for.

    Args:
        groups: parameter groups; `lr_scale` multiplies the rate of a group, `weight_decay`
            replaces the stage's.
        options: decays of the moments.
        pace: rate and weight decay.
    """
    groups = list(groups)
    betas = (options.beta1, options.beta2)
    decays = [pace.weight_decay, *(group.get("weight_decay", 0.0) for group in groups)]
    if any(decays):
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            groups, lr=pace.learning_rate, betas=betas, weight_decay=pace.weight_decay
        )
    else:
        optimizer = torch.optim.Adam(groups, lr=pace.learning_rate, betas=betas)
    return optimizer


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group its rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("lr_scale", 1.0)
