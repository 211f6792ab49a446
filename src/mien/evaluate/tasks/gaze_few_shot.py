"""Gaze from few labels: a ridge regression on the codes of other people.

The people of the samples and of the test must be different people; callers see to it.
`k` labelled samples are chosen at random from the training rows, codes (and head pose,
where given) are standardised on them, and yaw and pitch are each regressed with a strength chosen
by leaving one sample out. Nothing of the test rows is used but their codes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import GazeSet
from mien.evaluate.protocol import EvalContext
from mien.geometry.gaze import angle_between, gaze_angles, gaze_vector
from mien.linear.ridge import leave_one_out_predict
from mien.linear.verification import verification_auc

__all__ = [
    "ANGLES",
    "COUNTS",
    "FewShot",
    "GazePrediction",
    "angular_error_deg",
    "few_shot",
    "halves",
    "leakage_auc",
    "mean_over_folds",
    "mean_predictor_deg",
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


@dataclass(frozen=True)
class FewShot:
    """The error of gaze predicted from codes with so many labelled samples."""

    count: int | None
    """Labelled samples; None = all there are."""
    mean_deg: float
    """Mean angular error over test rows and trials. Degrees."""
    std_deg: float
    """Standard deviation over trials (n - 1); 0 where there is one trial. Degrees."""
    trials: tuple[float, ...]
    """Mean angular error of each trial. Degrees."""

    @staticmethod
    def of(count: int | None, trials: Sequence[float]) -> FewShot:
        """Sum up the errors of trials. Degrees."""
        std = float(np.std(trials, ddof=1)) if len(trials) > 1 else 0.0
        return FewShot(count, float(np.mean(trials)), std, tuple(map(float, trials)))


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


def few_shot(
    *,
    train_codes: Array,
    train_gaze: Array,
    test_codes: Array,
    test_gaze: Array,
    pose: tuple[Array, Array] | None = None,
    counts: Sequence[int | None] = COUNTS,
    trials: int = 10,
    rng: np.random.Generator,
) -> tuple[FewShot, ...]:
    """Return the error on the test rows for every number of labelled samples.

    The same generator state gives the same samples whatever the codes are, so that two kinds of
    codes can be compared trial by trial.

    Args:
        train_codes: rows that samples are chosen from; D may be 0 where a pose is given. [N, D].
        train_gaze: unit vectors, camera frame. [N, 3].
        test_codes: rows of other people. [M, D].
        test_gaze: unit vectors, camera frame. [M, 3].
        pose: head angles in radians of the training and the test rows, put beside the codes.
            [N, A] and [M, A].
        counts: numbers of samples; None takes all rows, in one trial.
        trials: repetitions, each with samples of its own.
        rng: samples them.

    Raises:
        MienError: a count is not from 2 to N, or codes are not finite.
    """
    train, test = np.asarray(train_codes), np.asarray(test_codes)
    if pose is not None:
        train = np.concatenate([train, pose[0]], axis=1)
        test = np.concatenate([test, pose[1]], axis=1)
    results = []
    for count in counts:
        errors = sampled_errors(
            train_features=train,
            train_gaze=train_gaze,
            test_features=test,
            test_gaze=test_gaze,
            count=count,
            trials=trials,
            rng=rng,
        )
        results.append(FewShot.of(count, errors.mean(axis=1).tolist()))
    return tuple(results)


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


def mean_over_folds(folds: Sequence[Sequence[FewShot]]) -> tuple[FewShot, ...]:
    """Return the mean over folds, trial by trial: the std is that of whole evaluations.

    Args:
        folds: what `few_shot` gave for each fold, with the same counts and trials.
    """
    together = []
    for parts in zip(*folds, strict=True):
        if len({(part.count, len(part.trials)) for part in parts}) != 1:
            raise ValueError("the folds have other counts or trials")
        trials = np.mean([part.trials for part in parts], axis=0)
        together.append(FewShot.of(parts[0].count, trials.tolist()))
    return tuple(together)


def mean_predictor_deg(*, train_gaze: Array, test_gaze: Array) -> float:
    """Return the error of predicting the training rows' mean yaw and pitch. Degrees."""
    yaw, pitch = gaze_angles(np.asarray(train_gaze, np.float64))
    mean = gaze_vector(np.full(len(test_gaze), yaw.mean()), np.full(len(test_gaze), pitch.mean()))
    return float(angular_error_deg(predicted=mean, truth=test_gaze).mean())


def halves(person: NDArray[np.integer]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the rows of the first half of the people, in order of their numbers, and the others.

    Of an odd number of people the second half has one more.

    Raises:
        MienError: there are fewer than two people.
    """
    people = np.unique(person)
    if len(people) < 2:
        raise MienError(
            "images of at least two people are needed: to train on one and test on the other"
        )
    first = np.isin(person, people[: len(people) // 2])
    return np.flatnonzero(first), np.flatnonzero(~first)


def leakage_auc(
    *,
    codes: Mapping[str, Array],
    person: NDArray[np.integer],
    pairs: int = 5000,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Return the AUC of same-person decisions by each kind of code; 0.5 = chance.

    By cosine similarity, as `verification_auc`, every kind on the same pairs of images.

    Args:
        codes: by name, one row an image. Each [N, D].
        person: who it is. [N].
        pairs: of one person, and as many of two.
        rng: samples the pairs.
    """
    seed = int(rng.integers(2**63))
    return {
        name: verification_auc(
            codes=rows, person=person, pairs=pairs, rng=np.random.default_rng(seed)
        )
        for name, rows in codes.items()
    }
