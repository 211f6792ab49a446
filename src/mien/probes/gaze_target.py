"""From a direction back to a gaze code: the likeliest code that a calibration reads so.

Among the samples of a calibration the code z varies as its covariance S says. Of all codes that are
read as looking to a target, the nearest to a face's own, by the distance of S, is

    z' = z + S J^T (J S J^T)^-1 (target - f(z))

where the calibration f is linear, J its slope; where it has products this is repeated.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probes.gaze import Calibration
from mien.probes.gaze_regression import Regression

__all__ = ["code_towards"]

Array = NDArray[np.float64]

_STEPS = 20
_LARGEST_STEP_RAD = 0.1
_NEAR_RAD = 0.002
_SHRINKAGE = 0.02
"""Part of the mean variance that every direction of the code has at least."""
_FAR_DEG = 1.0


def code_towards(
    calibration: Calibration,
    code: NDArray[np.floating],
    yaw: float,
    pitch: float,
    *,
    head_pose: NDArray[np.floating] | None = None,
) -> Array:
    """Return the code of a face that looks elsewhere.

    Args:
        calibration: reads directions off codes.
        code: the face's own. [d].
        yaw: radians, + towards image-left.
        pitch: radians, + up.
        head_pose: yaw, pitch, roll of the head, which stays; needed if it is used. [3].

    Returns:
        Code. [d].

    Raises:
        MienError: the code does not fit the calibration, or none near it is read as looking there.
    """
    pose = None if head_pose is None else np.asarray(head_pose, dtype=np.float64)[None]
    # The same checks as of reading.
    calibration.predict(np.asarray(code)[None], pose)
    regression = calibration.pooled
    inputs = np.asarray(code, dtype=np.float64)
    if calibration.uses_pose and pose is not None:
        inputs = np.concatenate([inputs, pose[0]])
    target, spread = np.array([yaw, pitch]), _spread(regression, len(code))
    now = (inputs - regression.basis.mean) / regression.basis.scale
    for _ in range(_STEPS):
        away = target - _read(regression, now)
        if np.abs(away).max() < _NEAR_RAD:
            break
        away *= min(1.0, _LARGEST_STEP_RAD / np.abs(away).max())
        slope = _slope(regression, now)[: len(code)]
        towards = spread @ slope
        now[: len(code)] += towards @ np.linalg.lstsq(slope.T @ towards, away, rcond=None)[0]
    missed = np.degrees(np.abs(target - _read(regression, now)).max())
    if not missed < _FAR_DEG:  # NaN too
        shown = f"yaw {np.degrees(yaw):.0f}, pitch {np.degrees(pitch):.0f} degrees"
        raise MienError(f"this calibration reads no code near this face's as looking to {shown}")
    return (now * regression.basis.scale + regression.basis.mean)[: len(code)]


def _spread(regression: Regression, width: int) -> Array:
    """Return how the standardised code varies among the samples. [d, d]."""
    rows = regression.right[:width] * regression.values
    spread = rows @ rows.T / regression.samples
    return spread + _SHRINKAGE * np.trace(spread) / width * np.eye(width)


def _read(regression: Regression, standardised: Array) -> Array:
    """Return yaw and pitch of one row of standardised code and pose. [2]."""
    basis = regression.basis
    inputs = standardised * basis.scale + basis.mean
    features = basis.features(inputs[None])
    return (features @ regression.weights[: features.shape[1]] + regression.intercept)[0]


def _slope(regression: Regression, standardised: Array) -> Array:
    """Return how yaw and pitch change with standardised code and pose. [f, 2]."""
    basis, weights = regression.basis, regression.weights
    linear = weights[: len(basis.mean)]
    products = weights[len(basis.mean) : basis.size]
    if not len(products):
        return linear
    along = standardised @ basis.directions
    first, second = np.triu_indices(basis.directions.shape[1])
    turn = basis.directions[:, first] * along[second] + basis.directions[:, second] * along[first]
    return linear + (turn / basis.product_scale) @ products
