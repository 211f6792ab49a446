"""Stage 1 of LatentFace: the objective of the autoencoder."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from mien.geometry.camera import surface_normals, unproject
from mien.latentface.autoencoder import Autoencoder
from mien.latentface.stage1 import Stage1Weights, stage1_loss
from mien.train.objective import ImageArray, Objective, Sign
from mien.types import Loss

__all__ = ["AutoencoderObjective"]

FLAT_DEPTH = 0.03
"""Log depth range below which the face is a mask without relief; a head has about 0.08."""
FROZEN_POSE = 0.05
"""Standard deviation of the yaw in radians below which all images have the same pose."""


class AutoencoderObjective(Objective[Autoencoder]):
    """Learns the autoencoder from images and clips."""

    signs = (
        Sign(
            *("log_depth_range", FLAT_DEPTH, math.inf),
            "collapse: the canonical depth is flat; lower the learning rate or add clips",
        ),
        Sign(
            *("yaw_std", FROZEN_POSE, math.inf),
            "collapse: the pose is frozen; raise stage1.loss_weights.yaw_std or add clips",
        ),
        Sign(
            *("covered", 0.5, math.inf),
            "collapse: faces leave the image; lower the learning rate",
        ),
    )

    def __init__(self, module: Autoencoder, weights: Stage1Weights, *, fixed: int = 0) -> None:
        """Take the autoencoder.

        Args:
            module: `small` networks where levels are fixed.
            weights: of the terms.
            fixed: finest levels of the trunk that do not learn, for another network reads them.
        """
        super().__init__(module)
        self.weights = weights
        for number in range(fixed):
            for layer in module.trunk.level(number):
                layer.requires_grad_(False)

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of `input`, `image` [B, 3, H, W] and `clip` [B].

        It may have `real` [B, 1, H, W] and `rotation` [B, 3, 3], as `stage1_loss` takes them.
        """
        return self._loss(batch)

    def _loss(self, batch: dict[str, Tensor]) -> Loss:
        images, targets, known = batch["input"], batch["image"], ("real", "rotation")
        extra = {name: batch[name] for name in known if name in batch}
        return stage1_loss(self.module, images, targets, batch["clip"], self.weights, **extra)

    @torch.no_grad()
    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return a contact sheet: a column an image, first frames of clips and then stills.

        Rows: input, straight, mirrored, cross-frame, albedo, depth, shaded depth.
        """
        found = self._loss(batch).extras
        images, size, renderings = batch["image"], len(batch["image"]), found["renderings"]
        straight, mirrored = renderings[:size], renderings[size : 2 * size]
        cross = torch.zeros_like(images)
        cross[: len(renderings) - 2 * size] = renderings[2 * size :]
        depth = found["depth"]
        low, high = depth.amin(dim=(2, 3), keepdim=True), depth.amax(dim=(2, 3), keepdim=True)
        normals = surface_normals(unproject(depth, self.module.config.fov_deg))
        shaded = (-0.7 * normals[:, 2:] - 0.35 * normals[:, :1] + 0.2).clamp(0, 1)
        nearness = (high - depth) / (high - low).clamp_min(1e-6)
        rows = [images, straight, mirrored, cross, found["albedo"], nearness, shaded]
        chosen = list(range(min(8, size))) + list(range(max(8, size - 8), size))
        sheet = torch.cat(
            [torch.cat([row[i].float().expand(3, -1, -1) for i in chosen], dim=2) for row in rows],
            dim=1,
        )
        return (sheet.clamp(0, 1) * 255).byte().permute(1, 2, 0).cpu().numpy()
