"""Frozen options of distillation; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mien.data.options import EyeDataOptions
from mien.fields import Amount, Count, Fraction, Steps
from mien.gaze.student import StudentConfig
from mien.train.options import LoopOptions, MixedPace

__all__ = ["DistillConfig", "DistillOptions"]


@dataclass(frozen=True)
class DistillOptions(MixedPace):
    """How long and how fast a student learns, and what it is measured on.

    With 0 steps the student keeps its random weights.
    """

    group: ClassVar[str] = "distill"
    steps: Steps = 6000
    batch_size: Count = 64
    learning_rate: Amount = 2e-3
    warmup_steps: Steps = 200
    min_lr_ratio: Fraction = 0.01
    weight_decay: Amount = 0.01
    frames: Count = 4
    teacher: str = ""
    """Weights whose gaze code is learned, a folder or a hub id; empty = the package's own."""
    held_out_fraction: Fraction = 0.1
    """Fraction of the images held out to measure the student on; clips stay whole."""
    max_held_out: Count = 2000
    """At most this many images are held out."""


@dataclass(frozen=True)
class DistillConfig:
    """Everything that decides a run."""

    presets: ClassVar[str] = "distill"
    student: StudentConfig = field(default_factory=StudentConfig)
    """Sizes of the network; the length of the code is the teacher's."""
    data: EyeDataOptions = field(default_factory=EyeDataOptions)
    """What is trained on."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    distill: DistillOptions = field(default_factory=DistillOptions)
    """How the student learns."""
