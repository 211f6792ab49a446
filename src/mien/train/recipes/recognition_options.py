"""Frozen options of a recognition run: a network for the face embedding."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal

from mien.data.options import PeopleDataOptions
from mien.fields import Amount, Count, Fraction, Positive, Range, Steps
from mien.train.options import LoopOptions, Pace

__all__ = ["RecognitionOptions", "RecognitionTrainConfig"]


@dataclass(frozen=True)
class RecognitionOptions(Pace):
    """Stage `recognition`: embeddings that tell people apart."""

    group: ClassVar[str] = "recognition"
    steps: Steps = 4000
    """0: the network of `init_from` stays as it is, but for erase_glasses."""
    batch_size: Count = 128
    """Views in a step, two of each person."""
    loss: Literal["instances", "pairs"] = "instances"
    """What a view is told apart from: `instances`, all other people by a prototype of each;
    `pairs`, the other people of the batch (NT-Xent)."""
    learning_rate: Amount = 1e-3
    warmup_steps: Steps = 200
    min_lr_ratio: Fraction = 0.0
    weight_decay: Amount = 0.05
    frames: Count = 2
    temperature: Positive = 0.1
    """tau, of `pairs`."""
    scale: Positive = 30.0
    """s, of `instances`."""
    margin: Fraction = 0.2
    """m, of `instances`."""
    prototypes_keep: Fraction = 0.5
    """How much of a prototype stays when its person is seen again."""
    shares: Annotated[int, Range(0, 8)] = 0
    """Finest levels that the network shares with the encoder; these stay as they are."""
    dim: Annotated[int, Range(2, 4096)] = 128
    """K, length of the face embedding."""
    erase_glasses: bool = True
    """Take the direction out that tells whether rendered people wear glasses; without rendered
    people nothing is taken out."""


@dataclass(frozen=True)
class RecognitionTrainConfig:
    """Everything that decides a recognition run."""

    presets: ClassVar[str] = "recognition"
    init_from: str = ""
    """Weights that get the network, a folder or a hub id; empty = the shipped ones."""
    data: PeopleDataOptions = field(default_factory=PeopleDataOptions)
    """Who is told apart."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    recognition: RecognitionOptions = field(default_factory=RecognitionOptions)
    """The network."""
