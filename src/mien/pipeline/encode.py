"""Crops to factors by a model, checked to be finite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.columns import code_lengths
from mien.errors import MienError
from mien.types import Factors, GazeCode

__all__ = ["Config", "Encoder", "GazeConfig", "encode_crops", "lengths_of", "to_batch"]


class GazeConfig(Protocol):
    """What must be known of the gaze branch's sizes."""

    @property
    def code_dim(self) -> int: ...


class Config(Protocol):
    """What must be known of a model's sizes."""

    @property
    def texture_dim(self) -> int: ...
    @property
    def shape_dim(self) -> int: ...
    @property
    def face_embedding_dim(self) -> int: ...
    @property
    def gaze(self) -> GazeConfig | None: ...


class Encoder(Protocol):
    """What is asked of a model."""

    weights_id: str

    @property
    def config(self) -> Config: ...
    @property
    def crop_size(self) -> int: ...
    @property
    def eye_crop_size(self) -> tuple[int, int]: ...
    @property
    def features_dim(self) -> int: ...
    def encode(self, images: Tensor, /, *, features: bool = False) -> Factors: ...
    def encode_eyes(self, eye_crops: Tensor, /) -> GazeCode: ...


def lengths_of(model: Encoder, *, features: bool) -> dict[str, int]:
    """Return the lengths of the codes that a model gives, with or without the features."""
    config = model.config
    return code_lengths(
        texture_dim=config.texture_dim,
        shape_dim=config.shape_dim,
        face_embedding_dim=config.face_embedding_dim,
        gaze_dim=0 if config.gaze is None else config.gaze.code_dim,
        features_dim=model.features_dim if features else 0,
    )


def to_batch(crops: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return crops, RGB [H, W, 3] each, as the batch that a model takes. uint8 [B, 3, H, W]."""
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def encode_crops(
    crops: Sequence[NDArray[np.uint8]],
    model: Encoder,
    *,
    names: Sequence[str],
    eyes_only: bool = False,
    features: bool = False,
) -> Factors | GazeCode:
    """Return the factors of at least one crop; of eye-region crops the gaze code alone.

    Args:
        crops: RGB uint8 [H, W, 3] each, as large as the model wants them. B of them.
        model: what encodes.
        names: what an error calls each crop. [B].
        eyes_only: whether they are eye-region crops.
        features: whether the encoder's features are read too.

    Raises:
        MienError: a factor is not finite; where no eyes are found a gaze code need not be.
    """
    images = to_batch(crops)
    factors = model.encode_eyes(images) if eyes_only else model.encode(images, features=features)
    finite = _finite_rows(factors)
    if not finite.all():
        raise MienError(
            f"the weights {model.weights_id} give factors that are not finite for "
            f"{names[int(finite.int().argmin())]}: they are broken; take others with --weights"
        )
    return factors


def _finite_rows(factors: Factors | GazeCode) -> Tensor:
    """Return for each row whether all its factors that mean something are finite. Bool [B]."""
    finite = torch.ones(len(factors), dtype=torch.bool)
    code = factors.gaze if isinstance(factors, Factors) else factors
    if code is not None:
        # Where no eyes are found the code means nothing.
        finite = (code.code.isfinite().all(dim=1) | ~code.eyes_found).cpu()
    if isinstance(factors, GazeCode):
        return finite
    light, rotation = factors.light, factors.pose.rotation
    parts = [factors.identity, factors.expression, rotation, factors.face_embedding]
    for part in (*parts, factors.features, light.ambient, light.diffuse, light.direction):
        if part is not None:
            finite &= part.reshape(len(part), -1).isfinite().all(dim=1).cpu()
    return finite
