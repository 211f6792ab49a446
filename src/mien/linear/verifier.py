"""A linear verifier that is trained on pairs: with labels, so never to be compared with cosine.

With a and b a pair's codes, centred and brought to length 1 (both by the training folds),

    p(one person) = sigmoid(w . [|a - b|, a * b] + c)

w and c by logistic regression; its strength is chosen on a third of the training folds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.pipeline import Pipeline

from mien.linear.folds import over_folds, part_folds
from mien.linear.logistic import fit_logistic
from mien.linear.verification import FoldedPairs, unit_rows

__all__ = ["WIDEST", "pair_features", "trained_decisions"]

Array = NDArray[np.floating]
Rows = NDArray[np.integer]
Bools = NDArray[np.bool_]

STRENGTHS = (1e-4, 1e-3, 1e-2)
"""Inverse regularisation of the verifier on standardised features; chosen inside the training
folds."""
WIDEST = 1024
"""Wider codes are first projected at random to this width, which keeps distances nearly as they
are: a regression on tens of thousands of columns would take hours."""


def pair_features(*, first: Array, second: Array) -> Array:
    """Return [|a - b|, a * b] of two codes, which does not depend on their order. [P, 2 D]."""
    return np.concatenate([np.abs(first - second), first * second], axis=1)


def trained_decisions(
    pairs: FoldedPairs, codes: Array, found: Bools, rng: np.random.Generator
) -> Bools:
    """Return whether each pair is accepted as one person by the verifier of the other folds. [P].

    Args:
        pairs: of images.
        codes: of images; NaN where there is no face. [N, D].
        found: whether an image has a face; a pair without is "two people" and trains nothing. [N].
        rng: samples the projection of codes wider than `WIDEST`.
    """
    if codes.shape[1] > WIDEST:
        codes = codes @ (rng.standard_normal((codes.shape[1], WIDEST)) / WIDEST**0.5)
    same, fold, seen = pairs.same, pairs.fold, pairs.seen(found)

    def decide(train: Rows, test: Rows, number: int) -> Bools:
        decided = np.zeros(len(test), dtype=bool)
        images = pairs.training_images(int(names[number]), found)
        train, tested = train[seen[train]], seen[test]
        if len(np.unique(same[train])) < 2 or not tested.any():
            return decided
        unit = unit_rows(codes=codes, mean=codes[images].mean(axis=0, dtype=np.float64))
        features = pair_features(first=unit[pairs.first], second=unit[pairs.second])
        verifier = _verifier(features[train], same[train], fold[train])
        decided[tested] = verifier.predict(features[test[tested]])
        return decided

    names = np.unique(fold)
    return over_folds(part_folds(fold), decide, count=len(same))


def _verifier(features: Array, same: Bools, fold: Rows) -> Pipeline:
    """Fit a verifier; the strength is that which does best on a third of the folds."""
    names = np.unique(fold)
    held = np.isin(fold, names[::3]) if len(names) > 1 else np.arange(len(same)) % 3 == 0

    def held_out_score(c: float) -> float:
        model = fit_logistic(features[~held], same[~held], c=c)
        return float(np.mean(model.predict(features[held]) == same[held]))

    several = len(np.unique(same[~held])) > 1
    strength = max(STRENGTHS, key=held_out_score) if several else STRENGTHS[0]
    return fit_logistic(features, same, c=strength)
