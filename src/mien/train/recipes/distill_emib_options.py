"""Frozen options of the distillation of a narrower gaze branch; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mien.data.options import EyeDataOptions
from mien.fields import Width, check_fields
from mien.gaze.config import Depth
from mien.train.options import LoopOptions
from mien.train.recipes.distill_options import DistillOptions

__all__ = ["DistillEmibConfig", "NarrowOptions"]


@dataclass(frozen=True)
class NarrowOptions:
    """Sizes of the student's networks, by the names of `GazeConfig`; the others are the teacher's.

    Convolutions are fastest with a multiple of eight channels at every level.
    """

    bottleneck_dim: Width = 64
    """Width of FF-IB's transformer."""
    bottleneck_depth: Depth = 2
    """Transformer blocks of FF-IB."""
    bottleneck_stem_width: Width = 16
    """Channels of FF-IB's first convolution over the eyes."""
    localizer_width: Width = 8
    """Channels of the eye localizer's first convolution."""

    def __post_init__(self) -> None:
        check_fields(self, "student")


@dataclass(frozen=True)
class DistillEmibConfig:
    """Everything that decides a run."""

    presets: ClassVar[str] = "distill_emib"
    student: NarrowOptions = field(default_factory=NarrowOptions)
    """Sizes of the networks."""
    data: EyeDataOptions = field(default_factory=EyeDataOptions)
    """What is trained on."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    distill: DistillOptions = field(default_factory=DistillOptions)
    """How the student learns."""
