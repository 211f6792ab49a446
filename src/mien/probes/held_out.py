"""The score on labels held out of everything: of the fit and of every choice made for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.linear.model import Learn
from mien.probes.probe import HeldOut
from mien.probes.samples import Samples

__all__ = ["Folds", "held_out", "interval", "make_folds", "predicted", "rightness"]

Array = NDArray[np.float64]

_FEW_SAMPLES = 100
_PARTS = {True: 10, False: 5}
"""In how many parts few samples are divided, and many."""
_ROUNDS = 1000


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
    """Return what is said of each sample by what was learned without its part. [N].

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        folds: of the samples.
        rng: for `learn`.
        labels: learn from that many samples alone, the first of each order.
    """
    said = np.empty(len(samples))
    for k, order in enumerate(folds.orders):
        function = learn(samples.take(order[:labels]), rng)
        rows = np.flatnonzero(folds.part == k)
        outputs = function.outputs(samples.codes[rows])
        said[rows] = outputs[:, 0] if samples.numbers else outputs.argmax(axis=1)
    return said


def rightness(samples: Samples, said: Array) -> Array:
    """Return what is averaged to the score: 100 where a class is right; a number's error. [N]."""
    if samples.numbers:
        return np.abs(said - samples.labels)
    return 100.0 * (said == samples.labels)


def held_out(samples: Samples, said: Array, rng: np.random.Generator) -> HeldOut:
    """Return the score of predictions for held-out samples.

    Args:
        samples: all of them.
        said: of each, by `predicted`. [N].
        rng: draws for the interval.
    """
    # Of all labels: who leaves one of two equal classes out sees the other as the usual one.
    labels = samples.labels
    usual = np.median(labels) if samples.numbers else np.bincount(labels).argmax()
    right = rightness(samples, said)
    low, high = interval(right, samples.groups, rng)
    correlation = None
    if samples.numbers and said.std() > 0:
        correlation = float(np.corrcoef(said, samples.labels)[0, 1])
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


def interval(
    values: Array, groups: NDArray[np.int64], rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of a mean by drawing groups with replacement.

    Args:
        values: [N].
        groups: number of each value's group. [N].
        rng: draws.
    """
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    sums, counts = np.bincount(number, values), np.bincount(number)
    chances = np.full(len(sums), 1 / len(sums))
    means = np.empty(_ROUNDS)
    for i in range(_ROUNDS):
        picks = rng.multinomial(len(sums), chances)
        means[i] = (picks @ sums) / (picks @ counts)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
