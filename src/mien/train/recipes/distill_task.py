"""Distillation as the loop sees it: the student, its loss, its contact sheet and its warnings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.gaze.distillation import distill_loss, vary_bands
from mien.gaze.emib import EMIB
from mien.gaze.student import Student, cut_band
from mien.gaze.variation import image_of
from mien.train.optim import without_decay
from mien.train.options import LoopOptions
from mien.train.task import Terms

__all__ = ["DistillTask"]

_COLUMNS = 6
_BLIND = 0.5  # share of images with eyes below which there is little to learn from


class DistillTask:
    """Teaches a student its teacher's code; the teacher stays as it is."""

    def __init__(self, module: Student, teacher: EMIB) -> None:
        self.module = module
        self._teacher = teacher

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:  # noqa: ARG002
        """Return the loss of a batch of canvases."""
        loss = distill_loss(self.module, self._teacher, batch, generator=generator)
        return Terms(loss.total, loss.parts, loss.monitors)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return the weights, and apart the scales and offsets, which must not decay."""
        return without_decay(self.module.parameters())

    @torch.no_grad()
    def image(self, batch: dict[str, Tensor], step: int) -> np.ndarray[Any, np.dtype[np.uint8]]:
        """Return a contact sheet: bands as they are, below them as the student sees them."""
        image = image_of({name: value[:_COLUMNS] for name, value in batch.items()})
        generator = torch.Generator(device=image.pixels.device).manual_seed(step)
        varied, _ = vary_bands(image.pixels, image.eyes, generator)
        rows = [cut_band(image.pixels, image.eyes), varied]
        sheet = torch.cat([torch.cat(list(row.float()), dim=2) for row in rows], dim=1)
        grey = (sheet[0].clamp(0, 1) * 255).byte().cpu().numpy()
        return np.repeat(grey[..., None], 3, axis=2)

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:
        """Return a line where the teacher sees too few eyes, or the student learns nothing."""
        found = []
        if monitors.get("eyes_seen", 1.0) < _BLIND:
            share = monitors["eyes_seen"]
            found.append(f"the teacher sees eyes in {share:.0%} of the images; is --crop right?")
        if monitors.get("code_error", 0.0) > 1.5:
            found.append("the code is further off than its mean would be; lower the learning rate")
        return found
