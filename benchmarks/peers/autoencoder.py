"""A plain autoencoder: mien's trunk to one code, and one decoder that gives the image back.

What mien adds to it (depth, pose, light, a renderer, clips) is what the comparison shows.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from benchmarks.peers.learner import Learner, Recipe
from torch import Tensor, nn
from torch.nn import functional as F

from mien.latentface.networks import SmallDecoder, SmallEncoder

__all__ = ["PlainAutoencoder"]


class PlainAutoencoder(Learner):
    """Encoder, code, decoder; denoising, and at the pace of mien's stage 1."""

    recipe = Recipe(batch_size=18, learning_rate=4e-4, cost=0.51)

    def __init__(
        self,
        image_size: int = 64,
        *,
        width: int = 32,
        feature_dim: int = 512,
        code_dim: int = 512,
        decoder_width: int = 48,
    ) -> None:
        """Build it; the sizes are those of mien's `small` preset, and one decoder for its two."""
        super().__init__()
        self.trunk = SmallEncoder(image_size, width, feature_dim)
        self.to_code = nn.Linear(feature_dim, code_dim)
        self.decode = SmallDecoder(code_dim, 3, image_size, decoder_width)

    def features(self, images: Tensor) -> Tensor:
        """Return the code. [B, 3, H, W] -> [B, code_dim]."""
        return self.to_code(F.silu(self.trunk(images)))

    def describing(self) -> list[nn.Module]:
        """Return what the code takes."""
        return [self.trunk, self.to_code]

    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:  # noqa: ARG002
        """Return the absolute error of images and of their differences between neighbours."""
        target = batch["image"]
        made = self.decode(self.features(batch["input"])).float().sigmoid()
        edges = [(made.diff(dim=d) - target.diff(dim=d)).abs().mean() for d in (2, 3)]
        return {"image": (made - target).abs().mean(), "edges": edges[0] + edges[1]}
