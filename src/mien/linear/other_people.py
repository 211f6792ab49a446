"""What a linear map makes of features, fitted on other people than those it is tried on.

The people are parted into folds; the rows of a fold are predicted by a ridge regression on the
rows of the others. Its strength is chosen on some of the people it is fitted on, never on those it
is tried on. With few features it is plain least squares: a change of origin, scale and axes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.linear.folds import folds_of_people

__all__ = ["FOLDS", "RidgeFit", "mean_of_others", "predict_from_others"]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

FOLDS = 5
STRENGTHS = np.logspace(-6, 2, 9)
"""Added to each variance of the standardised features. The smallest is as good as none, with the
largest all is the mean."""
UNTRIED = 1e-2
"""The strength where nobody is left to choose it by."""


@dataclass(frozen=True)
class RidgeFit:
    """A ridge regression with the strength still open."""

    middle: Array
    spread: Array
    values: Array
    """Variances along the K axes, as many as features or as rows. [K]."""
    axes: Array
    """[D, K]."""
    along: Array
    """Covariance of each axis with each target. [K, T]."""
    mean: Array
    """Of the targets. [T]."""

    @staticmethod
    def of(features: Array, targets: Array) -> RidgeFit:
        """Decompose what is learned from. [N, D], [N, T]."""
        middle, spread = features.mean(axis=0), features.std(axis=0)
        spread = np.where(spread > 1e-12, spread, 1.0)
        scaled, mean = (features - middle) / spread, targets.mean(axis=0)
        values, axes = _axes(scaled)
        along = axes.T @ (scaled.T @ (targets - mean)) / len(scaled)
        return RidgeFit(middle, spread, values.clip(0), axes, along, mean)

    def predict(self, features: Array, strength: float) -> Array:
        """Return the targets of any rows. [M, T]."""
        weights = self.axes @ (self.along / (self.values + strength)[:, None])
        return (features - self.middle) / self.spread @ weights + self.mean


def _axes(rows: Array) -> tuple[Array, Array]:
    """Return variances [K] along the principal axes of centred rows, and the axes. [D, K]."""
    count, size = rows.shape
    if size <= count:
        values, axes = np.linalg.eigh(rows.T @ rows / count)
        return values, axes
    # Fewer rows than features: nothing varies, or goes with a target, outside what the rows span.
    values, turned = np.linalg.eigh(rows @ rows.T / count)
    kept = values > 1e-12 * values[-1]
    return values[kept], rows.T @ turned[:, kept] / np.sqrt(count * values[kept])


def predict_from_others(
    *, features: Array, targets: Array, person: NDArray[np.integer], folds: int = FOLDS
) -> Array:
    """Return what is predicted of every row by a map that was fitted on other people. [N, T].

    Args:
        features: rows with NaN count as the mean of the fitted rows, and are not fitted. [N, D].
        targets: [N, T].
        person: whose row it is. [N].
        folds: into how many parts the people are parted; with fewer people, one each.

    Raises:
        MienError: there is one person only.
    """
    known = np.asarray(np.isfinite(features).all(axis=1))
    predicted = np.empty(targets.shape, dtype=np.float64)
    for train, test in folds_of_people(person, folds):
        fitted = train[known[train]]
        predicted[test] = targets[train].mean(axis=0)
        seen = test[known[test]]
        if len(fitted) > 1 and len(seen):
            strength = _choose(features, targets, person, fitted)
            ridge = RidgeFit.of(features[fitted].astype(np.float64), targets[fitted])
            predicted[seen] = ridge.predict(features[seen], strength)
    return predicted


def mean_of_others(
    *, targets: Array, person: NDArray[np.integer], folds: int = FOLDS
) -> NDArray[np.float64]:
    """Return the mean over other people, for every row: what is known without looking. [N, T].

    Args:
        targets: rows with NaN do not count. [N, T].
        person: whose row it is. [N].
        folds: as for `predict_from_others`.

    Raises:
        MienError: there is one person only.
    """
    mean = np.zeros(targets.shape, dtype=np.float64)
    known = np.asarray(np.isfinite(targets).all(axis=1))
    for train, test in folds_of_people(person, folds):
        if known[train].any():
            mean[test] = targets[train[known[train]]].mean(axis=0)
    return mean


def _choose(features: Array, targets: Array, person: NDArray[np.integer], rows: Rows) -> float:
    """Return the strength that does best on a part of the people of these rows."""
    if len(np.unique(person[rows])) < 2:
        return UNTRIED
    parts = folds_of_people(person[rows], FOLDS)[0]
    fit, held = rows[parts[0]], rows[parts[1]]
    ridge = RidgeFit.of(features[fit].astype(np.float64), targets[fit])
    # Targets of little spread count as much as the others.
    scale = targets[rows].std(axis=0).clip(1e-12)
    errors = [
        float((((ridge.predict(features[held], s) - targets[held]) / scale) ** 2).mean())
        for s in STRENGTHS
    ]
    return float(STRENGTHS[int(np.argmin(errors))])
