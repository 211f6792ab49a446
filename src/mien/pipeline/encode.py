"""Batches of faces or eye-region crops to rows of the table, by a model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mien.errors import MienError
from mien.pipeline.batches import Batch
from mien.pipeline.gaze import gaze_columns
from mien.pipeline.probes import ProbeFile, probe_values
from mien.probes.gaze import Calibration
from mien.table.rows import record_batch
from mien.types import Factors, GazeCode

__all__ = ["Config", "Encoder", "GazeConfig", "encode"]


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


def encode(
    batch: Batch,
    model: Encoder,
    schema: pa.Schema,
    *,
    eyes_only: bool = False,
    features: bool = False,
    calibration: Calibration | None = None,
    probes: Sequence[ProbeFile] = (),
) -> pa.RecordBatch:
    """Return the batch as rows of the table, factors included.

    Args:
        batch: faces; or eye-region crops, of which the gaze alone is read.
        model: what encodes.
        schema: of the table.
        eyes_only: whether the crops are eye-region crops.
        features: whether the encoder's features are read too, for a column or for probes.
        calibration: makes directions of the gaze codes.
        probes: say what they were taught of the codes.

    Raises:
        MienError: if the model, the calibration or a probe gives what is not a finite number.
    """
    if not batch.crops:
        return record_batch(batch.rows, None, schema)
    # uint8 [B, H, W, 3] => [B, 3, H, W]; the model brings it to [0, 1]
    images = torch.from_numpy(np.stack(batch.crops)).permute(0, 3, 1, 2).contiguous()
    if eyes_only:
        factors = model.encode_eyes(images)
    else:
        factors = model.encode(images, features=True) if features else model.encode(images)
    code = factors.gaze if isinstance(factors, Factors) else factors
    _refuse_nonsense(
        batch,
        _finite_rows(factors, code),
        f"the weights {model.weights_id} give factors that are not finite for {{}}: "
        "they are broken; take others with --weights",
    )
    gaze = None
    if calibration is not None and code is not None:
        gaze = gaze_columns(calibration, factors)
        finite = torch.from_numpy(np.isfinite(list(gaze.values())).all(axis=0))
        _refuse_nonsense(
            batch,
            finite | ~code.eyes_found.cpu(),
            "the calibration gives a gaze that is not finite for {}: it is broken; calibrate again",
        )
    probed = probe_values(probes, factors) if probes else None
    return record_batch(batch.rows, factors, schema, gaze, probed)


def _refuse_nonsense(batch: Batch, finite: Tensor, message: str) -> None:
    if not finite.all():
        faces = [row.path for row in batch.rows if row.face_found]
        raise MienError(message.replace("{}", faces[int(finite.int().argmin())]))


def _finite_rows(factors: Factors | GazeCode, code: GazeCode | None) -> Tensor:
    """Return for each row whether all its factors that mean something are finite. Bool [B]."""
    finite = torch.ones(len(factors), dtype=torch.bool)
    if code is not None:
        # Where no eyes are found the code means nothing.
        finite = (code.code.isfinite().all(dim=1) | ~code.eyes_found).cpu()
    if isinstance(factors, GazeCode):
        return finite
    light = torch.cat(
        [factors.light.ambient[:, None], factors.light.diffuse[:, None], factors.light.direction], 1
    )
    parts = [factors.identity, factors.expression, factors.pose.rotation.flatten(1), light]
    parts += [part for part in (factors.face_embedding, factors.features) if part is not None]
    return finite & torch.stack([part.isfinite().all(dim=1) for part in parts]).all(dim=0).cpu()
