"""Linear probes on frozen codes, as docs/results.md reports them.

The classifier is regularised more than that of `mien.linear`: its numbers are kept comparable with
those of earlier releases.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.linear.metrics import correlation

__all__ = ["classify", "cross_validate", "regress"]

Array = NDArray[np.floating]

STRENGTHS = (1e-3, 1e-2)
"""Inverse regularisation of the classifier; chosen inside the training part, never on the test."""
RIDGE = 100.0
"""Regularisation of the regressor on standardised codes; fixed."""


def _classifier(strength: float) -> Pipeline:
    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=300))


def _choose(codes: Array, labels: NDArray[np.integer], groups: NDArray[np.integer]) -> float:
    """Pick the strength on one held-out fifth of the training people."""
    fit, held = next(GroupKFold(5).split(codes, labels, groups))
    scores = [
        _classifier(c).fit(codes[fit], labels[fit]).score(codes[held], labels[held])
        for c in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(scores))]


def classify(
    *,
    train: Array,
    train_labels: NDArray[np.integer],
    test: Array,
    test_labels: NDArray[np.integer],
    groups: NDArray[np.integer] | None = None,
) -> float:
    """Return a logistic regression's accuracy on the test rows.

    Args:
        train: codes. [N, D].
        train_labels: classes. [N].
        test: codes. [M, D].
        test_labels: classes. [M].
        groups: people of the training rows, kept apart when the strength is chosen. [N].
    """
    groups = np.arange(len(train)) if groups is None else groups
    strength = _choose(train, train_labels, groups)
    return float(_classifier(strength).fit(train, train_labels).score(test, test_labels))


def regress(*, train: Array, train_target: Array, test: Array, test_target: Array) -> float:
    """Return the correlation of a ridge regression's predictions with the truth."""
    ridge = make_pipeline(StandardScaler(), Ridge(alpha=RIDGE, solver="cholesky"))
    return correlation(prediction=ridge.fit(train, train_target).predict(test), target=test_target)


def cross_validate(
    *, codes: Array, labels: NDArray[Any], person: NDArray[np.integer], folds: int = 5
) -> Array:
    """Return the score of each fold: accuracy for integer labels, correlation for real ones.

    No person is in the training and the test part of a fold.
    """
    scores = []
    for fit, held in GroupKFold(folds).split(codes, labels, person):
        if np.issubdtype(labels.dtype, np.integer):
            score = classify(
                train=codes[fit],
                train_labels=labels[fit],
                test=codes[held],
                test_labels=labels[held],
                groups=person[fit],
            )
        else:
            score = regress(
                train=codes[fit],
                train_target=labels[fit],
                test=codes[held],
                test_target=labels[held],
            )
        scores.append(score)
    return np.array(scores)
