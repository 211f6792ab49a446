"""The learning curve: what fewer labels would have given, and so what more may give."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.linear.model import Learn
from mien.probes.held_out import Folds, interval, predicted, rightness
from mien.probes.probe import CurvePoint, HeldOut
from mien.probes.samples import Samples

__all__ = ["learning_curve", "sizes"]

_HALVINGS = 4
_LEAST = 4


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
    labels are drawn at random and contained in larger ones.

    Args:
        samples: all of them.
        learn: everything that is chosen or fitted happens inside.
        folds: of the samples.
        whole: the score with all labels.
        rng: for `learn`, and draws for the intervals.
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
    low, high = interval(right, groups, rng)
    return CurvePoint(size, float(right.mean()), low, high)
