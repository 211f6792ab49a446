"""Frozen options of the loop and of the two stages; the values that decide a run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from mien.data.options import DataOptions
from mien.fields import Amount, Count, Fraction, OptionError, Steps, check_fields
from mien.latentface.config import ModelConfig
from mien.latentface.stage1 import Stage1Weights

__all__ = [
    "LoopOptions",
    "MixedPace",
    "Pace",
    "PoseOptions",
    "Stage1Options",
    "Stage2Options",
    "TrainConfig",
]


@dataclass(frozen=True)
class LoopOptions:
    """How any stage is run: what does not depend on the model or on the stage."""

    seed: Steps = 0
    """Decides batches, augmentation and every random number of the objectives."""
    precision: Literal["auto", "32-true", "bf16-mixed", "16-mixed"] = "auto"
    """Precision of the forward pass, on CPU and GPU; weights stay float32. auto = bf16-mixed where
    the processor or GPU has bfloat16 instructions, else 32-true; the choice is kept in the run."""
    devices: Count = 1
    """Processes on each node."""
    num_nodes: Count = 1
    """Machines."""
    grad_clip: Amount = 1.0
    """Largest norm of the gradient; 0 = not clipped."""
    beta1: Fraction = 0.9
    """Adam's decay of the mean."""
    beta2: Fraction = 0.99
    """Adam's decay of the square."""
    ema_decay: Fraction = 0.999
    """Decay of the running average of weights, the one that is exported."""
    channels_last: bool = True
    """Store images and convolutions with the channel innermost: faster on CPU and GPU."""
    compile: bool = False
    """Compile the step, from the batch to its loss, with torch.compile."""
    log_every: Count = 50
    """Steps between lines of metrics.jsonl."""
    log_images_every: Steps = 1000
    """Steps between contact sheets; 0 = none."""
    checkpoint_every: Count = 1000
    """Steps between checkpoints."""
    keep_last: Count = 2
    """Newest checkpoints that are kept of each stage."""
    tensorboard: bool = True
    """Write TensorBoard events too, where tensorboard is installed."""

    def __post_init__(self) -> None:
        check_fields(self, "loop")


@dataclass(frozen=True)
class Pace:
    """How long and how fast a stage learns."""

    group: ClassVar[str]
    steps: Steps
    """Optimiser steps; 0 = the stage is left out."""
    batch_size: Count
    """Images in a step, over all processes."""
    learning_rate: Amount
    """Peak rate, after the warm-up."""
    warmup_steps: Steps
    """Steps of linear warm-up."""
    min_lr_ratio: Fraction
    """Learning rate at the end, as a fraction of the peak (cosine in between)."""
    weight_decay: Amount
    """Decoupled weight decay (AdamW); 0 = Adam."""
    frames: Count
    """Frames sampled from each clip; where a stage takes no stills, they take no part."""

    def __post_init__(self) -> None:
        check_fields(self, self.group)


@dataclass(frozen=True)
class MixedPace(Pace):
    """The same for a stage that learns from stills and clips."""

    stills_fraction: Fraction = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""


@dataclass(frozen=True)
class Stage1Options(MixedPace):
    """Stage 1, the 3D-aware autoencoder."""

    group: ClassVar[str] = "stage1"
    steps: Steps = 20_000
    batch_size: Count = 48
    learning_rate: Amount = 4e-4
    warmup_steps: Steps = 200
    min_lr_ratio: Fraction = 0.05
    weight_decay: Amount = 0.0
    frames: Count = 2
    init_from: str = ""
    """Weights whose autoencoder training starts from, a folder or a hub id; mien = the package's;
    empty = random."""
    keep_parts: bool = False
    """Export the gaze branch and the network of the face embedding of `init_from`, too. The gaze
    branch's canonical eyes are fitted anew to rendered images."""
    loss_weights: Stage1Weights = field(default_factory=Stage1Weights)
    """How much each term of the loss counts."""


@dataclass(frozen=True)
class Stage2Options(Pace):
    """Stage 2, the neutral codes of clips."""

    group: ClassVar[str] = "stage2"
    steps: Steps = 10_000
    batch_size: Count = 512
    learning_rate: Amount = 1e-3
    warmup_steps: Steps = 100
    min_lr_ratio: Fraction = 0.02
    weight_decay: Amount = 0.01
    frames: Count = 8
    weighting: Literal["constant", "min_snr", "snr", "max_snr"] = "constant"
    """Weight of each noise level in the RDM's loss; its control has none."""
    stream_clips: Steps = 2000
    """Clips taken from an endless source, where there is one."""
    turned_clips: bool = False
    """Take a photograph and its further views (data.turned) for a clip; the options below are
    about these clips."""
    turned_fraction: Fraction | None = None
    """Fraction of them in a batch; none = every clip is as frequent as any other."""
    added_expression: Fraction = 0.0
    """Fraction of their codes to which a rendered person's expression is added: a frame of a folder
    of `mien synth`, or of an endless source, minus the least expressive frame of its clip."""
    added_scale: Amount = 1.5
    """Expressions are added times a random number between minus this and this."""
    removed_directions: Steps = 0
    """Strongest directions of rendered people's expressions that are taken off their targets."""
    erased_expressions: Steps = 0
    """Components of rendered people's expressions that identity's directions do not tell linearly;
    with twice erased_view at most as many as the directions of the codes that identity does not
    keep."""
    erased_view: Steps = 0
    """Components of pose and light, as the autoencoder reads them, that they do not tell either:
    in all frames, and in those of rendered people by themselves."""
    unbiased: bool = False
    """Let identity hold all that a person's frames show on average, so that expression brings
    nothing of it to another face (`mien.latentface.unbiased`)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("turned_fraction", "added_expression", "removed_directions"):
            if getattr(self, name) and not self.turned_clips:
                raise OptionError(
                    f"stage2.{name} is about photographs; add stage2.turned_clips=true"
                )


@dataclass(frozen=True)
class PoseOptions(Pace):
    """After stage 1: the layer that reads the pose, fitted to rendered people."""

    group: ClassVar[str] = "pose"
    steps: Steps = 0
    batch_size: Count = 256
    learning_rate: Amount = 1e-3
    warmup_steps: Steps = 20
    min_lr_ratio: Fraction = 0.0
    weight_decay: Amount = 0.0
    frames: Count = 1
    kept: Fraction = 0.5
    """How much of the layer as stage 1 left it stays: W = kept W_before + (1 - kept) W_fitted."""


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
    pose: PoseOptions = field(default_factory=PoseOptions)
    """The readout of its pose."""
    stage2: Stage2Options = field(default_factory=Stage2Options)
    """The neutral codes."""
