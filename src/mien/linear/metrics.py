"""Scores of classes and of numbers as pure functions of arrays, every argument by keyword.

Those of classes are of a confusion matrix: a bootstrap asks for them thousands of times, and
scikit-learn's, with which they agree, check and count their labels anew each time.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "accuracy",
    "balanced_accuracy",
    "binary_f1",
    "concordance",
    "confusion",
    "correlation",
    "macro_f1",
]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]
Flags = NDArray[np.bool_]


def confusion(*, prediction: Labels, target: Labels, classes: int) -> NDArray[np.int64]:
    """Return how often each class (row) was taken for each class (column). [C, C]."""
    cells = np.asarray(target) * classes + np.asarray(prediction)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Return the fraction of rows that were classified right, of a confusion matrix. 0 to 1."""
    return float(np.trace(matrix) / matrix.sum())


def balanced_accuracy(matrix: NDArray[np.int64]) -> float:
    """Return the mean of the classes' recalls, over the classes that occur. 0 to 1.

    What some papers call mean per-class recall, or average accuracy, is the same number.
    """
    there = matrix.sum(axis=1)
    return float((np.diag(matrix)[there > 0] / there[there > 0]).mean())


def macro_f1(matrix: NDArray[np.int64]) -> float:
    """Return the mean F1 over the classes that occur in the truth or the predictions. 0 to 1.

    F1 = 2 TP / (2 TP + FP + FN) of each class against all others.
    """
    either = matrix.sum(axis=0) + matrix.sum(axis=1)
    return float((2 * np.diag(matrix)[either > 0] / either[either > 0]).mean())


def binary_f1(*, prediction: Flags, target: Flags) -> float:
    """Return 2 TP / (2 TP + FP + FN) of two series of yes and no; 0 where neither has a yes."""
    both = int((prediction & target).sum())
    either = int(prediction.sum()) + int(target.sum())
    return 2 * both / either if either else 0.0


def correlation(*, prediction: Array, target: Array) -> float:
    """Return Pearson's correlation of two series. [N], [N]."""
    return float(np.corrcoef(prediction, target)[0, 1])


def concordance(*, prediction: Array, target: Array) -> float:
    """Return Lin's concordance correlation coefficient. -1 to 1; NaN where neither varies.

    CCC = 2 cov(p, t) / (var(p) + var(t) + (mean(p) - mean(t))^2): it is 1 only where the numbers
    themselves agree, not only their ups and downs.

    Args:
        prediction: p. [N].
        target: t. [N].
    """
    p, t = np.asarray(prediction, np.float64), np.asarray(target, np.float64)
    covariance = ((p - p.mean()) * (t - t.mean())).mean()
    total = p.var() + t.var() + (p.mean() - t.mean()) ** 2
    return float(2 * covariance / total) if total > 0 else float("nan")
