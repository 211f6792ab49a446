"""Frozen options of the distillation of LatentFace's encoders; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mien.data.options import PeopleDataOptions
from mien.fields import Amount, Count, Fraction, Steps, Width
from mien.latentface.distillation import DistillWeights
from mien.train.options import LoopOptions, Pace

__all__ = ["EncoderDistillConfig", "EncoderDistillOptions"]


@dataclass(frozen=True)
class EncoderDistillOptions(Pace):
    """How wide the student is, how long and how fast it learns."""

    group: ClassVar[str] = "distill"
    steps: Steps = 12_000
    batch_size: Count = 64
    learning_rate: Amount = 2e-3
    warmup_steps: Steps = 100
    min_lr_ratio: Fraction = 0.01
    weight_decay: Amount = 0.02
    frames: Count = 2
    teacher: str = ""
    """Weights that are learned from, a folder or a hub id; empty = the package's own."""
    encoder_width: Width = 16
    """Channels of the student's first convolution."""
    held_out_fraction: Fraction = 0.02
    """Fraction of the people held out to measure the student on."""
    loss_weights: DistillWeights = field(default_factory=DistillWeights)
    """How much each term of the loss counts."""


@dataclass(frozen=True)
class EncoderDistillConfig:
    """Everything that decides a run."""

    presets: ClassVar[str] = "distill_encoder"
    data: PeopleDataOptions = field(default_factory=PeopleDataOptions)
    """Whose faces both see."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    distill: EncoderDistillOptions = field(default_factory=EncoderDistillOptions)
    """The student."""
