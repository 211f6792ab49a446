"""What the networks that learn without labels have in common: a recipe, a loss and features."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.train.objective import Objective
from mien.train.optim import without_decay
from mien.train.options import LoopOptions
from mien.types import Loss

__all__ = ["Learner", "LearnerObjective", "NetworkFeatures", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """How a network is trained; all but the number of steps."""

    batch_size: int
    """Images in a step."""
    learning_rate: float
    """Peak rate of Adam, or of AdamW where there is weight decay."""
    cost: float
    """Processor time of an image against one of mien's stage 1, as `cost.py` measures it."""
    warmup_steps: int = 200
    """Steps of linear warm-up, at most a tenth of all."""
    min_lr_ratio: float = 0.02
    """Rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.0
    """Decoupled, of matrices and kernels."""
    beta2: float = 0.99
    """Adam's decay of the square."""


class Learner(nn.Module):
    """A network that learns from images alone."""

    recipe: ClassVar[Recipe]

    @abstractmethod
    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the parts whose sum is minimised.

        Args:
            batch: `image` and `input`, the same a little poorer, in [0, 1]. Each [B, 3, H, W].
            generator: on the batch's device.
        """

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """Return what is known of crops in [0, 1]. [B, 3, H, W] -> [B, D]."""

    @abstractmethod
    def describing(self) -> list[nn.Module]:
        """Return what `features` uses; the rest is for learning only."""


class LearnerObjective(Objective[Learner]):
    """A learner as mien's training loop sees it."""

    unused_parameters = True

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch."""
        parts = self.module.loss(batch, generator)
        return Loss(torch.stack(list(parts.values())).sum(), parts)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return matrices and kernels, and biases and gains, which do not decay."""
        groups = without_decay(self.module.parameters())
        return groups if self.module.recipe.weight_decay else [{"params": _all(groups)}]


class NetworkFeatures:
    """A trained learner as `describe_peer` takes it."""

    def __init__(self, network: Learner) -> None:
        """Take a network; it is frozen."""
        self._network = network.eval().requires_grad_(requires_grad=False)

    @property
    def parameters(self) -> int:
        """How many learned numbers the description takes."""
        parts = self._network.describing()
        return sum(parameter.numel() for part in parts for parameter in part.parameters())

    @torch.inference_mode()
    def __call__(self, crops: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the features of RGB crops. [B, S, S, 3] -> [B, D]."""
        device = next(self._network.parameters()).device
        images = torch.from_numpy(np.array(crops)).to(device).permute(0, 3, 1, 2)
        features = self._network.features(images.float() / 255)
        return features.float().cpu().numpy()


def _all(groups: list[dict[str, Any]]) -> list[nn.Parameter]:
    return [parameter for group in groups for parameter in group["params"]]
