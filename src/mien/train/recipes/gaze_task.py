"""EM-IB as the loop sees it: the gaze branch, its loss, its contact sheet and its warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.gaze.emib import EMIB
from mien.gaze.objective import GazeWeights, emib_loss, emib_sheet
from mien.train.optim import without_decay
from mien.train.options import LoopOptions
from mien.train.task import Terms

__all__ = ["EmibTask"]

SILENT_CODE = 0.02
"""Spread of the code over a batch below which it says the same of every image."""


class EmibTask:
    """Learns the bottleneck and the auto-encoder; the eye localizer is not touched."""

    def __init__(self, module: EMIB, weights: GazeWeights) -> None:
        self.module = module
        self.weights = weights
        module.localizer.requires_grad_(requires_grad=False)
        # What the eye localizer's own stage left would be counted into every gradient's norm.
        module.localizer.zero_grad(set_to_none=True)

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:
        """Return the loss of a batch of mien.data.eye_loader."""
        loss = emib_loss(self.module, batch, self.weights, step=step, generator=generator)
        return Terms(loss.total, loss.parts, loss.monitors)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return matrices and kernels, then biases and gains, which are not decayed."""
        return without_decay(self.module.parameters())

    def image(self, batch: dict[str, Tensor], step: int) -> np.ndarray[Any, np.dtype[np.uint8]]:  # noqa: ARG002
        """Return a contact sheet of eyes, drawn with their own, another's and the mean code."""
        return emib_sheet(self.module, batch)

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return a line for each sign of a collapse."""
        if monitors.get("code_spread", 1.0) < SILENT_CODE:
            return [
                "collapse: the code says the same of every image; lower the learning rate or "
                "raise emib.weights.attended"
            ]
        return []
