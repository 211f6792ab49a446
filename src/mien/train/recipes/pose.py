"""The pose's readout: the stage after stage 1 that fits one linear layer to rendered people.

In stage 1 the pose must explain the image, too, and a smaller rotation often does: the surface that
turns out of sight has no gradient, and few heads are turned far. So profiles are read too near to
the front, although the encoder's last hidden layer h tells them apart. With r the range of angles
(`model.rotation_range_deg`), the layer behind yaw, pitch and roll,

    angles = r tanh(W h + b),

is fitted alone, everything else as it is, to the least absolute error of rendered people's angles.
Five landmarks of a photograph place the head less exactly, five degrees too far from the front
where it is turned by 40: photographs and their views take no part. Fitted to one renderer, the
layer reads others' heads too far: of both, half way holds best (Wortsman et al. 2022),

    W = k W_stage1 + (1 - k) W_fitted,    and b likewise.

This is our addition to the paper.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from mien.data.batches import Sampler
from mien.data.cache import CropCache
from mien.data.loader import Loader
from mien.errors import MienError
from mien.latentface.autoencoder import Autoencoder, read_angles
from mien.latentface.stage1 import pose_error
from mien.train.objective import Objective
from mien.train.options import TrainConfig
from mien.train.recipes.run import Run
from mien.types import Loss

__all__ = ["NO_POSES", "PoseObjective", "fit_pose", "pose_sampler"]

NO_POSES = "pose.steps needs rendered people; add a folder of `mien synth` to --data"
_ANGLES = 3
"""Yaw, pitch and roll are the first numbers of a view."""


class PoseObjective(Objective[nn.Linear]):
    """Learns the layer that reads angles off the autoencoder's hidden layer, which stays."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        """Take a copy of the layer out of the trained autoencoder."""
        view = autoencoder.to_view
        with torch.random.fork_rng(devices=[]):  # what it starts from is overwritten
            layer = nn.Linear(view.in_features, _ANGLES).to(view.weight.device)
        with torch.no_grad():
            layer.weight.copy_(view.weight[:_ANGLES])
            layer.bias.copy_(view.bias[:_ANGLES])
        super().__init__(layer)
        self.autoencoder = autoencoder

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of `input` [B, 3, S, S] and `rotation` [B, 3, 3]."""
        with torch.no_grad():
            hidden = self.autoencoder.view_features(batch["input"])
        angles = read_angles(self.module(hidden).float(), self.autoencoder.config)
        error, _ = pose_error(angles, batch["rotation"])
        return Loss(error, {"pose": error}, {"pose_deg": torch.rad2deg(error.detach())})


def fit_pose(run: Run[TrainConfig], autoencoder: Autoencoder, cache: CropCache | None) -> None:
    """Fit the readout of an autoencoder's pose to the cached crops of rendered people.

    Raises:
        MienError: there are none.
    """
    config = run.config
    loader = Loader(
        cache,
        pose_sampler(cache, config),
        options=config.data,
        image_size=config.model.image_size,
        device=run.fabric.device,
        shard=run.shard,
    )
    autoencoder.eval()
    found = run.train(PoseObjective(autoencoder), loader, "pose")
    with torch.no_grad():
        for name, value in found.items():
            rows = getattr(autoencoder.to_view, name)[:_ANGLES]
            rows.lerp_(value.to(rows), 1 - config.pose.kept)


def pose_sampler(cache: CropCache | None, config: TrainConfig) -> Sampler:
    """Return a sampler of crops whose pose is known exactly; each is a still."""
    exact = np.empty(0, dtype=np.bool_)
    if cache is not None and cache.rotation is not None:
        exact = np.isfinite(cache.rotation).all(axis=(1, 2)) & (cache.photograph < 0)
    if not exact.any():
        raise MienError(NO_POSES)
    return Sampler(
        np.where(exact, -1, 0),  # all others are one clip, and no clip is sampled
        seed=config.loop.seed,
        batch_size=config.pose.batch_size,
        frames=1,
        stills_fraction=1.0,
    )
