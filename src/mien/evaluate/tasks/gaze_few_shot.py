"""Gaze from few labels: a ridge regression on the codes of other people.

The people of the samples and of the test must be different people; callers see to it.
`k` labelled samples are chosen at random from the training rows, codes (and head pose,
where given) are standardised on them, and yaw and pitch are each regressed with a strength chosen
by leaving one sample out. Nothing of the test rows is used but their codes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext
from mien.geometry.gaze import angle_between, gaze_angles, gaze_vector
from mien.linear.ridge import leave_one_out_predict

__all__ = [
    "COUNTS",
    "GazePrediction",
    "angular_error_deg",
    "predict_codes",
    "predict_gaze",
    "sampled_errors",
]

Array = NDArray[np.floating]

COUNTS = (9, 50, 100, 200, None)
"""Numbers of labelled samples; None = all there are."""
STRENGTHS = np.logspace(-1, 6, 15)
"""Ridge strengths to choose from, on standardised columns. The largest makes of thousands of
columns and nine samples as good as the mean; the smallest is nearly none."""


ANGLES = ("yaw_rad", "pitch_rad", "roll_rad")
"""The head pose that the model itself predicts, by the table's columns."""


@dataclass(frozen=True)
class GazePrediction:
    """What the weights predict for a set's images."""

    code: Array
    """NaN where no eyes are found. [N, d]."""
    pose: Array | None
    """The head pose that the weights predict, NaN without a face; None with eye-region crops.
    Radians [N, 3]."""

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether eyes are found. [N]."""
        return np.asarray(np.isfinite(self.code).all(axis=1))


def predict_codes(data: GazeSet, context: EvalContext) -> GazePrediction:
    """Return the gaze codes of a set, and the predicted head pose where faces are shown.

    Raises:
        MienError: as the context's `describe`; or eyes are found in no image.
    """
    context.say(f"{len(data)} images")
    eye_crops = data.images.crop == "eyes"
    columns = ("gaze_code",) if eye_crops else ("gaze_code", *ANGLES)
    described = context.describe(data.images, columns)
    predicted = GazePrediction(
        described.joined("gaze_code").astype(np.float64),
        None if eye_crops else described.joined(*ANGLES).astype(np.float64),
    )
    if not predicted.found.any():
        raise MienError("eyes are found in no image; are these the right images?")
    return predicted


def angular_error_deg(*, predicted: Array, truth: Array) -> Array:
    """Return the angle between directions, in degrees. [N, 3], [N, 3] -> [N].

    Raises:
        ValueError: the shapes differ or are not [N, 3].
    """
    predicted, truth = np.asarray(predicted, np.float64), np.asarray(truth, np.float64)
    if predicted.shape != truth.shape or truth.ndim != 2 or truth.shape[1] != 3:
        raise ValueError(f"[N, 3] twice is wanted, not {predicted.shape} and {truth.shape}")
    return np.degrees(angle_between(predicted, truth))


def predict_gaze(*, train_features: Array, train_gaze: Array, test_features: Array) -> Array:
    """Return the gaze that a ridge regression to yaw and pitch predicts. [M, 3].

    Args:
        train_features: codes of the labelled samples, with or without head pose. [k, D].
        train_gaze: their gaze, unit vectors, camera frame. [k, 3].
        test_features: of the rows to be predicted. [M, D].
    """
    yaw, pitch = gaze_angles(np.asarray(train_gaze, np.float64))
    found = leave_one_out_predict(
        train=train_features,
        targets=np.stack([yaw, pitch], axis=1),
        test=test_features,
        strengths=STRENGTHS,
    )
    return gaze_vector(found[:, 0], found[:, 1])


def sampled_errors(
    *,
    train_features: Array,
    train_gaze: Array,
    test_features: Array,
    test_gaze: Array,
    count: int | None,
    trials: int,
    rng: np.random.Generator,
) -> Array:
    """Return the error of every test row in each trial of `count` labelled samples. Degrees.

    Args:
        train_features: rows that samples are chosen from, with or without head pose. [N, D].
        train_gaze: unit vectors, camera frame. [N, 3].
        test_features: rows of other people. [M, D].
        test_gaze: unit vectors, camera frame. [M, 3].
        count: number of samples; None takes all rows, in one trial.
        trials: repetitions, each with samples of its own.
        rng: samples them.

    Returns:
        [trials, M], or [1, M] where all rows are taken.

    Raises:
        MienError: the count is not from 2 to N, or features are not finite.
    """
    if not (np.isfinite(train_features).all() and np.isfinite(test_features).all()):
        raise MienError("codes or head poses hold NaN or infinity; leave those rows out")
    total = len(train_features)
    if count is not None and not 2 <= count <= total:
        raise MienError(f"cannot choose {count} samples from {total} training rows")
    errors = []
    for _ in range(1 if count is None else trials):
        rows = slice(None) if count is None else rng.choice(total, count, replace=False)
        found = predict_gaze(
            train_features=train_features[rows],
            train_gaze=train_gaze[rows],
            test_features=test_features,
        )
        errors.append(angular_error_deg(predicted=found, truth=test_gaze))
    return np.stack(errors)
