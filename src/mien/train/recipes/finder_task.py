"""The finder of eyes as the loop sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from mien.gaze.finder import EyeFinder
from mien.gaze.finder_objective import finder_loss
from mien.train.options import LoopOptions
from mien.train.task import Terms

__all__ = ["FinderTask"]

LOST_PX = 12.0
"""Distance from the true eyes above which a finder has not begun to find them; an iris is 17."""


class FinderTask:
    """Learns where the eyes are and whether they are open."""

    def __init__(self, module: EyeFinder) -> None:
        self.module = module

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:  # noqa: ARG002
        """Return the loss of a batch of mien.data.eye_loader whose eyes are labelled."""
        loss = finder_loss(self.module, batch, generator=generator)
        return Terms(loss.total, loss.parts, loss.monitors)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return one group: everything learns at one rate."""
        return [{"params": list(self.module.parameters())}]

    def picture(self, batch: dict[str, Tensor], step: int) -> None:  # noqa: ARG002
        """What the finder sees are canvases; EM-IB's sheets show the eyes that it cuts."""
        return

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return a line where the eyes are not found."""
        if monitors.get("error_px", 0.0) > LOST_PX:
            return ["the eyes are not found yet; give more finder.steps or another learning rate"]
        return []
