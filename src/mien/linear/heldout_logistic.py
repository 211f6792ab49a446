"""A frozen linear probe of classes, and what its confusions are worth.

The probe is a multinomial logistic regression on standardised codes. How strongly it is held back
is chosen on a fifth of the training rows; then it is fitted to all of them.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

__all__ = [
    "STRENGTHS",
    "accuracy",
    "balanced_accuracy",
    "confusion",
    "fit_linear",
    "held_out",
    "linear_probabilities",
    "macro_f1",
    "probabilities",
]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

STRENGTHS = (3.0, 30.0, 300.0)
"""Inverse regularisation times the number of rows, to choose from. Divided by the number of rows so
that 300 rows and 300,000 are held back alike."""
ROUNDS = 200
"""Steps of the solver. Where the weakest regularisation is not done by then it is stopped: that
holds the probe back a little more and changes nothing else."""
HELD_OUT = 0.2


def confusion(*, prediction: Labels, target: Labels, classes: int) -> NDArray[np.int64]:
    """Return how often each class (row) was taken for each class (column). [C, C]."""
    cells = np.asarray(target) * classes + np.asarray(prediction)
    return np.bincount(cells, minlength=classes * classes).reshape(classes, classes)


def accuracy(matrix: NDArray[np.int64]) -> float:
    """Return the share of rows that were told right, of a confusion matrix. 0 to 1."""
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


def held_out(
    *, labels: Labels, groups: Labels | None, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split rows into four fifths to fit to and a fifth to choose by.

    Groups stay together; without groups, or if there is only one, every class gives its fifth (but
    never its last row).

    Args:
        labels: classes. [N].
        groups: people or clips. [N].
        rng: draws.

    Returns:
        Numbers of the rows to fit to and of those to choose by, both sorted.
    """
    chosen = np.zeros(len(labels), dtype=bool)
    if groups is not None and len(parts := np.unique(groups)) > 1:
        taken = rng.permutation(parts)[: max(1, round(HELD_OUT * len(parts)))]
        chosen = np.isin(groups, taken)
    else:
        for name in np.unique(labels):
            rows = rng.permutation(np.flatnonzero(labels == name))
            chosen[rows[: min(max(1, round(HELD_OUT * len(rows))), len(rows) - 1)]] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def fit_linear(
    *, codes: Array, labels: Labels, strength: float, balanced: bool = False
) -> Pipeline:
    """Fit the probe.

    Args:
        codes: [N, D].
        labels: two classes or more. [N].
        strength: inverse regularisation times N, as in `STRENGTHS`.
        balanced: whether every class weighs the same.
    """
    weight = "balanced" if balanced else None
    regression = LogisticRegression(C=strength / len(codes), max_iter=ROUNDS, class_weight=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see ROUNDS
        return make_pipeline(StandardScaler(), regression).fit(codes, labels)


def probabilities(probe: Pipeline, codes: Array, classes: int) -> NDArray[np.float64]:
    """Return the probability of each class, 0 for those that it was not shown. [N, C]."""
    chance = np.zeros((len(codes), classes))
    chance[:, probe.classes_] = probe.predict_proba(codes)
    return chance


def linear_probabilities(
    *,
    train: Array,
    labels: Labels,
    test: Array,
    classes: int,
    groups: Labels | None = None,
    balanced: bool = False,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return what a linear probe says of the test rows. [M, C].

    Args:
        train: codes. [N, D].
        labels: classes, 0 to C - 1. [N].
        test: codes. [M, D].
        classes: C.
        groups: people or clips of the training rows, kept apart when the strength is chosen. [N].
        balanced: whether every class weighs the same, in fitting and in choosing.
        rng: draws the held-out fifth.
    """
    fit, held = held_out(labels=labels, groups=groups, rng=rng)
    strength = STRENGTHS[len(STRENGTHS) // 2]
    if len(held) and len(np.unique(labels[fit])) > 1:
        judged = balanced_accuracy if balanced else accuracy
        scores = []
        for candidate in STRENGTHS:
            probe = fit_linear(
                codes=train[fit], labels=labels[fit], strength=candidate, balanced=balanced
            )
            said = probabilities(probe, train[held], classes).argmax(axis=1)
            scores.append(judged(confusion(prediction=said, target=labels[held], classes=classes)))
        strength = STRENGTHS[int(np.argmax(scores))]
    probe = fit_linear(codes=train, labels=labels, strength=strength, balanced=balanced)
    return probabilities(probe, test, classes)
