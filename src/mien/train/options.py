"""Frozen options of the loop and of the two stages; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from mien.data.options import DataOptions, check_range
from mien.latentface.config import ModelConfig
from mien.latentface.stage1 import Stage1Weights

__all__ = ["LoopOptions", "Stage1Options", "Stage2Options", "TrainConfig", "check_pace"]


@dataclass(frozen=True)
class LoopOptions:
    """How any stage is run: what does not depend on the model or on the stage."""

    seed: int = 0
    """Decides batches, augmentation and every random number of the objectives."""
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = "bf16-mixed"
    """Precision of the forward pass, on CPU and GPU; weights stay float32."""
    devices: int = 1
    """Processes on each node."""
    num_nodes: int = 1
    """Machines."""
    grad_clip: float = 1.0
    """Largest norm of the gradient; 0 = not clipped."""
    beta1: float = 0.9
    """Adam's decay of the mean."""
    beta2: float = 0.99
    """Adam's decay of the square."""
    ema_decay: float = 0.999
    """Decay of the running average of weights, the one that is exported."""
    channels_last: bool = True
    """Store images and convolutions with the channel innermost: faster on CPU and GPU."""
    compile: bool = False
    """Compile the step, from the batch to its loss, with torch.compile."""
    log_every: int = 50
    """Steps between lines of metrics.jsonl."""
    log_images_every: int = 1000
    """Steps between contact sheets; 0 = none."""
    checkpoint_every: int = 1000
    """Steps between checkpoints."""
    keep_last: int = 2
    """Newest checkpoints that are kept of each stage."""
    tensorboard: bool = True
    """Write TensorBoard events too, where tensorboard is installed."""

    def __post_init__(self) -> None:
        for name in ("devices", "num_nodes", "log_every", "checkpoint_every", "keep_last"):
            check_range(f"loop.{name}", getattr(self, name), 1)
        check_range("loop.seed", self.seed, 0)
        check_range("loop.log_images_every", self.log_images_every, 0)
        check_range("loop.grad_clip", self.grad_clip, 0)
        for name in ("beta1", "beta2", "ema_decay"):
            check_range(f"loop.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class Stage1Options:
    """Stage 1, the 3D-aware autoencoder."""

    steps: int = 20_000
    """Optimiser steps; 0 = the stage is left out."""
    batch_size: int = 48
    """Images in a step, over all processes."""
    learning_rate: float = 4e-4
    """Peak rate, after the warm-up."""
    warmup_steps: int = 200
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.05
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.0
    """Decoupled weight decay (AdamW); 0 = Adam."""
    init_from: str = ""
    """Weights whose autoencoder training starts from, a folder or a hub id; empty = random."""
    stills_fraction: float = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""
    frames: int = 2
    """Frames sampled from each clip."""
    loss_weights: Stage1Weights = field(default_factory=Stage1Weights)
    """How much each term of the loss counts."""

    def __post_init__(self) -> None:
        check_pace("stage1", self)
        check_range("stage1.stills_fraction", self.stills_fraction, 0, 1)


@dataclass(frozen=True)
class Stage2Options:
    """Stage 2, the neutral codes of clips."""

    steps: int = 10_000
    """Optimiser steps; 0 = the stage is left out."""
    batch_size: int = 512
    """Images in a step, over all processes."""
    learning_rate: float = 1e-3
    """Peak rate, after the warm-up."""
    warmup_steps: int = 100
    """Steps of linear warm-up."""
    min_lr_ratio: float = 0.02
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: float = 0.01
    """Decoupled weight decay (AdamW); 0 = Adam."""
    frames: int = 8
    """Frames sampled from each clip; stills take no part."""
    weighting: Literal["constant", "min_snr", "snr", "max_snr"] = "constant"
    """Weight of each noise level in the RDM's loss; its control has none."""
    stream_clips: int = 2000
    """Clips taken from an endless source, where there is one."""

    def __post_init__(self) -> None:
        check_pace("stage2", self)


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run."""

    model: ModelConfig = field(default_factory=ModelConfig)
    """Sizes of the networks."""
    data: DataOptions = field(default_factory=DataOptions)
    """What is trained on."""
    loop: LoopOptions = field(default_factory=LoopOptions)
    """How it is run."""
    stage1: Stage1Options = field(default_factory=Stage1Options)
    """The 3D-aware autoencoder."""
    stage2: Stage2Options = field(default_factory=Stage2Options)
    """The neutral codes."""


class _Paced(Protocol):
    @property
    def steps(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def warmup_steps(self) -> int: ...
    @property
    def min_lr_ratio(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def frames(self) -> int: ...


def check_pace(stage: str, pace: _Paced) -> None:
    """Refuse a stage's length, rate or batch where it makes no sense."""
    check_range(f"{stage}.steps", pace.steps, 0)
    check_range(f"{stage}.batch_size", pace.batch_size, 1)
    check_range(f"{stage}.warmup_steps", pace.warmup_steps, 0)
    check_range(f"{stage}.learning_rate", pace.learning_rate, 0)
    check_range(f"{stage}.min_lr_ratio", pace.min_lr_ratio, 0, 1)
    check_range(f"{stage}.weight_decay", pace.weight_decay, 0)
    check_range(f"{stage}.frames", pace.frames, 1)
