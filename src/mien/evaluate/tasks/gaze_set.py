"""A gaze data set as the protocols see it: images, who is in them, where they look, the folds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext, FactorColumns

__all__ = ["ANGLES", "Seen", "see"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

ANGLES = ("yaw_rad", "pitch_rad", "roll_rad")
"""The head pose that the model itself predicts, by the table's columns."""


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
