"""Cross-subject predictions: each row by a linear model that was fitted to other people.

People are parted into folds; the rows of a fold are predicted by what was fitted to the rows of the
others, and a strength is chosen on some of the people that are fitted, never on those that are
tested. Where a code is NaN (no face, no open eyes) its mean stands in: the prediction is then that
of knowing nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.pipeline import Pipeline

from mien.linear.folds import FOLDS, balanced_folds, folds_of_people, over_folds
from mien.linear.logistic import fit_grouped
from mien.linear.model import scaled, standards
from mien.linear.ridge import Ridge, best_on

__all__ = [
    "fit_classes",
    "fit_numbers",
    "mean_cross_subject",
    "out_of_fold",
    "person_space",
    "predict_cross_subject",
]

Array = NDArray[np.floating]
Whole = NDArray[np.integer]
Rows = NDArray[np.int64]

CLASS_STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse regularisation of `fit_classes`, on standardised columns."""
ALPHAS = np.logspace(0, 5, 6)
"""Regularisation of `fit_numbers`, on standardised columns."""
PENALTIES = np.logspace(-6, 2, 9)
"""Of `predict_cross_subject`, added to each variance of the standardised features. The smallest is
as good as none (plain least squares), with the largest all is the mean."""
UNTRIED = 1e-2
"""The penalty where nobody is left to choose it by."""
_TINY = 1e-9


def fit_classes(train: Array, labels: Whole, person: Whole) -> Pipeline:
    """Return a logistic regression, its strength chosen on a fifth of the people.

    Args:
        train: codes. [N, D].
        labels: classes. [N].
        person: kept apart when the strength is chosen. [N].
    """
    options: dict[str, Any] = {"strengths": CLASS_STRENGTHS, "steps": 500, "tolerance": 1e-3}
    return fit_grouped(np.asarray(train, np.float64), labels, person, **options)


def fit_numbers(train: Array, targets: Array, person: Whole) -> Callable[[Array], Array]:
    """Return a ridge regression, codes [M, D] => [M, T]; a strength is chosen for each target.

    Args:
        train: codes. [N, D].
        targets: [N, T].
        person: kept apart when the strengths are chosen. [N].
    """

    def squares(predicted: Array, truth: Array) -> Array:
        return ((predicted - truth) ** 2).sum(axis=0)

    best = best_on(train, targets, balanced_folds(person)[0], ALPHAS, squares)
    ridge = Ridge.fit(train, targets)
    return lambda codes: ridge.predict(codes, ALPHAS[best])


def out_of_fold(
    *, codes: Array, labels: Mapping[str, NDArray[Any]], person: Whole
) -> dict[str, NDArray[Any]]:
    """Return what is predicted of every label by probes that were fitted to other people.

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        labels: by name; integers are classes, all else numbers. Each [N].
        person: who it is; at least `FOLDS` people. [N].

    Returns:
        Class numbers or numbers, by name. Each [N].
    """
    folds, count = balanced_folds(person), len(codes)
    numbers = [name for name, of in labels.items() if not _are_classes(of)]
    found: dict[str, NDArray[Any]] = {}
    if numbers:
        targets = np.stack([labels[name] for name in numbers], axis=1)
        predicted = over_folds(
            folds,
            lambda fit, held, _: fit_numbers(codes[fit], targets[fit], person[fit])(codes[held]),
            count=count,
        )
        found = {name: predicted[:, place] for place, name in enumerate(numbers)}

    def classes(of: Whole) -> NDArray[Any]:
        def predict(fit: Rows, held: Rows, _: int) -> NDArray[Any]:
            return fit_classes(codes[fit], of[fit], person[fit]).predict(
                np.asarray(codes[held], np.float64)
            )

        return over_folds(folds, predict, count=count)

    return {name: found[name] if name in found else classes(of) for name, of in labels.items()}


def predict_cross_subject(
    *, features: Array, targets: Array, person: Whole, folds: int = FOLDS
) -> NDArray[np.float64]:
    """Return what is predicted of every row by a ridge regression on other people. [N, T].

    Args:
        features: rows with NaN count as the mean of the fitted rows, and are not fitted. [N, D].
        targets: [N, T]. Rows with NaN do not count in means; only with features of NaN alone.
        person: whose row it is. [N].
        folds: into how many parts the people are parted; with fewer people, one each.

    Raises:
        MienError: there is one person only.
    """
    known = np.asarray(np.isfinite(features).all(axis=1))
    counted = np.asarray(np.isfinite(targets).all(axis=1))

    def predict(train: Rows, test: Rows, _: int) -> Array:
        there = targets[train[counted[train]]]
        mean = there.mean(axis=0, dtype=np.float64) if len(there) else np.zeros(targets.shape[1])
        predicted = np.tile(mean, (len(test), 1))
        fitted, seen = train[known[train]], known[test]
        if len(fitted) > 1 and seen.any():
            penalty = _penalty(features[fitted], targets[fitted], person[fitted])
            ridge = Ridge.fit(features[fitted], targets[fitted])
            predicted[seen] = ridge.predict(features[test[seen]], penalty * len(fitted))
        return predicted

    return over_folds(folds_of_people(person, folds), predict, count=len(targets))


def mean_cross_subject(*, targets: Array, person: Whole, folds: int = FOLDS) -> NDArray[np.float64]:
    """Return the mean over other people, for every row: what is known without looking. [N, T].

    Arguments and errors are those of `predict_cross_subject`; targets with NaN do not count.
    """
    nothing = np.full((len(targets), 1), np.nan)
    return predict_cross_subject(features=nothing, targets=targets, person=person, folds=folds)


def person_space(train: Array, person: Whole) -> Callable[[Array], Array]:
    """Return a linear map in which cosine separates people as well as the code allows.

    What varies within people is made white (WCCN: Hatch, Kajarekar and Stolcke 2006, with the
    covariance shrunk after Ledoit and Wolf), then each direction is weighted by how far people
    differ along it more than their frames do.

    Args:
        train: codes. [N, D].
        person: of the training rows, with several frames each. [N].

    Returns:
        Codes [M, D] => [M, D], rows of length 1.
    """
    mean, std = standards(train)
    rows = scaled(train, mean, std)
    who, counts = np.unique(person, return_inverse=True, return_counts=True)[1:]
    means = np.stack([np.bincount(who, column) for column in rows.T], axis=1) / counts[:, None]
    within, _ = cast(tuple[Array, float], ledoit_wolf(rows - means[who], assume_centered=True))
    # A column that does not vary (a code that is not there) must not be divided by.
    values, vectors = np.linalg.eigh(within)
    white = vectors / np.sqrt(values.clip(max(float(values.max()), _TINY) * 1e-6))
    between, directions = np.linalg.eigh(np.cov((means @ white).T).reshape(len(white), -1))
    excess = (between - (1 / counts).mean()).clip(0)
    projection = white @ directions * np.sqrt(excess / (1 + excess))

    def carried(codes: Array) -> Array:
        moved = scaled(codes, mean, std) @ projection
        return moved / np.linalg.norm(moved, axis=1, keepdims=True).clip(_TINY)

    return carried


def _are_classes(labels: NDArray[Any]) -> bool:
    return np.issubdtype(labels.dtype, np.integer)


def _penalty(features: Array, targets: Array, person: Whole) -> float:
    """Return the penalty that does best on a part of these people."""
    if len(np.unique(person)) < 2:
        return UNTRIED
    split = folds_of_people(person, FOLDS)[0]
    # Targets that vary little count as much as the others.
    std = targets.std(axis=0).clip(1e-12)

    def loss(predicted: Array, truth: Array) -> float:
        return float((((predicted - truth) / std) ** 2).mean())

    best = best_on(features, targets, split, PENALTIES * len(split[0]), loss)
    return float(PENALTIES[int(best)])
