"""Gather the faces of many frames into batches for the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mien.table.rows import FaceRow

__all__ = ["Batch", "Frame", "gather"]

_ROWS_PER_CROP = 16


@dataclass(frozen=True)
class Frame:
    """One frame, its faces found and cut out; or why it could not be read."""

    source: int
    """Number of the input that it is from."""
    rows: tuple[FaceRow, ...]
    """At least one: the faces, or that there is none."""
    crops: tuple[np.ndarray, ...]
    """One for each row with a face, in their order. Uint8 RGB [H, W, 3]."""
    done: float
    """Share of the input that is done with this frame, in [0, 1]."""


@dataclass(frozen=True)
class Batch:
    """Rows that go to the model and into the table together."""

    rows: tuple[FaceRow, ...]
    crops: tuple[np.ndarray, ...]
    """One for each row with a face. Uint8 RGB [H, W, 3]."""
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
