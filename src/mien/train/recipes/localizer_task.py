"""The eye localizer as the loop sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mien.gaze.localizer import EyeLocalizer
from mien.gaze.localizer_objective import localizer_loss
from mien.train.options import LoopOptions
from mien.train.task import Terms

__all__ = ["LocalizerTask"]

LOST_PX = 12.0
"""Distance from the true eyes above which a localizer has not begun to find them; an iris is 17."""


class LocalizerTask:
    """Learns where the eyes are and whether they are open."""

    def __init__(self, module: EyeLocalizer) -> None:
        self.module = module

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:  # noqa: ARG002
        """Return the loss of a batch of mien.data.eye_loader whose eyes are labelled."""
        loss = localizer_loss(self.module, batch, generator=generator)
        return Terms(loss.total, loss.parts, loss.monitors)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return one group: everything learns at one rate."""
        return [{"params": list(self.module.parameters())}]

    def image(self, batch: dict[str, Tensor], step: int) -> None:  # noqa: ARG002
        """What the eye localizer sees are canvases; EM-IB's sheets show the eyes that it cuts."""
        return

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return a line where the eyes are not found."""
        if monitors.get("error_px", 0.0) > LOST_PX:
            return [
                "the eyes are not found yet; give more localizer.steps or another learning rate"
            ]
        return []
