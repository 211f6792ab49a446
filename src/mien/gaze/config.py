"""The sizes of a gaze branch, and of the images that it looks at; saved in config.json."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

from mien.fields import Range, Width, check_fields

__all__ = [
    "CANVAS_HEIGHT",
    "CANVAS_MIDDLE",
    "CANVAS_WIDTH",
    "EYE_CROP_HEIGHT",
    "EYE_CROP_WIDTH",
    "FACE_CROP",
    "FACE_SIDE",
    "Depth",
    "GazeConfig",
]

# The eyes are looked at in the pixels of a face crop of this side, where an iris is 17 px wide and
# a degree of gaze moves it by a quarter of a pixel; eye-region crops are brought to that scale.
FACE_CROP = 224
CANVAS_HEIGHT = 128
CANVAS_WIDTH = 256
CANVAS_MIDDLE = (CANVAS_WIDTH // 2, CANVAS_HEIGHT // 2)
FACE_SIDE = 64
EYE_CROP_HEIGHT = 96
EYE_CROP_WIDTH = 200

Depth = Annotated[int, Range(0, 256)]
Narrower = Annotated[int, Range(0, 2**14)]


@dataclass(frozen=True)
class GazeConfig:
    """Everything needed to build the networks; nothing about how they are trained.

    The paper publishes none of its sizes: these are choices of ours, backed by measurements.
    """

    code_dim: Width = 16
    """d, length of the bottleneck's code."""
    dim: Width = 128
    """Width of the transformers; of FF-IB's unless it has its own."""
    heads: Width = 4
    """Attention heads of that width."""
    bottleneck_dim: Narrower = 0
    """Width of FF-IB's transformer, whose heads are as wide as the others'; 0 = dim."""
    bottleneck_depth: Depth = 2
    """Transformer blocks of FF-IB."""
    bottleneck_stem_width: Narrower = 0
    """Channels of FF-IB's first convolution over the eyes; 0 = stem_width."""
    localizer_width: Width = 16
    """Channels of the eye localizer's first convolution; deeper ones have twice as many."""
    encoder_depth: Depth = 2
    """Transformer blocks of EM-AE's encoder."""
    decoder_depth: Depth = 2
    """Transformer blocks of EM-AE's decoder."""
    stem_width: Width = 32
    """Channels of the first convolution over the eyes; deeper ones are multiples of it."""
    eye_height: Width = 48
    """Height of an eye's image; a multiple of eye_patch. Pixels of the face crop."""
    eye_width: Width = 64
    """Width of an eye's image; a multiple of eye_patch. Pixels of the face crop."""
    eye_patch: Width = 16
    """Side of the patch that becomes a token of an eye: a power of two. Pixels."""
    band_height: Width = 40
    """Height of the band around both eyes; a multiple of band_patch. Two crop pixels each."""
    band_width: Width = 96
    """Width of the band around both eyes; a multiple of band_patch. Two crop pixels each."""
    band_patch: Width = 8
    """Side of the band's patches. Pixels of the band."""
    face_patch: Width = 16
    """Side of the patches of the whole face, which is seen at FACE_SIDE pixels."""
    variational: bool = False
    """Whether the bottleneck is a normal distribution whose rate is measured, or a plain vector."""
    injected: bool = True
    """Whether the code reaches EM-AE's decoder; without it only the contrast trains FF-IB."""

    def __post_init__(self) -> None:
        """Raise ValueError on contradictions."""
        check_fields(self, "gaze")
        if self.dim % self.heads:
            raise ValueError(f"gaze.dim {self.dim} must be a multiple of heads {self.heads}")
        head = self.dim // self.heads
        if self.bottleneck_dim % head:
            raise ValueError(
                f"gaze.bottleneck_dim {self.bottleneck_dim} must be a multiple of a head's width, "
                f"dim / heads = {head}"
            )
        if self.eye_patch < 4 or self.eye_patch & (self.eye_patch - 1):
            raise ValueError(f"gaze.eye_patch must be a power of two from 4, not {self.eye_patch}")
        for side, patch in (
            (self.eye_height, self.eye_patch),
            (self.eye_width, self.eye_patch),
            (self.band_height, self.band_patch),
            (self.band_width, self.band_patch),
            (FACE_SIDE, self.face_patch),
        ):
            if side < patch or side % patch:
                raise ValueError(f"gaze: a side of {side} is no whole number of patches of {patch}")

    @property
    def code_sizes(self) -> tuple[int, int, int]:
        """Return FF-IB's width, its attention heads and the channels of its first convolution."""
        dim = self.bottleneck_dim or self.dim
        heads = dim * self.heads // self.dim
        return dim, heads, self.bottleneck_stem_width or self.stem_width

    @property
    def eye_grid(self) -> tuple[int, int]:
        """Return rows and columns of an eye's tokens."""
        return self.eye_height // self.eye_patch, self.eye_width // self.eye_patch

    @property
    def eye_tokens(self) -> int:
        """Return the number of tokens of both eyes."""
        return 2 * math.prod(self.eye_grid)

    @property
    def band_tokens(self) -> int:
        """Return the number of tokens of the band."""
        return (self.band_height // self.band_patch) * (self.band_width // self.band_patch)

    @property
    def face_tokens(self) -> int:
        """Return the number of tokens of the whole face."""
        return (FACE_SIDE // self.face_patch) ** 2
