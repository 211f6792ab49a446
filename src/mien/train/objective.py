"""What the loop asks of a stage: a module, its loss, a contact sheet, warnings; and batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from mien.train.optim import without_decay
from mien.train.options import LoopOptions
from mien.types import Loss

__all__ = ["Batches", "ImageArray", "Objective", "Sign", "tiled"]

ImageArray = np.ndarray[Any, np.dtype[np.uint8]]
Module = TypeVar("Module", bound=nn.Module)


class Sign(NamedTuple):
    """A monitor that leaves its bounds, and what a person should then know."""

    monitor: str
    low: float
    high: float
    advice: str
    """A format of the monitor's value."""


class Objective(Generic[Module]):
    """What one stage of training minimises; a stage gives at least `compute`."""

    unused_parameters = False
    """Whether some step gives a parameter that requires a gradient none. Processes that train
    together must then look for such parameters at every step."""
    decays_vectors = True
    """Whether biases and gains decay as matrices and kernels do."""
    signs: ClassVar[tuple[Sign, ...]] = ()
    """Of a collapse, such as a flat depth."""

    def __init__(self, module: Module) -> None:
        """Take all that is learned, saved and averaged."""
        self.module = module

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:
        """Return the loss of a batch; every random number comes from `generator`."""
        raise NotImplementedError

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return groups for the optimiser; `lr_scale` and `weight_decay` are read."""
        learned = [p for p in self.module.parameters() if p.requires_grad]
        return [{"params": learned}] if self.decays_vectors else without_decay(learned)

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray | None:  # noqa: ARG002
        """Return an image to look at, uint8 [H, W, 3], or None where there is nothing to show."""
        return None

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return what a person should know from averaged monitors."""
        found = [(sign, monitors.get(sign.monitor, sign.low)) for sign in self.signs]
        return [s.advice.format(value) for s, value in found if value < s.low or value > s.high]


class Batches(Protocol):
    """Where batches come from; batch k is a pure function of k."""

    @property
    def fingerprint(self) -> str:
        """Changes when the data or the way batches are made of it changes."""
        ...

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        ...


def tiled(images: Tensor, columns: int = 8) -> ImageArray:
    """Return images in [0, 1] side by side, in whole rows; uint8 [H, W, 3].

    Args:
        images: [B, 3, S, S].
        columns: of the sheet, where there are so many images.
    """
    columns = min(columns, len(images))
    images = images[: len(images) // columns * columns]
    rows = images.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
    return (rows * 255 + 0.5).to(torch.uint8).cpu().numpy()
