"""From a model's factors to directions: the code where eyes are found, and the head pose."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mien.geometry.rotation import rotation_to_angles
from mien.probes.gaze import Calibration, GazeEstimate
from mien.types import Factors, GazeCode

__all__ = ["estimate"]


def estimate(calibration: Calibration, factors: Factors | GazeCode) -> GazeEstimate:
    """Return where faces look; NaN in rows where no eyes are found: there the code means nothing.

    Args:
        calibration: that fits the weights.
        factors: with a gaze code; or the gaze code alone, if the calibration uses no head pose.

    Raises:
        ValueError: if the gaze code or the head pose is not there.
    """
    code = factors.gaze if isinstance(factors, Factors) else factors
    if code is None:
        raise ValueError("factors without a gaze code cannot be calibrated")
    codes = np.where(_array(code.eyes_found)[:, None], _array(code.code.float()), np.nan)
    pose = None
    if calibration.uses_pose:
        if not isinstance(factors, Factors):
            raise ValueError("the calibration uses a head pose, and there is none")
        angles = rotation_to_angles(factors.pose.rotation.float())
        pose = _array(torch.stack(angles, dim=1))
    return calibration.predict(codes, pose)


def _array(tensor: torch.Tensor) -> NDArray[np.floating]:
    return tensor.detach().cpu().numpy()
