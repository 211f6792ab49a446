"""Frozen options of a detector run: mien's own face detector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from mien.data.options import SceneDataOptions
from mien.data.scenes import CANVAS
from mien.fields import Amount, Count, Fraction, OptionError, Range, Steps
from mien.train.options import LoopOptions, Pace

__all__ = ["DetectorOptions", "DetectorTrainConfig"]

_CELL = 32


@dataclass(frozen=True)
class DetectorOptions(Pace):
    """Stage `detector`: a teacher's answers on made scenes."""

    group: ClassVar[str] = "detector"
    steps: Steps = 5000
    batch_size: Count = 32
    learning_rate: Amount = 2e-3
    warmup_steps: Steps = 300
    min_lr_ratio: Fraction = 0.01
    weight_decay: Amount = 0.01
    frames: Count = 1
    init_from: str = ""
    """Folder with the detector.safetensors to go on from, `mien` = the package's own detector;
    empty = random weights."""
    side: Annotated[int, Range(_CELL, CANVAS)] = 256
    """Side of what the network sees while it learns, a multiple of 32. Pixels."""
    views: Annotated[int, Range(1, 64)] = 2
    """Images that are cut out of each scene."""
    least_score: Fraction = 0.6
    """From which on a cell is called a face, where data.validation does not decide it: YuNet's own,
    for its scores are what is learned."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.side % _CELL:
            raise OptionError(f"detector.side must be a multiple of {_CELL}, not {self.side}")
        if self.batch_size % self.views:
            raise OptionError(
                f"detector.batch_size must be a multiple of detector.views ({self.views}), not "
                f"{self.batch_size}"
            )


@dataclass(frozen=True)
class DetectorTrainConfig:
    """Everything that decides a detector run."""

    presets: ClassVar[str] = "detector"
    data: SceneDataOptions = field(default_factory=SceneDataOptions)
    """What scenes are made of."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    detector: DetectorOptions = field(default_factory=DetectorOptions)
    """The network."""
