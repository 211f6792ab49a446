"""From gaze codes to directions, by a calibration that fits the weights."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probes.gaze import Calibration, estimate
from mien.table.schema import GAZE
from mien.types import Factors, GazeCode

__all__ = ["CalibrationFile", "gaze_columns", "open_calibration"]


@dataclass(frozen=True)
class CalibrationFile:
    """A calibration and what names it."""

    calibration: Calibration
    digest: str
    """16 hex digits that are the same for the same file."""


def open_calibration(
    path: str | Path, *, weights_id: str, code_dim: int, has_pose: bool
) -> CalibrationFile:
    """Read a calibration and refuse one that cannot be applied.

    Args:
        path: the file that `mien calibrate` wrote.
        weights_id: the weights that give the codes; "" if they were never saved.
        code_dim: length of the codes.
        has_pose: whether the head pose is known.

    Raises:
        MienError: if the file is missing or damaged, belongs to other weights, or asks for a head
            pose that is not known.
    """
    calibration = Calibration.load(path)
    calibration.check_model(weights_id, code_dim)
    if calibration.uses_pose and not has_pose:
        raise MienError(
            f"{path} uses the head pose, which eye crops do not show: calibrate with --no-pose"
        )
    digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()[:16]
    return CalibrationFile(calibration, digest)


def gaze_columns(
    calibration: Calibration, factors: Factors | GazeCode
) -> dict[str, NDArray[np.float32]]:
    """Return the calibrated gaze, column by column, NaN where no eyes are found. Each [B].

    Args:
        calibration: that fits the weights.
        factors: with a gaze code; or the gaze code alone, if the calibration uses no head pose.

    Raises:
        ValueError: if the gaze code or the head pose is not there.
    """
    gaze = estimate(calibration, factors)
    values = (*gaze.direction.T, gaze.yaw, gaze.pitch, gaze.std_rad)
    return {name: value.astype(np.float32) for name, value in zip(GAZE, values, strict=True)}
