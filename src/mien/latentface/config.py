"""The sizes and ranges of a LatentFace model; saved as config.json beside its weights."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ModelConfig"]


@dataclass(frozen=True)
class ModelConfig:
    """Everything needed to build the networks; nothing about how they are trained."""

    networks: str = "small"
    """`small`: one encoder trunk, slim decoders; `paper`: separate networks, the papers' sizes."""
    image_size: int = 64
    """Side of the square face crop, pixels; a power of two from 32."""
    texture_dim: int = 256
    """Length of the texture code z_t."""
    shape_dim: int = 256
    """Length of the shape code z_s."""
    width: int = 32
    """Channels of the first convolution; deeper ones are multiples of it."""
    feature_dim: int = 512
    """Length of the trunk's last hidden layer (`small` only)."""
    fov_deg: float = 10.0
    """The camera's field of view across the crop, degrees."""
    depth_range: float = 0.1
    """Canonical depth lies within 1 +- this, face units."""
    rotation_range_deg: float = 60.0
    """Largest head rotation about each axis, degrees."""
    translation_range: float = 0.05
    """Largest shift to the sides and up or down, face units."""
    distance_range: float = 0.1
    """Largest shift along the viewing direction, face units."""
    neutral: str = "diffusion"
    """How the neutral code is found: `diffusion` (the RDM) or `regression` (its control)."""
    neutral_width: int = 256
    """Hidden units of the neutral networks."""
    neutral_blocks: int = 2
    """Residual blocks of the neutral networks."""
    sampling_steps: int = 5
    """DDIM steps of the RDM."""
    basis: str = "std"
    """How codes are scaled: `std`, each number to unit standard deviation; `clips`, then by a
    basis in which what varies within clips counts for little."""
    identity_directions: int = 0
    """Directions of that basis that identity keeps of each code, those that separate clips best;
    the rest is expression. 0, or more than there are: all."""
    face_embedding_dim: int = 0
    """Length of the face embedding that is read off the encoder's maps; 0: none."""

    def __post_init__(self) -> None:
        """Raise ValueError on contradictions."""
        if self.networks not in ("small", "paper"):
            raise ValueError(f"networks is `small` or `paper`, not {self.networks!r}")
        if self.neutral not in ("diffusion", "regression"):
            raise ValueError(f"neutral is `diffusion` or `regression`, not {self.neutral!r}")
        if self.basis == "spread":  # its name in earlier weights and configurations
            object.__setattr__(self, "basis", "std")
        if self.basis not in ("std", "clips"):
            raise ValueError(f"basis is `std` or `clips`, not {self.basis!r}")
        if self.identity_directions < 0:
            raise ValueError(f"identity_directions is at least 0, not {self.identity_directions}")
        if self.face_embedding_dim < 0:
            raise ValueError(f"face_embedding_dim is at least 0, not {self.face_embedding_dim}")
        if self.identity_directions and self.basis != "clips":
            raise ValueError("identity_directions goes with basis=clips")
        if self.image_size < 32 or self.image_size & (self.image_size - 1):
            raise ValueError(f"image_size is a power of two from 32, not {self.image_size}")
