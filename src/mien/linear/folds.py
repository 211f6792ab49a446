"""Splits of rows into what is fitted and what is tested; groups (people, clips) stay whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import GroupKFold

from mien.errors import MienError

__all__ = [
    "FOLDS",
    "Fold",
    "balanced_folds",
    "folds_of_people",
    "group_parts",
    "held_out",
    "over_folds",
    "part_folds",
    "stratified_parts",
]

Rows = NDArray[np.int64]
Whole = NDArray[np.integer]
Fold = tuple[Rows, Rows]
"""Training rows and test rows."""

FOLDS = 5
HELD_OUT = 0.2
"""Fraction of the rows, or of the groups, that a strength is chosen on."""


def over_folds(
    folds: Iterable[Fold], predict: Callable[[Rows, Rows, int], NDArray[Any]], *, count: int
) -> NDArray[Any]:
    """Return what is predicted of each row by a model that was not fitted to it. [N, ...].

    Args:
        folds: no row is tested twice; at least one fold.
        predict: training rows, test rows and the fold's number => predictions of the test rows.
        count: N. Rows that no fold tests are 0.
    """
    out: NDArray[Any] | None = None
    for number, (train, test) in enumerate(folds):
        predicted = predict(train, test, number)
        if out is None:
            out = np.zeros((count, *predicted.shape[1:]), dtype=predicted.dtype)
        out[test] = predicted
    if out is None:
        raise ValueError("there are no folds")
    return out


def folds_of_people(person: Whole, count: int) -> tuple[Fold, ...]:
    """Return (training rows, test rows) of each fold: nobody is in both.

    Of the people in order of their numbers, the i-th is tested in fold i modulo `count`: the same
    folds whoever asks, which is what published cross-subject protocols need. With fewer people
    than folds, one person is tested in each.

    Args:
        person: whose row it is. [N].
        count: of folds.

    Raises:
        MienError: there are fewer than two people.
    """
    people, place = np.unique(person, return_inverse=True)
    if len(people) < 2:
        raise MienError(
            "images of at least two people are needed: to learn from one and test the other"
        )
    count = min(count, len(people))
    return part_folds(place.reshape(-1) % count)


def balanced_folds(groups: Whole, count: int = FOLDS) -> tuple[Fold, ...]:
    """Return folds of about as many rows each; no group is on both sides of one.

    Args:
        groups: of each row, at least `count` different ones. [N].
        count: of folds.
    """
    return tuple(GroupKFold(count).split(groups, groups=groups))


def held_out(*, labels: Whole, groups: Whole | None, rng: np.random.Generator) -> Fold:
    """Split rows into four fifths to fit to and a fifth to choose a strength by.

    Groups stay together; without groups, or if there is only one, every class gives its fifth (but
    never its last row).

    Args:
        labels: classes. [N].
        groups: people or clips. [N].
        rng: shuffles.

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


def part_folds(part: Whole) -> tuple[Fold, ...]:
    """Return the folds that test one part after another, in order of their numbers.

    Args:
        part: number of the part that each row is in. [N].
    """
    return tuple((np.flatnonzero(part != k), np.flatnonzero(part == k)) for k in np.unique(part))


def group_parts(
    *, labels: NDArray[Any], groups: Whole, count: int, rng: np.random.Generator
) -> Rows:
    """Return the number of the part that each row is in: groups whole, labels spread evenly. [N].

    Args:
        labels: classes, or numbers. [N].
        groups: what stays together. One group alone is divided. [N].
        count: of parts; fewer if there are fewer groups.
        rng: shuffles.
    """
    number = np.unique(groups, return_inverse=True)[1].reshape(-1)
    if number.max(initial=0) == 0:
        number = np.arange(len(labels))
    means = np.bincount(number, labels) / np.bincount(number)
    shuffled = rng.permutation(len(means))
    ordered = shuffled[np.argsort(means[shuffled], kind="stable")]
    part = np.empty(len(means), dtype=np.int64)
    part[ordered] = np.arange(len(means)) % min(count, len(means))
    return part[number]


def stratified_parts(*, labels: Whole, count: int, rng: np.random.Generator) -> Rows:
    """Return the number of the part that each row is in; each class fills all parts evenly. [N].

    Args:
        labels: classes. [N].
        count: of parts.
        rng: shuffles.
    """
    part = np.zeros(len(labels), dtype=np.int64)
    for name in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == name))
        part[rows] = np.arange(len(rows)) % count
    return part
