"""How well a label can be read off codes of other people, fold by fold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.linear.folds import FOLDS, balanced_folds
from mien.linear.logistic import fit_grouped
from mien.linear.metrics import correlation
from mien.linear.ridge import Ridge

__all__ = ["classify", "cross_validate"]

Array = NDArray[np.floating]
Whole = NDArray[np.integer]

FEW_STRENGTHS, RIDGE = (1e-3, 1e-2), 100.0
"""Inverse regularisation of `classify`; regularisation, fixed, of the regression beside it."""


def classify(
    *, train: Array, train_labels: Whole, test: Array, test_labels: Whole, groups: Whole | None
) -> float:
    """Return a logistic regression's accuracy on the test rows. 0 to 1.

    Args:
        train: codes. [N, D].
        train_labels: classes. [N].
        test: codes. [M, D].
        test_labels: classes. [M].
        groups: people of the training rows, kept apart when the strength is chosen; None: each row
            for itself. [N].
    """
    groups = np.arange(len(train)) if groups is None else groups
    model = fit_grouped(train, train_labels, groups, strengths=FEW_STRENGTHS, steps=300)
    return float(np.mean(model.predict(test) == test_labels))


def cross_validate(
    *, codes: Array, labels: NDArray[Any], person: Whole, folds: int = FOLDS
) -> NDArray[np.float64]:
    """Return the score of each fold: accuracy for integer labels, correlation for real ones. [F].

    Args:
        codes: [N, D].
        labels: [N].
        person: nobody stands on both sides of a fold. [N].
        folds: number of folds, F.
    """
    scores = []
    for fit, held in balanced_folds(person, folds):
        if np.issubdtype(labels.dtype, np.integer):
            score = classify(
                train=codes[fit],
                train_labels=labels[fit],
                test=codes[held],
                test_labels=labels[held],
                groups=person[fit],
            )
        else:
            predicted = Ridge.fit(codes[fit], labels[fit][:, None]).predict(codes[held], RIDGE)
            score = correlation(prediction=predicted[:, 0], target=labels[held])
        scores.append(score)
    return np.array(scores)
