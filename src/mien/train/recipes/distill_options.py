"""Frozen options of distillation; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field

from mien.data.options import EyeDataOptions, check_range
from mien.gaze.student import StudentConfig
from mien.train.options import LoopOptions

__all__ = ["DistillConfig", "DistillOptions"]


@dataclass(frozen=True)
class DistillOptions:
    """How long and how fast a student learns, and what it is measured on."""

    steps: int = 6000
    """Optimiser steps; 0 = the student keeps its random weights."""
    batch_size: int = 64
    """Images in a step, over all processes."""
    learning_rate: float = 2e-3
    """Peak rate, after the warm-up."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.01
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW); 0 = Adam."""
    frames: int = 4
    """Frames sampled from each clip."""
    stills_fraction: float = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""
    teacher: str = ""
    """Weights whose gaze code is learned, a folder or a hub id; empty = the package's own."""
    held_out_fraction: float = 0.1
    """Fraction of the images held out to measure the student on; clips stay whole."""
    max_held_out: int = 2000
    """At most this many images are held out."""

    def __post_init__(self) -> None:
        for name in ("steps", "warmup_steps"):
            check_range(f"distill.{name}", getattr(self, name), 0)
        for name in ("batch_size", "frames", "max_held_out"):
            check_range(f"distill.{name}", getattr(self, name), 1)
        for name in ("learning_rate", "weight_decay"):
            check_range(f"distill.{name}", getattr(self, name), 0)
        for name in ("min_lr_ratio", "stills_fraction", "held_out_fraction"):
            check_range(f"distill.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class DistillConfig:
    """Everything that decides a run."""

    student: StudentConfig = field(default_factory=StudentConfig)
    """Sizes of the network; the length of the code is the teacher's."""
    data: EyeDataOptions = field(default_factory=EyeDataOptions)
    """What is trained on."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    distill: DistillOptions = field(default_factory=DistillOptions)
    """How the student learns."""
