"""A running average of weights: what is exported is steadier than what the last step left."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

__all__ = ["WeightAverage"]


class WeightAverage:
    """average <- d average + (1 - d) weights, d = min(decay, (1 + step) / (10 + step)).

    The early decay is small, so that the average forgets the initial weights. Buffers and whole
    numbers are copied.
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
