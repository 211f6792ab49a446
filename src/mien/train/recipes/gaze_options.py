"""Frozen options of a gaze run: the eye localizer, then EM-IB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mien.data.options import EyeDataOptions, check_range
from mien.gaze.config import GazeConfig
from mien.gaze.objective import GazeWeights
from mien.train.config import PRESETS, read_config
from mien.train.options import LoopOptions, check_pace

__all__ = ["EmibOptions", "GazeTrainConfig", "LocalizerOptions", "load_gaze_config"]


@dataclass(frozen=True)
class LocalizerOptions:
    """Stage `localizer`: where the eyes are and whether they are open, from labelled images."""

    steps: int = 1500
    """Optimiser steps; 0 = the eye localizer of `init_from` is kept."""
    batch_size: int = 64
    """Images in a step, over all processes."""
    learning_rate: float = 2e-3
    """Peak rate, after the warm-up."""
    warmup_steps: int = 50
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.02
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW); 0 = Adam."""
    frames: int = 4
    """Frames sampled from each clip."""
    stills_fraction: float = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""

    def __post_init__(self) -> None:
        check_pace("localizer", self)
        check_range("localizer.stills_fraction", self.stills_fraction, 0, 1)


@dataclass(frozen=True)
class EmibOptions:
    """Stage `emib`: the bottleneck and the eye-masked auto-encoder, without labels."""

    steps: int = 12_000
    """Optimiser steps; 0 = the stage is left out."""
    batch_size: int = 64
    """Images in a step, over all processes."""
    learning_rate: float = 6e-4
    """Peak rate, after the warm-up."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.02
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.02
    """Decoupled weight decay (AdamW) of matrices; 0 = Adam."""
    init_from: str = ""
    """Weights whose gaze branch training starts from, a folder or a hub id; empty = random."""
    stills_fraction: float = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""
    frames: int = 8
    """Frames sampled from each clip; they are one another's negatives."""
    eye_crop_fraction: float | None = None
    """Fraction of eye-region crops in a batch, where there are faces as well; none = their fraction
    of the images, half where faces come from an endless source."""
    loss_weights: GazeWeights = field(default_factory=GazeWeights)
    """How much each term of the loss counts, and how steps alternate."""

    def __post_init__(self) -> None:
        check_pace("emib", self)
        check_range("emib.stills_fraction", self.stills_fraction, 0, 1)
        if self.eye_crop_fraction is not None:
            check_range("emib.eye_crop_fraction", self.eye_crop_fraction, 0, 1)


@dataclass(frozen=True)
class GazeTrainConfig:
    """Everything that decides a gaze run."""

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


def load_gaze_config(name: str = "small", overrides: Sequence[str] = ()) -> GazeTrainConfig:
    """Return the configuration of a gaze preset or a YAML file with overrides applied.

    Args:
        name: "small", "paper" or the path of a YAML file.
        overrides: such as "emib.steps=2000"; the last of two wins.

    Raises:
        MienError: no such file, unknown key, or a value that its field does not take.
    """
    return read_config(GazeTrainConfig, name, overrides, PRESETS / "gaze")
