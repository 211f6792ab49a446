"""Multinomial logistic regression on standardised codes, and how its strength is chosen."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from mien.linear.folds import Fold, balanced_folds, held_out, over_folds, part_folds
from mien.linear.metrics import accuracy, balanced_accuracy, confusion
from mien.linear.model import Linear, standards, without_unknown

__all__ = [
    "PATH_STRENGTHS",
    "STRENGTHS",
    "best_strength",
    "classification",
    "fit_grouped",
    "fit_linear",
    "fit_logistic",
    "linear_probabilities",
    "probabilities",
]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Labels = NDArray[np.integer]

STRENGTHS = (3.0, 30.0, 300.0)
"""Inverse regularisation times the number of rows, to choose from. Divided by the number of rows so
that 300 rows and 300,000 are regularised alike."""
STEPS = 200
"""Iterations of the solver. A fit that has not converged by then is a little more regularised, and
is judged as such on held-out rows; so the warning is left out."""

PATH_STRENGTHS = (10.0, 1.0, 0.1, 0.01, 0.001)
"""Of `classification`, the strongest first: a fit begins where the one before ended, and of equals
the strongest is taken."""
_GRADIENT = 1e-4
_LOWEST_PROBABILITY = 1e-3
"""No right class counts as less probable than this: one mistake must not decide the strength."""
_NEVER = -50.0
"""Log-odds of a class that no sample has."""


def fit_logistic(
    features: Floats,
    labels: Labels | NDArray[np.bool_],
    *,
    c: float,
    balanced: bool = False,
    steps: int = STEPS,
    tolerance: float = 1e-4,
) -> Pipeline:
    """Fit a logistic regression to standardised features, NaN taken for the mean.

    Args:
        features: [N, D].
        labels: two classes or more. [N].
        c: inverse regularisation, as in scikit-learn.
        balanced: whether every class weighs the same.
        steps: iterations of the solver.
        tolerance: of the gradient.
    """
    weight = "balanced" if balanced else None
    model = LogisticRegression(C=c, max_iter=steps, tol=tolerance, class_weight=weight)
    known = FunctionTransformer(np.nan_to_num)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # see STEPS
        pipeline = make_pipeline(StandardScaler(), known, model)
        return pipeline.fit(without_unknown(features), labels)


def fit_linear(
    *, codes: Floats, labels: Labels, strength: float, balanced: bool = False
) -> Pipeline:
    """Fit the linear probe of the protocols.

    Args:
        codes: [N, D].
        labels: two classes or more. [N].
        strength: inverse regularisation times N, as in `STRENGTHS`.
        balanced: whether every class weighs the same.
    """
    return fit_logistic(codes, labels, c=strength / len(codes), balanced=balanced)


def probabilities(probe: Pipeline, codes: Floats, classes: int) -> Array:
    """Return the probability of each class, 0 for those that were not in training. [N, C]."""
    chance = np.zeros((len(codes), classes))
    chance[:, probe.classes_] = probe.predict_proba(codes)
    return chance


def linear_probabilities(
    *,
    train: Floats,
    labels: Labels,
    test: Floats,
    classes: int,
    groups: Labels | None = None,
    balanced: bool = False,
    rng: np.random.Generator,
) -> Array:
    """Return the probabilities that a linear probe gives the test rows. [M, C].

    Its strength is chosen on a fifth of the training rows; then it is fitted to all of them.

    Args:
        train: codes. [N, D].
        labels: classes, 0 to C - 1. [N].
        test: codes. [M, D].
        classes: C.
        groups: people or clips of the training rows, kept apart when the strength is chosen. [N].
        balanced: whether every class weighs the same, in fitting and in choosing.
        rng: chooses the held-out fifth.
    """
    split = held_out(labels=labels, groups=groups, rng=rng)
    strength = STRENGTHS[len(STRENGTHS) // 2]
    if len(split[1]) and len(np.unique(labels[split[0]])) > 1:
        strength = best_strength(
            codes=train, labels=labels, classes=classes, folds=(split,), balanced=balanced
        )
    probe = fit_linear(codes=train, labels=labels, strength=strength, balanced=balanced)
    return probabilities(probe, test, classes)


def best_strength(
    *,
    codes: Floats,
    labels: Labels,
    classes: int,
    folds: Sequence[Fold],
    balanced: bool = False,
) -> float:
    """Return the strength of `STRENGTHS` with the best accuracy on the rows that folds test.

    Args:
        codes: [N, D].
        labels: classes, 0 to C - 1. [N].
        classes: C.
        folds: where one class alone is left to fit to, class 0 is predicted.
        balanced: whether every class weighs the same, in fitting and in choosing.
    """
    tested = np.concatenate([test for _, test in folds])
    score = balanced_accuracy if balanced else accuracy

    def held_out_score(strength: float) -> float:
        def predict(train: Labels, test: Labels, _: int) -> Labels:
            if len(np.unique(labels[train])) < 2:
                return np.zeros(len(test), dtype=np.int64)
            probe = fit_linear(
                codes=codes[train], labels=labels[train], strength=strength, balanced=balanced
            )
            return probabilities(probe, codes[test], classes).argmax(axis=1)

        predicted = over_folds(folds, predict, count=len(labels))[tested]
        return score(confusion(prediction=predicted, target=labels[tested], classes=classes))

    return max(STRENGTHS, key=held_out_score)


def fit_grouped(
    train: Floats, labels: Labels, groups: Labels, *, strengths: Sequence[float], **options: Any
) -> Pipeline:
    """Fit a logistic regression whose strength is chosen on a fifth of the groups.

    Args:
        train: codes. [N, D].
        labels: classes. [N].
        groups: people, at least five, kept apart when the strength is chosen. [N].
        strengths: values of `c` to choose from.
        options: of `fit_logistic`.
    """
    fit, held = balanced_folds(groups)[0]

    def held_out_score(c: float) -> float:
        model = fit_logistic(train[fit], labels[fit], c=c, **options)
        return float(np.mean(model.predict(train[held]) == labels[held]))

    return fit_logistic(train, labels, c=max(strengths, key=held_out_score), **options)


def classification(codes: Floats, labels: Labels, classes: int, part: Labels) -> Linear:
    """Return the softmax regression whose strength has the least log-loss on parts left out.

    It is ours because scikit-learn's has no column for a class that the rows lack, penalises two
    classes in another measure than three, and does not choose by a log-loss with a floor.

    Args:
        codes: [N, F].
        labels: classes, 0 to K - 1; those that no row has are never predicted. [N].
        classes: K.
        part: which rows are left out together, at least two parts. [N].
    """
    mean, std = standards(codes)
    scale = std * np.sqrt(codes.shape[1])
    features = (codes - mean) / scale
    # Weights lie in the span of the rows: with few rows few numbers are to be found.
    wide = features.shape[0] < features.shape[1]
    right = np.linalg.svd(features, full_matrices=False)[2].T if wide else None
    inputs = features if right is None else features @ right
    strength = _chosen(inputs, labels, classes, part)
    weights, intercept = _path(inputs, labels, classes, (strength,))[0]
    full = weights if right is None else right @ weights
    return Linear(mean, scale, full, intercept, strength)


def _chosen(inputs: Array, labels: Labels, classes: int, part: Labels) -> float:
    loss = np.zeros(len(PATH_STRENGTHS))
    for rest, held in part_folds(part):
        fits = _path(inputs[rest], labels[rest], classes, PATH_STRENGTHS)
        for i, (weights, intercept) in enumerate(fits):
            logits = inputs[held] @ weights + intercept
            logits -= logits.max(axis=1, keepdims=True)
            right = logits[np.arange(len(held)), labels[held]]
            chance = np.exp(right) / np.exp(logits).sum(axis=1)
            loss[i] -= np.log(np.maximum(chance, _LOWEST_PROBABILITY)).sum()
    return PATH_STRENGTHS[int(np.argmin(loss))]


def _path(
    inputs: Array, labels: Labels, classes: int, strengths: tuple[float, ...]
) -> list[tuple[Array, Array]]:
    """Return weights [r, K] and intercepts [K] for every strength.

    Args:
        inputs: [N, r].
        labels: classes. [N].
        classes: K.
        strengths: each fit begins where the one before ended.
    """
    there, number = np.unique(labels, return_inverse=True)
    size = inputs.shape[1]
    with_one = np.hstack([inputs, np.ones((len(inputs), 1))])
    truth = np.eye(len(there))[number.reshape(-1)]
    start = np.zeros((size + 1) * len(there))
    found = []
    for strength in strengths:
        fit = minimize(
            _loss,
            start,
            args=(with_one, truth, strength),
            method="L-BFGS-B",
            jac=True,
            options={"maxiter": STEPS, "gtol": _GRADIENT, "maxfun": 2 * STEPS},
        )
        start = fit.x
        table = start.reshape(size + 1, len(there))
        weights, offsets = np.zeros((size, classes)), np.full(classes, _NEVER)
        weights[:, there], offsets[there] = table[:-1], table[-1]
        found.append((weights, offsets))
    return found


def _loss(flat: Array, inputs: Array, truth: Array, strength: float) -> tuple[float, Array]:
    """Return the penalised log-loss, a row, and its gradient.

    (sum_n -log softmax(W' x_n)_right + strength / 2 |W|^2) / N, the intercepts, which are the last
    row of W, not penalised.

    Args:
        flat: W. [(r + 1) K].
        inputs: x, the last column 1. [N, r + 1].
        truth: 1 for the right class, 0 for the others. [N, K].
        strength: of the penalty.
    """
    weights = flat.reshape(inputs.shape[1], -1)
    logits = inputs @ weights
    logits -= logits.max(axis=1, keepdims=True)
    odds = np.exp(logits)
    total = odds.sum(axis=1, keepdims=True)
    penalty = strength * weights
    penalty[-1] = 0
    loss = np.log(total).sum() - (logits * truth).sum() + (penalty * weights).sum() / 2
    gradient = inputs.T @ (odds / total - truth) + penalty
    return float(loss) / len(inputs), gradient.ravel() / len(inputs)
