"""Nearest neighbours by cosine: what the codes hold with no fitting but the choice of k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from mien.linear.folds import held_out
from mien.linear.metrics import accuracy, balanced_accuracy, confusion
from mien.linear.model import scaled, standards

__all__ = ["COUNTS", "knn_probabilities", "neighbour_votes"]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

COUNTS = (1, 5, 10, 20, 50, 100)
"""Numbers of neighbours to choose from."""
QUERIES = 4000
"""At most so many held-out rows are queried for the choice of k."""


def neighbour_votes(
    *, gallery: Array, labels: Labels, queries: Array, classes: int, counts: tuple[int, ...]
) -> dict[int, NDArray[np.float64]]:
    """Return the fractions of the classes among the k nearest rows, for every k.

    Near is a high cosine similarity. Between classes with as many votes the more similar one wins:
    each vote weighs 1 plus a thousandth of its similarity. The neighbours are scikit-learn's, found
    once for all k; `KNeighborsClassifier` would look for them again for each.

    Args:
        gallery: codes, centred by the caller. [N, D].
        labels: their classes. [N].
        queries: likewise centred. [M, D].
        classes: C.
        counts: numbers of neighbours; more than N are as good as N.

    Returns:
        Number of neighbours => fractions, rows of which sum to 1. [M, C].
    """
    search = NearestNeighbors(n_neighbors=min(max(counts), len(gallery)), metric="cosine")
    search.fit(np.asarray(gallery, dtype=np.float32))
    distance, near = search.kneighbors(np.asarray(queries, dtype=np.float32))
    weight, found = 1 + (1 - distance.astype(np.float64)) / 1000, labels[near]
    votes = {count: np.empty((len(queries), classes)) for count in counts}
    for name in range(classes):
        of_class = np.where(found == name, weight, 0.0)
        for count in counts:
            votes[count][:, name] = of_class[:, :count].sum(axis=1)
    return {count: sums / sums.sum(axis=1, keepdims=True) for count, sums in votes.items()}


def knn_probabilities(
    *,
    train: Array,
    labels: Labels,
    test: Array,
    classes: int,
    groups: Labels | None = None,
    balanced: bool = False,
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Return the fractions of the classes among each test row's neighbours. [M, C].

    Codes are standardised by the training rows first, which uses no labels; k is chosen on a
    held-out fifth of the training rows.

    Args:
        train: codes. [N, D].
        labels: classes. [N].
        test: codes. [M, D].
        classes: C.
        groups: people or clips of the training rows. [N].
        balanced: whether every class weighs the same when k is chosen.
        rng: chooses the held-out rows.
    """
    mean, std = standards(train)
    train, test = scaled(train, mean, std), scaled(test, mean, std)
    fit, held = held_out(labels=labels, groups=groups, rng=rng)
    held = rng.permutation(held)[:QUERIES]
    best = COUNTS[0]
    if len(fit) and len(held):
        score = balanced_accuracy if balanced else accuracy
        votes = neighbour_votes(
            gallery=train[fit],
            labels=labels[fit],
            queries=train[held],
            classes=classes,
            counts=COUNTS,
        )

        def held_out_score(count: int) -> float:
            predicted = votes[count].argmax(axis=1)
            return score(confusion(prediction=predicted, target=labels[held], classes=classes))

        best = max(COUNTS, key=held_out_score)
    return neighbour_votes(
        gallery=train, labels=labels, queries=test, classes=classes, counts=(best,)
    )[best]
