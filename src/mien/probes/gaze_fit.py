"""Make a calibration of samples: check, regress, and measure it on samples held out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probes.gaze import Calibration
from mien.probes.gaze_held_out import Samples, held_out
from mien.probes.gaze_samples import check_angles, check_inputs, target_angles
from mien.probes.regression import Regression, regress

__all__ = ["fit"]

Array = NDArray[np.float64]


def fit(
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
        rng: draws what is held out and the interval of the error; nothing that is predicted.
        head_pose: yaw, pitch, roll in radians; None: the code alone. [N, 3].
        people: who each sample is; None: nothing is known of it. [N].
        per_person: give each person an offset of their own.
        model_id: of the weights that made the codes.
        names: of the samples, for what is said of them; None: their numbers from 1. [N].

    Raises:
        MienError: if the samples are fewer than 9, not finite, there twice, or their targets all
            in one place or on one line; if offsets are asked for and people are not given, are
            fewer than two, or have one sample each.
        ValueError: if lengths differ.
    """
    samples = _samples(codes, targets, head_pose, people, names)
    _check_people(samples, per_person=per_person)
    personal = _regress(samples, per_person=True) if per_person else None
    return Calibration(
        model_id=model_id,
        code_dim=samples.code_dim,
        uses_pose=head_pose is not None,
        pooled=_regress(samples, per_person=False),
        error=held_out(samples, _learn(per_person=False), by_people=True, rng=rng),
        personal=personal,
        personal_error=held_out(samples, _learn(per_person=True), by_people=False, rng=rng)
        if per_person
        else None,
    )


def _samples(
    codes: NDArray[np.floating],
    targets: NDArray[np.floating],
    head_pose: NDArray[np.floating] | None,
    people: Sequence[str] | None,
    names: Sequence[str] | None,
) -> Samples:
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
    return Samples(inputs, angles, persons, code_dim)


def _check_people(samples: Samples, *, per_person: bool) -> None:
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


def _regress(samples: Samples, *, per_person: bool) -> Regression:
    groups, _ = samples.groups(by_people=not per_person)
    people = None if samples.people is None else samples.people.tolist()
    return regress(
        samples.inputs,
        samples.angles,
        groups,
        code_dim=samples.code_dim,
        people=people if per_person else None,
    )


def _learn(*, per_person: bool) -> Callable[[Samples], Callable[[Samples], Array]]:
    """Return how samples become predictions, as in the calibration itself."""

    def learn(samples: Samples) -> Callable[[Samples], Array]:
        regression = _regress(samples, per_person=per_person)

        def predict(others: Samples) -> Array:
            people = None if others.people is None else others.people.tolist()
            return regression.predict(others.inputs, people)[0]

        return predict

    return learn
