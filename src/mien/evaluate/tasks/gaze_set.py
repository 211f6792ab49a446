"""A gaze data set as the protocols see it: images, who is in them, where they look, the folds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from mien.columns import POSE as ANGLES
from mien.errors import MienError
from mien.evaluate.digest import data_digest
from mien.evaluate.protocol import EvalContext, FactorColumns, Images

__all__ = ["ANGLES", "GazeSet", "Seen", "evenly", "see"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class GazeSet:
    """Images with known gaze; rows are in the order of the images.

    Directions are unit vectors in the frame of a camera that looks at the face: x to image-right,
    y down, z away; who looks into it has (0, 0, -1).
    """

    images: Images
    person: NDArray[np.int64]
    """Who it is; where that is not known, what keeps people apart, as the recording. [N]."""
    gaze: Array
    """[N, 3]."""
    folds: tuple[tuple[Rows, Rows], ...]
    """Training rows, test rows; nobody is in both."""
    head: Array | None = None
    """The head's true angles, as many as are known: yaw, then pitch; same frame. Radians [N, A]."""
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Rows whose error is told apart: name => mask [N]."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the data were read."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        count = len(self.images)
        if self.person.shape != (count,) or self.gaze.shape != (count, 3):
            raise ValueError("every image has a person and a gaze")
        if not np.allclose(np.linalg.norm(self.gaze, axis=1), 1, atol=1e-5):
            raise ValueError("gaze is given by unit vectors")

    def __len__(self) -> int:
        return len(self.person)

    @property
    def digest(self) -> str:
        """Return 12 hex digits of the names and labels."""
        rows = zip(self.images.names, self.person, self.gaze, strict=True)
        return data_digest(f"{n} {p} {x:.5f} {y:.5f} {z:.5f}" for n, p, (x, y, z) in rows)

    def source_rows(self) -> Rows:
        """Return the rows that another set's test learns from: all, or the one training part."""
        return self.folds[0][0] if len(self.folds) == 1 else np.arange(len(self))

    def target_rows(self) -> Rows:
        """Return the rows that are tested by what another set taught: all, or the one test part."""
        return self.folds[0][1] if len(self.folds) == 1 else np.arange(len(self))


@dataclass(frozen=True)
class Seen:
    """What the weights say of a set's images."""

    code: Array
    """NaN where no eyes are found. [N, d]."""
    own: Array | None
    """The head pose that the weights predict, NaN without a face; None with eye crops. Radians
    [N, 3]."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether eyes are found. [N]."""
        return np.asarray(np.isfinite(self.code).all(axis=1))


def see(data: GazeSet, context: EvalContext) -> Seen:
    """Ask for the gaze codes of a set, and for the own head pose where faces are shown.

    Raises:
        MienError: as the context's `describe`; or eyes are found in no image.
    """
    context.say(f"{len(data)} images")
    eye_crops = data.images.crop == "eyes"
    columns = ("gaze_code",) if eye_crops else ("gaze_code", *ANGLES)
    described: FactorColumns = context.describe(data.images, columns)
    seen = Seen(
        described.joined("gaze_code").astype(np.float64),
        None if eye_crops else described.joined(*ANGLES).astype(np.float64),
    )
    if not seen.found.any():
        raise MienError("eyes are found in no image; are these the right images?")
    return seen


def evenly(total: int, most: int) -> Rows:
    """Return at most `most` of `total` rows, evenly spaced, the first among them."""
    if total <= most:
        return np.arange(total)
    return np.linspace(0, total, most, endpoint=False).astype(np.int64)
