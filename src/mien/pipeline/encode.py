"""Crops to factors by a model, checked to be finite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.columns import code_lengths
from mien.engines.graph_encoder import GraphEncoder, open_graphs
from mien.errors import MienError
from mien.types import Factors, GazeCode

if TYPE_CHECKING:  # its import takes longer than reading a face, and graphs do without
    from torch import Tensor

__all__ = [
    "AnyEncoder",
    "Config",
    "Encoder",
    "GazeConfig",
    "encode_crops",
    "lengths_of",
    "open_encoder",
    "to_batch",
]


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


AnyEncoder: TypeAlias = Encoder | GraphEncoder
"""A model, whose factors are tensors; or graphs alone, whose factors are arrays."""


def open_encoder(
    weights: str | Path | None = None,
    *,
    device: str = "cpu",
    eyes_only: bool = False,
    gaze: bool = True,
) -> AnyEncoder:
    """Load weights for encoding alone: without torch, where the package has graphs for them.

    Args:
        weights: as for `mien.load`.
        device: as for `mien.load`; graphs are for the CPU.
        eyes_only: whether eye-region crops are to be read, for which there are none.
        gaze: False leaves the gaze branch out, which would look at every face for nothing.

    Raises:
        MienError: as `mien.load`.
    """
    graphs = open_graphs(weights, gaze=gaze) if device == "cpu" and not eyes_only else None
    if graphs is not None:
        return graphs
    from mien.model import load

    model = load(weights, device=device)
    return model if gaze else model.of_faces_alone()


def lengths_of(model: AnyEncoder, *, features: bool) -> dict[str, int]:
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
    import torch

    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()


def encode_crops(
    crops: Sequence[NDArray[np.uint8]],
    model: AnyEncoder,
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
        features: whether the encoders' features are read too.

    Raises:
        MienError: a factor is not finite; where no eyes are found a gaze code need not be.
    """
    if isinstance(model, GraphEncoder):
        factors = model.encode(np.stack(crops).transpose(0, 3, 1, 2), features=features)
    elif eyes_only:
        factors = model.encode_eyes(to_batch(crops))
    else:
        factors = model.encode(to_batch(crops), features=features)
    finite = _finite_rows(factors)
    if not finite.all():
        raise MienError(
            f"the weights {model.weights_id} give factors that are not finite for "
            f"{names[int(finite.argmin())]}: they are broken; take others with --weights"
        )
    return factors


def _finite_rows(factors: Factors | GazeCode) -> NDArray[np.bool_]:
    """Return for each row whether all its factors that mean something are finite. [B]."""
    found, given = np.ones(len(factors), dtype=np.bool_), factors.numpy()
    code: Any = given.gaze if isinstance(given, Factors) else given
    if code is not None:
        # Where no eyes are found the code means nothing.
        found = np.isfinite(code.code).all(axis=1) | ~code.eyes_found
    if isinstance(given, GazeCode):
        return found
    light, rotation = given.light, given.pose.rotation
    parts: list[Any] = [given.identity, given.expression, rotation, given.face_embedding]
    for part in (*parts, given.features, light.ambient, light.diffuse, light.direction):
        if part is not None:
            found &= np.isfinite(part.reshape(len(part), -1)).all(axis=1)
    return found
