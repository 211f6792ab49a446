"""Folds of people: nobody stands on both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError

__all__ = ["folds_of_people"]

Rows = NDArray[np.int64]


def folds_of_people(person: NDArray[np.integer], count: int) -> tuple[tuple[Rows, Rows], ...]:
    """Return (training rows, test rows) of each fold: nobody is in both.

    Of the people in order of their numbers, the i-th is tested in fold i modulo `count`: the same
    folds whoever asks. With fewer people than folds, one person is tested in each.

    Raises:
        MienError: there are fewer than two people.
    """
    people, place = np.unique(person, return_inverse=True)
    if len(people) < 2:
        raise MienError(
            "images of at least two people are needed: to learn from one and test the other"
        )
    count = min(count, len(people))
    fold = place.reshape(-1) % count
    return tuple((np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(count))
