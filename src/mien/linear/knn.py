"""Nearest neighbours by cosine: what the codes say with no fitting but the choice of k."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.linear.heldout_logistic import accuracy, balanced_accuracy, confusion, held_out

__all__ = ["COUNTS", "knn_probabilities", "neighbour_votes"]

Array = NDArray[np.floating]
Labels = NDArray[np.integer]

COUNTS = (1, 5, 10, 20, 50, 100)
"""Numbers of neighbours to choose from."""
QUERIES = 4000
"""So many held-out rows, at most, are asked for the choice of k."""
BATCH = 1024


def neighbour_votes(
    *, gallery: Array, labels: Labels, queries: Array, classes: int, counts: tuple[int, ...]
) -> dict[int, NDArray[np.float64]]:
    """Return the shares of the classes among the k nearest rows, for every k.

    Near is a high cosine similarity. Between classes with as many votes the more similar one wins:
    each vote weighs 1 plus a thousandth of its similarity.

    Args:
        gallery: codes, centred by the caller. [N, D].
        labels: their classes. [N].
        queries: likewise centred. [M, D].
        classes: C.
        counts: numbers of neighbours; more than N are as good as N.

    Returns:
        Number of neighbours => shares, rows of which sum to 1. [M, C].
    """
    gallery, most = _unit(gallery), min(max(counts), len(gallery))
    votes = {count: np.zeros((len(queries), classes)) for count in counts}
    for start in range(0, len(queries), BATCH):
        part = slice(start, start + BATCH)
        similar = _unit(queries[part]) @ gallery.T
        near = np.argpartition(-similar, most - 1, axis=1)[:, :most]
        value = np.take_along_axis(similar, near, axis=1)
        order = np.argsort(-value, axis=1, kind="stable")
        near = np.take_along_axis(near, order, axis=1)
        weight = 1 + np.take_along_axis(value, order, axis=1) / 1000
        row = np.repeat(np.arange(len(near)), most).reshape(near.shape)
        for count in counts:
            into = votes[count][part]
            np.add.at(into, (row[:, :count], labels[near[:, :count]]), weight[:, :count])
            into /= into.sum(axis=1, keepdims=True)
    return votes


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
    """Return the shares of the classes among each test row's neighbours. [M, C].

    Codes are centred and scaled by the training rows first, which uses no labels; k is chosen on a
    held-out fifth of the training rows.

    Args:
        train: codes. [N, D].
        labels: classes. [N].
        test: codes. [M, D].
        classes: C.
        groups: people or clips of the training rows. [N].
        balanced: whether every class weighs the same when k is chosen.
        rng: draws the held-out rows.
    """
    middle, spread = train.mean(axis=0), train.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    train, test = (train - middle) / spread, (test - middle) / spread
    fit, held = held_out(labels=labels, groups=groups, rng=rng)
    held = rng.permutation(held)[:QUERIES]
    count = COUNTS[0]
    if len(fit) and len(held):
        judged = balanced_accuracy if balanced else accuracy
        votes = neighbour_votes(
            gallery=train[fit],
            labels=labels[fit],
            queries=train[held],
            classes=classes,
            counts=COUNTS,
        )
        scores = [
            judged(
                confusion(prediction=votes[k].argmax(axis=1), target=labels[held], classes=classes)
            )
            for k in COUNTS
        ]
        count = COUNTS[int(np.argmax(scores))]
    found = neighbour_votes(
        gallery=train, labels=labels, queries=test, classes=classes, counts=(count,)
    )
    return found[count]


def _unit(codes: Array) -> NDArray[np.float32]:
    length = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.asarray(codes / np.maximum(length, 1e-12), dtype=np.float32)
