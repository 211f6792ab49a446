"""Same-person decisions on sampled pairs of frames, by cosine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mien.linear.verification import cosine, sample_pairs

__all__ = ["pair_cosine", "verification_auc"]

Array = NDArray[np.floating]
Rows = NDArray[np.integer]


def pair_cosine(*, codes: Array, first: Rows, second: Rows) -> NDArray[np.float64]:
    """Return the cosine similarity of pairs of rows, centred on the mean of all rows. [P].

    Args:
        codes: one row a frame. [N, D].
        first: rows. [P].
        second: their partners. [P].
    """
    return cosine(codes=codes, mean=codes.mean(axis=0), first=first, second=second)


def verification_auc(
    *, codes: Array, person: Rows, pairs: int = 5000, rng: np.random.Generator
) -> float:
    """Return the area under the ROC curve of same-person decisions by cosine similarity.

    Codes are centred on their mean over the given rows first, which uses no labels.

    Args:
        codes: one row a frame. [N, D].
        person: who it is. [N].
        pairs: of each kind.
        rng: samples the pairs.
    """
    first, second, same = sample_pairs(person=person, pairs=pairs, rng=rng)
    return float(roc_auc_score(same, pair_cosine(codes=codes, first=first, second=second)))
