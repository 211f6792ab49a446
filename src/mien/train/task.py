"""What the loop asks of a stage: a module, a loss with named parts, images and warnings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from mien.train.options import LoopOptions

__all__ = ["Batches", "Task", "Terms"]

ImageArray = np.ndarray[Any, np.dtype[np.uint8]]


@dataclass(frozen=True)
class Terms:
    """The loss of a batch and what it is made of; all are scalars."""

    total: Tensor
    """What is optimised: the mean over the images of the batch."""
    parts: dict[str, Tensor]
    """Weighted parts that sum to the total."""
    monitors: dict[str, Tensor] = field(default_factory=dict)
    """Numbers to watch that are not optimised, such as depth_range or pose_spread."""


class Task(Protocol):
    """One stage of training."""

    @property
    def module(self) -> nn.Module:
        """All that is learned, saved and averaged."""
        ...

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:
        """Return the loss of a batch; every random number comes from `generator`."""
        ...

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:
        """Return groups for the optimiser; `lr_scale` and `weight_decay` are read."""
        ...

    def image(self, batch: dict[str, Tensor], step: int) -> ImageArray | None:
        """Return a contact sheet, uint8 [H, W, 3], or None where there is nothing to show."""
        ...

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return what a person should know, such as a flat depth, from averaged monitors."""
        ...


class Batches(Protocol):
    """Where batches come from; batch k is a pure function of k."""

    @property
    def fingerprint(self) -> str:
        """Changes when the data or the way it is drawn changes."""
        ...

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        ...
