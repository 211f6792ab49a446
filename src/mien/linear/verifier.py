"""A linear verifier that is trained on pairs: with labels, so never to be compared with cosine.

With a and b a pair's codes, centred and brought to length 1 (both by the training folds),

    p(one person) = sigmoid(w . [|a - b|, a * b] + c)

w and c by logistic regression; its strength is chosen on a third of the training folds.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.evaluate.tasks.verification_metrics import training_images, unit_rows

__all__ = ["WIDEST", "pair_features", "trained_decisions"]

Array = NDArray[np.floating]
Rows = NDArray[np.integer]
Bools = NDArray[np.bool_]

STRENGTHS = (1e-4, 1e-3, 1e-2)
"""Inverse regularisation on features of unit spread; chosen inside the training folds."""
WIDEST = 1024
"""Wider codes are first projected at random to this width, which keeps distances nearly as they
are: a regression on tens of thousands of columns would take hours."""


def pair_features(*, first: Array, second: Array) -> Array:
    """Return [|a - b|, a * b] of two codes, which does not depend on their order. [P, 2 D]."""
    return np.concatenate([np.abs(first - second), first * second], axis=1)


def trained_decisions(
    *,
    codes: Array,
    found: Bools,
    first: Rows,
    second: Rows,
    same: Bools,
    fold: Rows,
    rng: np.random.Generator,
) -> Bools:
    """Return whether each pair is called one person by the verifier of the other folds. [P].

    Args:
        codes: of images; NaN where there is no face. [N, D].
        found: whether an image has a face; a pair without is "two people" and trains nothing. [N].
        first: row of each pair's first image. [P].
        second: row of its second. [P].
        same: whether it is one person. [P].
        fold: of each pair. [P].
        rng: draws the projection of codes wider than `WIDEST`.
    """
    if codes.shape[1] > WIDEST:
        codes = codes @ (rng.standard_normal((codes.shape[1], WIDEST)) / WIDEST**0.5)
    seen = found[first] & found[second]
    decided = np.zeros(len(same), dtype=bool)
    for test in np.unique(fold):
        rows = training_images(first=first, second=second, fold=fold, test=test, found=found)
        train = np.flatnonzero((fold != test) & seen)
        tested = np.flatnonzero((fold == test) & seen)
        if len(np.unique(same[train])) < 2 or not len(tested):
            continue
        unit = unit_rows(codes=codes, mean=codes[rows].mean(axis=0, dtype=np.float64))
        features = pair_features(first=unit[first], second=unit[second])
        strength = _choose(features[train], same[train], fold[train])
        fitted = _fitted(strength, features[train], same[train])
        decided[tested] = fitted.predict(features[tested])
    return decided


def _choose(features: Array, same: Bools, fold: Rows) -> float:
    """Return the strength that does best on a third of the folds, fitted to the others."""
    folds = np.unique(fold)
    held = np.isin(fold, folds[::3]) if len(folds) > 1 else np.arange(len(same)) % 3 == 0
    if len(np.unique(same[~held])) < 2:
        return STRENGTHS[0]
    scores = [
        float(
            np.mean(_fitted(c, features[~held], same[~held]).predict(features[held]) == same[held])
        )
        for c in STRENGTHS
    ]
    return STRENGTHS[int(np.argmax(scores))]


def _fitted(strength: float, features: Array, same: Bools) -> Pipeline:
    model = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=200))
    with warnings.catch_warnings():
        # The last digits of the weights are of no consequence to a decision.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(features, same)
