"""The score on samples held out of everything: of the fit and of every choice made for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.geometry.gaze import angle_between, gaze_vector
from mien.linear.bootstrap import bootstrap, mean_interval
from mien.linear.folds import over_folds, part_folds
from mien.linear.model import Linear
from mien.probes.gaze import HeldOutGaze
from mien.probes.probe import HeldOut
from mien.probes.samples import GazeSamples, Samples

__all__ = [
    "Folds",
    "Learn",
    "LearnGaze",
    "held_out",
    "held_out_gaze",
    "make_folds",
    "predicted",
    "rightness",
]

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

_FEW_SAMPLES = 100
_PARTS = {True: 10, False: 5}
"""In how many parts few samples are divided, and many."""
_GAZE_PARTS = 10
_ONE_BY_ONE = 20
"""Up to so many groups of gaze samples are held out one by one."""
_GAZE_TRIALS = 2000
"""Of the bootstrap of the angular error."""

Learn: TypeAlias = Callable[[Samples, np.random.Generator], Linear]
"""From samples to a function of codes, every choice included; the generator makes the parts on
which the strength is chosen."""
LearnGaze: TypeAlias = Callable[[GazeSamples], Callable[[GazeSamples], Array]]
"""From samples to a function from other samples, whose targets it ignores, to angles [M, 2]."""


@dataclass(frozen=True)
class Folds:
    """Which samples are held out together, and in which order the others are learned from."""

    part: NDArray[np.int64]
    """Number of the part that each sample is in. [N]."""
    orders: tuple[NDArray[np.int64], ...]
    """For each part the samples that are not in it, shuffled. Each [N - its size]."""

    @property
    def fewest(self) -> int:
        """Return the smallest number of samples that are left to learn from."""
        return min(len(order) for order in self.orders)


def make_folds(samples: Samples, rng: np.random.Generator) -> Folds:
    """Return ten parts of up to 100 samples, five of more; groups stay whole."""
    part = samples.parts(_PARTS[len(samples) <= _FEW_SAMPLES], rng)
    count = int(part.max()) + 1
    orders = tuple(rng.permutation(np.flatnonzero(part != k)) for k in range(count))
    return Folds(part, orders)


def predicted(
    samples: Samples,
    learn: Learn,
    folds: Folds,
    rng: np.random.Generator,
    *,
    labels: int | None = None,
) -> Array:
    """Return the prediction of each sample by what was learned without its part. [N].

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        folds: of the samples.
        rng: for `learn`.
        labels: learn from that many samples alone, the first of each order.
    """

    def of_part(_: Rows, rows: Rows, number: int) -> Array:
        function = learn(samples.take(folds.orders[number][:labels]), rng)
        outputs = function.outputs(samples.codes[rows])
        return outputs[:, 0] if samples.numbers else outputs.argmax(axis=1).astype(np.float64)

    return over_folds(part_folds(folds.part), of_part, count=len(samples))


def rightness(samples: Samples, predictions: Array) -> Array:
    """Return what is averaged to the score: 100 where a class is right; a number's error. [N]."""
    if samples.numbers:
        return np.abs(predictions - samples.labels)
    return 100.0 * (predictions == samples.labels)


def held_out(samples: Samples, predictions: Array, rng: np.random.Generator) -> HeldOut:
    """Return the score of predictions for held-out samples.

    Args:
        samples: all of them.
        predictions: of each, by `predicted`. [N].
        rng: resamples for the interval.
    """
    # Of all labels: who leaves one of two equal classes out sees the other as the usual one.
    labels = samples.labels
    usual = np.median(labels) if samples.numbers else np.bincount(labels).argmax()
    right = rightness(samples, predictions)
    low, high = mean_interval(values=right, groups=samples.groups, rng=rng)
    correlation = None
    if samples.numbers and predictions.std() > 0:
        correlation = float(np.corrcoef(predictions, samples.labels)[0, 1])
    return HeldOut(
        score=float(right.mean()),
        low=low,
        high=high,
        baseline=float(rightness(samples, np.full(len(samples), float(usual))).mean()),
        by=samples.by,
        recall=tuple(
            float(right[samples.labels == number].mean()) for number in range(len(samples.classes))
        ),
        correlation=correlation,
    )


def held_out_gaze(
    samples: GazeSamples, learn: LearnGaze, *, by_people: bool, rng: np.random.Generator
) -> HeldOutGaze:
    """Return the error of learning anew without the samples on which it is measured.

    Up to twenty groups are held out one by one, more in ten parts. The interval is that of the
    mean over resampled groups.

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        by_people: hold out people, where there are two.
        rng: makes the parts and resamples the groups.
    """
    groups, by = samples.groups(by_people=by_people)
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    count = int(number.max()) + 1
    parts = np.arange(count) % (count if count <= _ONE_BY_ONE else _GAZE_PARTS)
    folds = part_folds(rng.permutation(parts)[number])

    def of_part(rest: Rows, rows: Rows, _: int) -> Array:
        return learn(samples.take(rest))(samples.take(rows))

    def mean_of_rest(rest: Rows, rows: Rows, _: int) -> Array:
        return np.tile(samples.angles[rest].mean(axis=0), (len(rows), 1))

    found = over_folds(folds, of_part, count=len(samples))
    usual = over_folds(folds, mean_of_rest, count=len(samples))
    errors = _errors_deg(found, samples.angles)
    low, high = bootstrap(
        lambda rows: float(errors[rows].mean()),
        count=len(errors),
        groups=number,
        rng=rng,
        trials=_GAZE_TRIALS,
    )
    return HeldOutGaze(
        mean_deg=float(errors.mean()),
        low_deg=low,
        high_deg=high,
        baseline_deg=float(_errors_deg(usual, samples.angles).mean()),
        by=by,
    )


def _errors_deg(predicted: Array, truth: Array) -> Array:
    return np.rad2deg(angle_between(gaze_vector(*predicted.T), gaze_vector(*truth.T)))
