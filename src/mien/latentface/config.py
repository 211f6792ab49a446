"""The sizes and ranges of a LatentFace model; saved as config.json beside its weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from mien.fields import Fraction, Range, Width, check_fields

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the networks; nothing about how they are trained."""

    networks: Literal["small", "paper"] = "small"
    """`small`: one encoder trunk, slim decoders; `paper`: separate networks, the papers' sizes."""
    image_size: Annotated[int, Range(32, 1024)] = 64
    """Side of the square face crop, pixels; a power of two from 32."""
    texture_dim: Width = 256
    """Length of the texture code z_t."""
    shape_dim: Width = 256
    """Length of the shape code z_s."""
    width: Width = 32
    """Channels of the first convolution; deeper ones are multiples of it."""
    encoder_width: Annotated[int, Range(0, 4096)] = 0
    """The same of what encodes (`small` networks only); 0: as `width`. Decoders are left wide."""
    feature_dim: Width = 512
    """Length of the trunk's last hidden layer (`small` only)."""
    fov_deg: Annotated[float, Range(0.1, 150)] = 10.0
    """The camera's field of view across the crop, degrees."""
    depth_range: Annotated[float, Range(1e-6, 0.999)] = 0.1
    """Canonical depth lies within 1 +- this, face units."""
    rotation_range_deg: Annotated[float, Range(0, 180)] = 60.0
    """Largest head rotation about each axis, degrees."""
    translation_range: Fraction = 0.05
    """Largest shift to the sides and up or down, face units."""
    distance_range: Fraction = 0.1
    """Largest shift along the viewing direction, face units."""
    neutral: Literal["diffusion", "regression"] = "diffusion"
    """How the neutral code is found: `diffusion` (the RDM) or `regression` (its control)."""
    neutral_width: Width = 256
    """Hidden units of the neutral networks."""
    neutral_blocks: Annotated[int, Range(0, 256)] = 2
    """Residual blocks of the neutral networks."""
    sampling_steps: Annotated[int, Range(1, 1000)] = 5
    """DDIM steps of the RDM."""
    basis: Literal["std", "clips"] = "std"
    """How codes are scaled: `std`, each number to unit standard deviation; `clips`, then by a
    basis in which what varies within clips counts for little."""
    identity_directions: Annotated[int, Range(0, 2**14)] = 0
    """Directions of that basis that identity keeps of each code, those that separate clips best;
    the rest is expression. 0, or more than there are: all."""
    face_embedding_dim: Annotated[int, Range(0, 2**14)] = 0
    """Length of the face embedding; 0: none."""
    face_embedding_from: Literal["maps", "image"] = "maps"
    """What reads the face embedding: `maps`, a linear map of the encoder's maps, fitted to clips;
    `image`, a network of its own."""
    face_embedding_shares: Annotated[int, Range(0, 8)] = 0
    """Finest levels that this network shares with the trunk (`small` networks only)."""

    def __post_init__(self) -> None:
        """Raise ValueError on contradictions."""
        if self.basis == "spread":  # its name in earlier weights and configurations
            object.__setattr__(self, "basis", "std")
        check_fields(self, "model")
        if self.identity_directions and self.basis != "clips":
            raise ValueError("identity_directions goes with basis=clips")
        self._check_shares()
        if self.encoder_width and self.networks != "small":
            raise ValueError("encoder_width goes with networks=small")
        if self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size is a power of two from 32, not {self.image_size}")

    @property
    def encoders_width(self) -> int:
        """Return the channels of the encoders' first convolution."""
        return self.encoder_width or self.width

    def _check_shares(self) -> None:
        own = self.networks == "small" and self.face_embedding_from == "image"
        # The maps that the face embedding is read off are of its last two levels.
        most = max(0, int(math.log2(self.image_size)) - 4) if own else 0
        if self.face_embedding_shares > most:
            raise ValueError(
                f"face_embedding_shares is {self.face_embedding_shares}, and with networks="
                f"{self.networks}, image_size={self.image_size} and face_embedding_from="
                f"{self.face_embedding_from} at most {most} levels can be shared"
            )
