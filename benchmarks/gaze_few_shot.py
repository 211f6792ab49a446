"""Gaze from few labels, summed up over trials and folds, and how well codes tell people apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from benchmarks.same_person import verification_auc
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.tasks.gaze_few_shot import COUNTS, angular_error_deg, sampled_errors
from mien.geometry.gaze import gaze_angles, gaze_vector

__all__ = [
    "FewShot",
    "few_shot",
    "halves",
    "leakage_auc",
    "mean_over_folds",
    "mean_predictor_deg",
]

Array = NDArray[np.floating]


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
