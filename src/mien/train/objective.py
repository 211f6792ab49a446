"""What the loop asks of a stage: a module, its loss, a contact sheet, warnings; and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mien.train.options import LoopOptions
from mien.types import Loss

__all__ = ["Batches", "ImageArray", "Objective"]

ImageArray = np.ndarray[Any, np.dtype[np.uint8]]


class Objective(Protocol):
    """What one stage of training minimises."""

    @property
    def module(self) -> nn.Module:
        """All that is learned, saved and averaged."""
        ...

    @property
    def unused_parameters(self) -> bool:
        """Whether some step gives a parameter that requires a gradient none.

        Processes that train together must then look for such parameters at every step.
        """
        ...

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:
        """Return the loss of a batch; every random number comes from `generator`."""
        ...

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:
        """Return groups for the optimiser; `lr_scale` and `weight_decay` are read."""
        ...

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray | None:
        """Return an image to look at, uint8 [H, W, 3], or None where there is nothing to show."""
        ...

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return what a person should know, such as a flat depth, from averaged monitors."""
        ...


class Batches(Protocol):
    """Where batches come from; batch k is a pure function of k."""

    @property
    def fingerprint(self) -> str:
        """Changes when the data or the way batches are made of it changes."""
        ...

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        ...
