"""All of LatentFace: the autoencoder, the code scales, the neutral networks, the codes' basis."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from mien.latentface.autoencoder import Autoencoder, Canonical, Encoded
from mien.latentface.config import ModelConfig
from mien.latentface.discriminant import CodeBasis, FaceEmbedding
from mien.latentface.neutral import CodeScale, NeutralDiffusion, NeutralRegressor
from mien.latentface.recognition import RecognitionNetwork
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
    """Both stages; codes outside are scaled and in their basis, raw codes stay inside."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.autoencoder = Autoencoder(config)
        self.texture_scale = CodeScale(config.texture_dim)
        self.shape_scale = CodeScale(config.shape_dim)
        self.neutral_texture = build_neutral(config, config.texture_dim)
        self.neutral_shape = build_neutral(config, config.shape_dim)
        based = config.basis == "clips"
        self.texture_basis = CodeBasis(config.texture_dim) if based else None
        self.shape_basis = CodeBasis(config.shape_dim) if based else None
        self.face_embedding = self._build_face_embedding()

    def forward(self, images: Tensor, *, features: bool = False) -> Factors:
        """Face crops in [0, 1], [B, 3, H, W] at the configured size -> factors.

        Features, if wanted, are the encoders' maps, averaged over image and mirror image.
        """
        factors, maps = self.read(images)
        if not features:
            return factors
        both = (maps + self.maps(images.flip(-1))) / 2
        return replace(factors, features=both.flatten(1))

    def read(self, images: Tensor) -> tuple[Factors, Tensor]:
        """Return the factors of crops as for `forward` and the encoders' maps [B, C, 4, 4]."""
        encoded = self.autoencoder.encode(images)
        recognised = self._recognised(images, encoded)
        return self._factors(encoded, recognised), _joined(encoded, recognised)

    def maps(self, images: Tensor) -> Tensor:
        """Return the encoders' maps of crops. [B, C, 4, 4]."""
        encoded = self.autoencoder.encode(images)
        return _joined(encoded, self._recognised(images, encoded))

    @property
    def map_channels(self) -> int:
        """Return C of the encoders' maps."""
        network = self.face_embedding
        more = network.encoder.map_channels if isinstance(network, RecognitionNetwork) else 0
        return self.autoencoder.map_channels + more

    def factors_of(self, images: Tensor, encoded: Encoded) -> Factors:
        """Return the factors of crops [B, 3, H, W] and of what the autoencoder read off them."""
        return self._factors(encoded, self._recognised(images, encoded))

    def _factors(self, encoded: Encoded, recognised: Tensor | None) -> Factors:
        """Return the factors of what the autoencoder and `_recognised` read off images."""
        texture = self.texture_scale(encoded.texture)
        shape = self.shape_scale(encoded.shape)
        neutral_texture = self.neutral_texture(texture)
        neutral_shape = self.neutral_shape(shape)
        if self.texture_basis is not None and self.shape_basis is not None:
            kept = self.config.identity_directions or None
            texture, shape = self.texture_basis(texture), self.shape_basis(shape)
            neutral_texture = self.texture_basis(neutral_texture, kept)
            neutral_shape = self.shape_basis(neutral_shape, kept)
        return Factors(
            neutral_texture=neutral_texture,
            neutral_shape=neutral_shape,
            expression_texture=texture - neutral_texture,
            expression_shape=shape - neutral_shape,
            pose=encoded.pose,
            light=encoded.light,
            face_embedding=self._embedded(encoded, recognised),
        )

    def _build_face_embedding(self) -> FaceEmbedding | RecognitionNetwork | None:
        config = self.config
        if not config.face_embedding_dim:
            return None
        if config.face_embedding_from == "image":
            sizes = config.image_size, config.encoders_width, config.face_embedding_dim
            return RecognitionNetwork(*sizes, shares=config.face_embedding_shares)
        return FaceEmbedding(16 * self.autoencoder.map_channels, config.face_embedding_dim)

    def _recognised(self, images: Tensor, encoded: Encoded) -> Tensor | None:
        """Return the maps of the face embedding's network [B, C, 4, 4]; None without one."""
        if not isinstance(self.face_embedding, RecognitionNetwork):
            return None
        shared = self.config.face_embedding_shares
        return self.face_embedding.maps(encoded.of_trunk[shared - 1] if shared else images)

    def _embedded(self, encoded: Encoded, recognised: Tensor | None) -> Tensor | None:
        """Return the face embeddings [B, K], or None where these weights have none."""
        if recognised is not None:
            assert isinstance(self.face_embedding, RecognitionNetwork)
            return self.face_embedding.read(recognised).float()
        if isinstance(self.face_embedding, FaceEmbedding):
            return self.face_embedding(encoded.maps.flatten(1).float())
        return None

    def canonical(self, factors: Factors) -> Canonical:
        """Return the frontal albedo and depth that the codes describe."""
        texture, shape = factors.texture_code, factors.shape_code
        if self.texture_basis is not None and self.shape_basis is not None:
            texture = self.texture_basis.inverse(texture)
            shape = self.shape_basis.inverse(shape)
        return self.autoencoder.canonical(
            self.texture_scale.inverse(texture), self.shape_scale.inverse(shape)
        )


def _joined(encoded: Encoded, recognised: Tensor | None) -> Tensor:
    """Return the maps that codes are made of, then those of the face embedding's network, if any.

    Learned to tell people apart, these hold more of the expression, too. [B, C, 4, 4].
    """
    return encoded.maps if recognised is None else torch.cat([encoded.maps, recognised], dim=1)
