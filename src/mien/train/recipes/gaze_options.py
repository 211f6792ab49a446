"""Frozen options of a gaze run: the eye localizer, then EM-IB."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from mien.data.options import EyeDataOptions
from mien.fields import Amount, Count, Fraction, Steps
from mien.gaze.config import GazeConfig
from mien.gaze.objective import GazeWeights
from mien.train.options import LoopOptions, MixedPace

__all__ = ["EmibOptions", "GazeTrainConfig", "LocalizerOptions"]


@dataclass(frozen=True)
class LocalizerOptions(MixedPace):
    """Stage `localizer`: where the eyes are and whether they are open, from labelled images.

    With 0 steps the eye localizer of `init_from` is kept.
    """

    group: ClassVar[str] = "localizer"
    steps: Steps = 1500
    batch_size: Count = 64
    learning_rate: Amount = 2e-3
    warmup_steps: Steps = 50
    min_lr_ratio: Fraction = 0.02
    weight_decay: Amount = 0.01
    frames: Count = 4


@dataclass(frozen=True)
class EmibOptions(MixedPace):
    """Stage `emib`: the bottleneck and the eye-masked auto-encoder, without labels.

    Only matrices are decayed. The frames of a clip are one another's negatives.
    """

    group: ClassVar[str] = "emib"
    steps: Steps = 12_000
    batch_size: Count = 64
    learning_rate: Amount = 6e-4
    warmup_steps: Steps = 100
    min_lr_ratio: Fraction = 0.02
    weight_decay: Amount = 0.02
    frames: Count = 8
    init_from: str = ""
    """Weights whose gaze branch training starts from, a folder or a hub id; empty = random."""
    eye_crop_fraction: Fraction | None = None
    """Fraction of eye-region crops in a batch, where there are faces as well; none = their fraction
    of the images, half where faces come from an endless source."""
    loss_weights: GazeWeights = field(default_factory=GazeWeights)
    """How much each term of the loss counts, and how steps alternate."""


@dataclass(frozen=True)
class GazeTrainConfig:
    """Everything that decides a gaze run."""

    presets: ClassVar[str] = "gaze"
    init_from: str = ""
    """Weights that the gaze branch is added to, a folder or a hub id; empty = the shipped ones."""
    model: GazeConfig = field(default_factory=GazeConfig)
    """Sizes of the networks."""
    data: EyeDataOptions = field(default_factory=EyeDataOptions)
    """What is trained on."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    localizer: LocalizerOptions = field(default_factory=LocalizerOptions)
    """The eye localizer."""
    emib: EmibOptions = field(default_factory=EmibOptions)
    """EM-IB."""
