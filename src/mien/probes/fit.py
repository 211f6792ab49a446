"""Fit a probe to labels or a calibration to known gaze, and measure it on samples held out.

The learning curve of a probe is the score that fewer labels would have given, and so a hint of what
more may give.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.bootstrap import mean_interval
from mien.linear.logistic import classification
from mien.linear.model import Linear
from mien.linear.ridge import regression
from mien.probes.gaze import Calibration
from mien.probes.gaze_regression import Regression, regress
from mien.probes.held_out import (
    Folds,
    Learn,
    held_out,
    held_out_gaze,
    make_folds,
    predicted,
    rightness,
)
from mien.probes.match import MatchedLabels
from mien.probes.probe import CurvePoint, HeldOut, Probe
from mien.probes.samples import (
    GazeSamples,
    Samples,
    check_angles,
    check_inputs,
    samples_of,
    target_angles,
)

__all__ = [
    "fit_calibration",
    "fit_probe",
    "learn_classes",
    "learn_numbers",
    "learning_curve",
    "sizes",
]

Array = NDArray[np.float64]

_HALVINGS = 4
_LEAST = 4
_NUMBER_PARTS, _CLASS_PARTS = 10, 3


def fit_probe(matched: MatchedLabels, *, rng: np.random.Generator, kind: str = "auto") -> Probe:
    """Return a probe: logistic regression to classes, ridge regression to numbers.

    Codes are standardised. The strength of the regularisation is chosen on samples left out, people
    apart where they are known; the score and the learning curve are measured around all of that, on
    samples that took no part.

    Args:
        matched: by `mien.probes.match.match_labels`.
        rng: makes the parts in which samples are left out, and the intervals.
        kind: class; number; auto: number where every label is one and they are more than twelve
            different ones, or not whole.

    Raises:
        MienError: if nothing can be learned of these labels, with the reason.
    """
    samples = samples_of(matched, kind)
    # What is predicted must not depend on how the score is measured: another stream.
    for_score, for_fit = rng.spawn(2)
    learn = learn_numbers if samples.numbers else learn_classes
    folds = make_folds(samples, for_score)
    predictions = predicted(samples, learn, folds, for_score)
    whole = held_out(samples, predictions, for_score)
    curve = learning_curve(samples, learn, folds, whole, for_score)
    return Probe(
        label=matched.label,
        columns=matched.columns,
        classes=samples.classes,
        model_id=matched.model_id,
        samples=len(samples),
        function=learn(samples, for_fit),
        held_out=whole,
        curve=curve,
    )


def learn_numbers(samples: Samples, rng: np.random.Generator) -> Linear:
    """Return the ridge regression to the labels; its strength is chosen on ten parts left out."""
    return regression(samples.codes, samples.labels, samples.parts(_NUMBER_PARTS, rng))


def learn_classes(samples: Samples, rng: np.random.Generator) -> Linear:
    """Return the logistic regression; its strength is chosen on three parts left out."""
    part = samples.parts(_CLASS_PARTS, rng)
    return classification(samples.codes, samples.labels, len(samples.classes), part)


def sizes(fewest: int) -> tuple[int, ...]:
    """Return numbers of labels to learn from: a half, a quarter and so on, the least first.

    Args:
        fewest: labels that every fold has to learn from.
    """
    halved = [fewest // 2**i for i in range(_HALVINGS, 0, -1)]
    return tuple(size for size in halved if size >= _LEAST)


def learning_curve(
    samples: Samples, learn: Learn, folds: Folds, whole: HeldOut, rng: np.random.Generator
) -> tuple[CurvePoint, ...]:
    """Return the score with few labels, more, and all that are not held out.

    Every point is measured on all samples, by what was learned without their part; smaller sets of
    labels are random and contained in larger ones.

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        folds: of the samples.
        whole: the score with all labels.
        rng: for `learn`, and for the intervals.
    """
    points = []
    for size in sizes(folds.fewest):
        right = rightness(samples, predicted(samples, learn, folds, rng, labels=size))
        points.append(_point(size, right, samples.groups, rng))
    most = round(float(np.mean([len(order) for order in folds.orders])))
    return (*points, CurvePoint(most, whole.score, whole.low, whole.high))


def _point(
    size: int, right: NDArray[np.float64], groups: NDArray[np.int64], rng: np.random.Generator
) -> CurvePoint:
    low, high = mean_interval(values=right, groups=groups, rng=rng)
    return CurvePoint(size, float(right.mean()), low, high)


def fit_calibration(
    *,
    codes: NDArray[np.floating],
    targets: NDArray[np.floating],
    rng: np.random.Generator,
    head_pose: NDArray[np.floating] | None = None,
    people: Sequence[str] | None = None,
    per_person: bool = False,
    model_id: str = "",
    names: Sequence[str] | None = None,
) -> Calibration:
    """Return a calibration: ridge regression from code and head pose to yaw and pitch.

    Strength of the regularisation, and whether products of features are used, are chosen on
    samples left out: one person at a time where people are given and share one regression, else
    all samples of one target at a time. The error is measured around all of that, on samples that
    took no part.

    Args:
        codes: gaze codes. [N, d].
        targets: where they looked: unit vectors, camera frame (x right, y down, z away). [N, 3].
        rng: chooses what is held out, resamples for the interval; nothing that is predicted.
        head_pose: yaw, pitch, roll in radians; None: the code alone. [N, 3].
        people: who each sample is; None: nothing is known of it. [N].
        per_person: give each person an offset of their own.
        model_id: of the weights that made the codes.
        names: of the samples, for messages; None: their numbers from 1. [N].

    Raises:
        MienError: if the samples are fewer than 9, not finite, there twice, or their targets all
            in one place or on one line; if offsets are asked for and people are not given, are
            fewer than two, or have one sample each.
        ValueError: if lengths differ.
    """
    samples = _gaze_samples(codes, targets, head_pose, people, names)
    _check_people(samples, per_person=per_person)
    personal = _regress(samples, per_person=True) if per_person else None
    # First the error of one regression for all: the order decides what the generator gives each.
    error = held_out_gaze(samples, _learn_gaze(per_person=False), by_people=True, rng=rng)
    personal_error = None
    if per_person:
        learn = _learn_gaze(per_person=True)
        personal_error = held_out_gaze(samples, learn, by_people=False, rng=rng)
    return Calibration(
        model_id=model_id,
        code_dim=samples.code_dim,
        uses_pose=head_pose is not None,
        pooled=_regress(samples, per_person=False),
        error=error,
        personal=personal,
        personal_error=personal_error,
    )


def _gaze_samples(
    codes: NDArray[np.floating],
    targets: NDArray[np.floating],
    head_pose: NDArray[np.floating] | None,
    people: Sequence[str] | None,
    names: Sequence[str] | None,
) -> GazeSamples:
    """Check everything but the people."""
    inputs = np.asarray(codes, dtype=np.float64)
    if inputs.ndim != 2 or not inputs.shape[1]:
        raise ValueError(f"codes must be [N, d], not {inputs.shape}")
    count, code_dim = inputs.shape
    aims = np.asarray(targets, dtype=np.float64)
    if aims.shape != (count, 3):
        raise ValueError(f"targets must be [{count}, 3], not {aims.shape}")
    if head_pose is not None:
        pose = np.asarray(head_pose, dtype=np.float64)
        if pose.shape != (count, 3):
            raise ValueError(f"head poses must be [{count}, 3], not {pose.shape}")
        inputs = np.hstack([inputs, pose])
    for given in (people, names):
        if given is not None and len(given) != count:
            raise ValueError(f"{len(given)} people or names for {count} codes")
    names = [f"number {i + 1}" for i in range(count)] if names is None else names
    check_inputs(inputs, names)
    angles = target_angles(aims, names)
    check_angles(angles)
    persons = None if people is None else np.array([str(person) for person in people])
    return GazeSamples(inputs, angles, persons, code_dim)


def _check_people(samples: GazeSamples, *, per_person: bool) -> None:
    if not per_person:
        return
    if samples.people is None:
        raise MienError("offsets per person need to know who each sample is: add a column person")
    counts = np.unique(samples.people, return_counts=True)[1]
    if len(counts) < 2 or counts.max() < 2:
        raise MienError(
            f"offsets per person need two people or more with several samples each, not "
            f"{len(counts)} with {counts.max()} at most: calibrate without them"
        )


def _regress(samples: GazeSamples, *, per_person: bool) -> Regression:
    groups, _ = samples.groups(by_people=not per_person)
    people = None if samples.people is None else samples.people.tolist()
    return regress(
        samples.inputs,
        samples.angles,
        groups,
        code_dim=samples.code_dim,
        people=people if per_person else None,
    )


def _learn_gaze(*, per_person: bool) -> Callable[[GazeSamples], Callable[[GazeSamples], Array]]:
    """Return how samples become predictions, as in the calibration itself."""

    def learn(samples: GazeSamples) -> Callable[[GazeSamples], Array]:
        regression = _regress(samples, per_person=per_person)

        def predict(others: GazeSamples) -> Array:
            people = None if others.people is None else others.people.tolist()
            return regression.predict(others.inputs, people)[0]

        return predict

    return learn
