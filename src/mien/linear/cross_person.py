"""Linear probes for all labels at once, each row predicted by a probe fitted on other people.

A code that is NaN (no face, no open eyes) stands for the mean of the training rows, so that its
prediction is what would be said knowing nothing.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from sklearn.covariance import ledoit_wolf
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from mien.evaluate.datasets.synthetic import Label

__all__ = ["FOLDS", "fit_classes", "fit_numbers", "folds", "out_of_fold", "person_space", "scaled"]

Array = NDArray[np.floating]
Predict = Callable[[Array], NDArray[Any]]

FOLDS = 5
STRENGTHS = (1e-3, 1e-2, 1e-1)
"""Inverse regularisation of the classifier, on columns of unit spread."""
ALPHAS = np.logspace(0, 5, 6)
"""Regularisation of the regressor, on columns of unit spread."""
_TINY = 1e-9


def folds(person: NDArray[np.integer]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Yield training and test rows; nobody stands on both sides, everybody is tested once."""
    yield from GroupKFold(FOLDS).split(person, groups=person)


def out_of_fold(
    *, codes: Array, labels: Sequence[Label], person: NDArray[np.integer]
) -> Mapping[str, NDArray[Any]]:
    """Return what probes fitted on other people predict, by the labels' names.

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        labels: to be predicted.
        person: who it is; at least `FOLDS` people. [N].

    Returns:
        Class numbers or numbers. Each [N].
    """
    numbers = [label for label in labels if label.kind == "number"]
    targets = (
        np.stack([n.values for n in numbers], axis=1) if numbers else np.empty((len(codes), 0))
    )
    found: dict[str, NDArray[Any]] = {label.name: np.empty_like(label.values) for label in labels}
    for fit, held in folds(person):
        if numbers:
            predicted = fit_numbers(codes[fit], targets[fit], person[fit])(codes[held])
            for place, label in enumerate(numbers):
                found[label.name][held] = predicted[:, place]
        for label in labels:
            if label.kind == "class":
                probe = fit_classes(codes[fit], label.values[fit], person[fit])
                found[label.name][held] = probe(codes[held])
    return found


def scaled(train: Array) -> Callable[[Array], Array]:
    """Return what brings codes to mean 0 and spread 1 of the training rows; NaN becomes 0."""
    known = np.isfinite(train)
    count = known.sum(axis=0).clip(1)
    mean = np.where(known, train, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, train - mean, 0.0) ** 2).sum(axis=0) / count)
    spread = np.where(spread > _TINY, spread, 1.0)
    return lambda codes: np.nan_to_num((np.asarray(codes, np.float64) - mean) / spread)


def fit_classes(train: Array, labels: NDArray[np.integer], person: NDArray[np.integer]) -> Predict:
    """Return a multinomial logistic regression, its strength chosen on a fifth of the people.

    Args:
        train: codes. [N, D].
        labels: classes. [N].
        person: kept apart when the strength is chosen. [N].
    """
    fit, held = next(folds(person))

    def fitted(rows: NDArray[np.integer], strength: float) -> Predict:
        scale = scaled(train[rows])
        model = LogisticRegression(C=strength, max_iter=500, tol=1e-3)
        with warnings.catch_warnings():
            # One that has not quite settled is a little more regularised, no worse.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(scale(train[rows]), labels[rows])
        return lambda codes: np.asarray(model.predict(scale(codes)))

    right = [float(np.mean(fitted(fit, c)(train[held]) == labels[held])) for c in STRENGTHS]
    return fitted(np.arange(len(train)), STRENGTHS[int(np.argmax(right))])


def fit_numbers(train: Array, targets: Array, person: NDArray[np.integer]) -> Predict:
    """Return a ridge regression, a strength for each target chosen on a fifth of the people.

    Args:
        train: codes. [N, D].
        targets: [N, T].
        person: kept apart when the strengths are chosen. [N].
    """
    fit, held = next(folds(person))
    tried = _ridges(train[fit], targets[fit])
    errors = [
        ((tried(train[held], a) - targets[held]) ** 2).sum(axis=0) for a in range(len(ALPHAS))
    ]
    best = np.argmin(np.stack(errors), axis=0)
    whole = _ridges(train, targets)

    def predict(codes: Array) -> Array:
        found = np.empty((len(codes), targets.shape[1]))
        for a in np.unique(best):
            found[:, best == a] = whole(codes, int(a))[:, best == a]
        return found

    return predict


def _ridges(train: Array, targets: Array) -> Callable[[Array, int], Array]:
    """Return (codes, number of a strength) => predictions; one decomposition serves them all.

    w = V (S + α)⁻¹ Vᵀ Xᵀ y with Xᵀ X = V S Vᵀ.
    """
    scale, mean = scaled(train), targets.mean(axis=0)
    rows = scale(train)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    turned = vectors.T @ (rows.T @ (targets - mean))

    def predict(codes: Array, alpha: int) -> Array:
        weights = vectors @ (turned / (values.clip(0) + ALPHAS[alpha])[:, None])
        return scale(codes) @ weights + mean

    return predict


def person_space(train: Array, person: NDArray[np.integer]) -> Callable[[Array], Array]:
    """Return a linear map in which cosine tells people apart as well as the code allows.

    What varies within people is made white (WCCN: Hatch, Kajarekar and Stolcke 2006, with the
    covariance shrunk after Ledoit and Wolf), then each direction is weighted by how far people
    differ along it more than their frames do.

    Args:
        train: codes. [N, D].
        person: of the training rows, with several frames each. [N].

    Returns:
        Codes [M, D] => [M, D], rows of length 1.
    """
    scale = scaled(train)
    rows = scale(train)
    who, counts = np.unique(person, return_inverse=True, return_counts=True)[1:]
    means = np.stack([np.bincount(who, column) for column in rows.T], axis=1) / counts[:, None]
    within, _ = cast(tuple[Array, float], ledoit_wolf(rows - means[who], assume_centered=True))
    # A column without any spread (a code that is not there) must not be divided by.
    values, vectors = np.linalg.eigh(within)
    white = vectors / np.sqrt(values.clip(max(float(values.max()), _TINY) * 1e-6))
    between, directions = np.linalg.eigh(np.cov((means @ white).T).reshape(len(white), -1))
    excess = (between - (1 / counts).mean()).clip(0)
    turn = white @ directions * np.sqrt(excess / (1 + excess))

    def carried(codes: Array) -> Array:
        moved = scale(codes) @ turn
        return moved / np.linalg.norm(moved, axis=1, keepdims=True).clip(_TINY)

    return carried
