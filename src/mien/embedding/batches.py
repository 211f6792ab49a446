"""Gather the faces of many frames into batches for the model, and batches into table rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from mien.errors import MienError
from mien.table.rows import FaceRow, record_batch
from mien.types import Factors

__all__ = ["Batch", "Config", "Encoder", "Frame", "encode", "gather"]

_ROWS_PER_CROP = 16


class Config(Protocol):
    """What must be known of a model's sizes."""

    @property
    def image_size(self) -> int: ...
    @property
    def texture_dim(self) -> int: ...
    @property
    def shape_dim(self) -> int: ...


class Encoder(Protocol):
    """What is asked of a model."""

    weights_id: str

    @property
    def config(self) -> Config: ...
    def encode(self, images: Tensor, /) -> Factors: ...


@dataclass(frozen=True)
class Frame:
    """One frame, its faces found and cut out; or why it could not be read."""

    source: int
    """Number of the input that it is from."""
    rows: tuple[FaceRow, ...]
    """At least one: the faces, or that there is none."""
    crops: tuple[np.ndarray, ...]
    """One for each row with a face, in their order. Uint8 RGB [S, S, 3]."""
    done: float
    """Share of the input that is done with this frame, in [0, 1]."""


@dataclass(frozen=True)
class Batch:
    """Rows that go to the model and into the table together."""

    rows: tuple[FaceRow, ...]
    crops: tuple[np.ndarray, ...]
    """One for each row with a face. Uint8 RGB [S, S, 3]."""
    sources: tuple[int, ...]
    """Number of each row's input."""
    done: float
    """Inputs done with the last row, parts of one counted: 3.5 is the middle of the fourth."""


def gather(frames: Iterable[Frame], batch_size: int) -> Iterator[Batch]:
    """Yield the rows of all frames in order, at most `batch_size` faces at a time."""
    rows: list[FaceRow] = []
    crops: list[np.ndarray] = []
    sources: list[int] = []
    done = 0.0

    def take() -> Batch:
        batch = Batch(tuple(rows), tuple(crops), tuple(sources), done)
        for waiting in (rows, crops, sources):
            waiting.clear()
        return batch

    for frame in frames:
        left = iter(frame.crops)
        for number, row in enumerate(frame.rows, start=1):
            rows.append(row)
            sources.append(frame.source)
            if row.face_found:
                crops.append(next(left))
            if number == len(frame.rows):
                done = frame.source + frame.done
            # Many frames without a face must not pile up either.
            if len(crops) == batch_size or len(rows) >= _ROWS_PER_CROP * batch_size:
                yield take()
    if rows:
        yield take()


def encode(batch: Batch, model: Encoder, schema: pa.Schema) -> pa.RecordBatch:
    """Return the batch as rows of the table, factors included.

    Raises:
        MienError: if the model gives a factor that is not a finite number.
    """
    if not batch.crops:
        return record_batch(batch.rows, None, schema)
    # uint8 [B, S, S, 3] => [B, 3, S, S]; the model brings it to [0, 1]
    images = torch.from_numpy(np.stack(batch.crops)).permute(0, 3, 1, 2).contiguous()
    factors = model.encode(images)
    finite = _finite_rows(factors)
    if not finite.all():
        bad = [row.path for row in batch.rows if row.face_found][int(finite.int().argmin())]
        raise MienError(
            f"the weights {model.weights_id} give factors that are not finite for {bad}: "
            "they are broken; take others with --weights"
        )
    return record_batch(batch.rows, factors, schema)


def _finite_rows(factors: Factors) -> Tensor:
    """Return for each row whether all its factors are finite. Bool [B]."""
    light = torch.cat(
        [factors.light.ambient[:, None], factors.light.diffuse[:, None], factors.light.direction], 1
    )
    parts = [factors.identity, factors.expression, factors.pose.rotation.flatten(1), light]
    return torch.stack([part.isfinite().all(dim=1) for part in parts]).all(dim=0)
