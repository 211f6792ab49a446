"""The objectives of the gaze branch: the eye localizer's, then EM-IB's."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mien.gaze.emib import EMIB
from mien.gaze.localizer import EyeLocalizer
from mien.gaze.localizer_objective import localizer_loss
from mien.gaze.objective import GazeWeights, emib_loss, emib_sheet
from mien.train.objective import ImageArray, Objective, Sign
from mien.types import Loss

__all__ = ["EmibObjective", "LocalizerObjective"]

CONSTANT_CODE = 0.02
"""Standard deviation over a batch below which all images have the same code."""
LOST_PX = 12.0
"""Distance from the true eyes above which a localizer has not begun to find them; an iris is 17."""


class LocalizerObjective(Objective[EyeLocalizer]):
    """Learns where the eyes are and whether they are open; EM-IB's contact sheets show it."""

    signs = (
        Sign(
            *("error_px", 0.0, LOST_PX),
            "the eyes are not found yet; give more localizer.steps or another learning rate",
        ),
    )

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of mien.data.eye_loader whose eyes are labelled."""
        return localizer_loss(self.module, batch, generator=generator)


class EmibObjective(Objective[EMIB]):
    """Learns the bottleneck and the auto-encoder; the eye localizer is not touched."""

    unused_parameters = True
    """Eye-unattended steps do not use the bottleneck, others not the head of the surroundings."""
    decays_vectors = False
    signs = (
        Sign(
            *("code_std", CONSTANT_CODE, math.inf),
            "collapse: all images have the same code; lower the learning rate or "
            "raise emib.loss_weights.attended_weight",
        ),
    )

    def __init__(self, module: EMIB, weights: GazeWeights) -> None:
        super().__init__(module)
        self.weights = weights
        module.localizer.requires_grad_(requires_grad=False)
        # What the eye localizer's own stage left would be counted into every gradient's norm.
        module.localizer.zero_grad(set_to_none=True)

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:
        """Return the loss of a batch of mien.data.eye_loader."""
        return emib_loss(self.module, batch, self.weights, step=step, generator=generator)

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return eyes as rendered with their own, another's and the mean code."""
        return emib_sheet(self.module, batch)
