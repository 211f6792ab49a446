"""Scores as pure functions of arrays; every argument by keyword, so that none can be swapped."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

__all__ = [
    "correlation",
    "draw_pairs",
    "masked_depth_correlation",
    "pair_cosine",
    "verification_auc",
]

Array = NDArray[np.floating]


def correlation(*, prediction: Array, target: Array) -> float:
    """Return Pearson's correlation of two series. [N], [N]."""
    return float(np.corrcoef(prediction, target)[0, 1])


def masked_depth_correlation(*, prediction: Array, target: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the correlation of two depth maps inside each image's mask. [N].

    Args:
        prediction: canonical depth. [N, H, W].
        target: true depth, any unit and offset. [N, H, W].
        mask: pixels of the face. [N, H, W].
    """
    return np.array(
        [
            correlation(prediction=p[m], target=t[m])
            for p, t, m in zip(prediction, target, mask, strict=True)
        ]
    )


def draw_pairs(
    *, person: NDArray[np.integer], pairs: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return `pairs` pairs of two frames of one person and as many of two people.

    Returns:
        First rows, second rows, and whether each pair is one person. Each [2 pairs].
    """
    rows_of = {p: np.flatnonzero(person == p) for p in np.unique(person)}
    several = [p for p, rows in rows_of.items() if len(rows) > 1]
    people = np.array(list(rows_of))
    first, second = [], []
    for p in rng.choice(several, pairs):
        a, b = rng.choice(rows_of[p], 2, replace=False)
        first.append(a)
        second.append(b)
    for _ in range(pairs):
        p, q = rng.choice(people, 2, replace=False)
        first.append(rng.choice(rows_of[p]))
        second.append(rng.choice(rows_of[q]))
    same = np.repeat([True, False], pairs)
    return np.array(first), np.array(second), same


def pair_cosine(*, codes: Array, first: NDArray[np.integer], second: NDArray[np.integer]) -> Array:
    """Return the cosine similarity of pairs of rows, centred on the mean of all rows. [P].

    Args:
        codes: one row a frame. [N, D].
        first: rows. [P].
        second: their partners. [P].
    """
    centred = codes - codes.mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-12)
    return (unit[first] * unit[second]).sum(axis=1)


def verification_auc(
    *, codes: Array, person: NDArray[np.integer], pairs: int = 5000, rng: np.random.Generator
) -> float:
    """Return the area under the ROC curve of same-person decisions by cosine similarity.

    Codes are centred on their mean over the given rows first, which uses no labels.

    Args:
        codes: one row a frame. [N, D].
        person: who it is. [N].
        pairs: of each kind.
        rng: draws the pairs.
    """
    first, second, same = draw_pairs(person=person, pairs=pairs, rng=rng)
    return float(roc_auc_score(same, pair_cosine(codes=codes, first=first, second=second)))
