"""LatentFace whole: the autoencoder, the code scales and the two neutral networks."""

from __future__ import annotations

from torch import Tensor, nn

from mien.latentface.autoencoder import Autoencoder, Canonical
from mien.latentface.config import ModelConfig
from mien.latentface.neutral import CodeScale, NeutralDiffusion, NeutralRegressor
from mien.types import Factors

__all__ = ["LatentFace", "build_neutral"]


def build_neutral(config: ModelConfig, dim: int) -> NeutralDiffusion | NeutralRegressor:
    """Return the untrained network that finds neutral codes of length `dim`."""
    if config.neutral == "diffusion":
        return NeutralDiffusion(
            dim, config.neutral_width, config.neutral_blocks, config.sampling_steps
        )
    return NeutralRegressor(dim, config.neutral_width, config.neutral_blocks)


class LatentFace(nn.Module):
    """Both stages; codes outside are scaled codes, raw codes stay inside."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = Autoencoder(config)
        self.texture_scale = CodeScale(config.texture_dim)
        self.shape_scale = CodeScale(config.shape_dim)
        self.neutral_texture = build_neutral(config, config.texture_dim)
        self.neutral_shape = build_neutral(config, config.shape_dim)

    def forward(self, images: Tensor) -> Factors:
        """Face crops in [0, 1], [B, 3, H, W] at the configured size -> factors."""
        encoded = self.autoencoder.encode(images)
        texture = self.texture_scale(encoded.texture)
        shape = self.shape_scale(encoded.shape)
        neutral_texture = self.neutral_texture(texture)
        neutral_shape = self.neutral_shape(shape)
        return Factors(
            neutral_texture=neutral_texture,
            neutral_shape=neutral_shape,
            expression_texture=texture - neutral_texture,
            expression_shape=shape - neutral_shape,
            pose=encoded.pose,
            light=encoded.light,
        )

    def canonical(self, factors: Factors) -> Canonical:
        """Return the frontal albedo and depth that the codes describe."""
        return self.autoencoder.canonical(
            self.texture_scale.inverse(factors.texture_code),
            self.shape_scale.inverse(factors.shape_code),
        )
