"""Same-person decisions on pairs of codes: cosine, thresholds, curves and rates.

A pair is accepted as one person where its similarity is above a threshold t:

    TAR(t) = fraction of one person's pairs that are accepted
    FAR(t) = fraction of two people's pairs that are accepted
    EER    = FAR(t) where FAR(t) = 1 - TAR(t)

Between the thresholds that the data distinguish, FAR and TAR go in straight lines: that is the mean
over a random choice between two neighbouring thresholds. A pair with an image in which no face is
found has similarity -1 and is never accepted. scikit-learn has the curve and its area, not the
interpolated rates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import auc as area_under, roc_curve

from mien.linear.folds import over_folds, part_folds

__all__ = [
    "MISSING",
    "Folded",
    "FoldedPairs",
    "Roc",
    "auc",
    "best_threshold",
    "cosine",
    "decide_over_folds",
    "eer",
    "fold_similarity",
    "rank_1",
    "roc",
    "sample_pairs",
    "tar_at_far",
    "unit_rows",
]

Array = NDArray[np.floating]
Rows = NDArray[np.integer]
Bools = NDArray[np.bool_]

MISSING = -1.0
"""Similarity of a pair of which one image has no face."""
_SMALLEST = 1e-12


@dataclass(frozen=True, kw_only=True)
class FoldedPairs:
    """Pairs of images: P pairs of N images."""

    first: NDArray[np.int64]
    """Number of each pair's first image. [P]."""
    second: NDArray[np.int64]
    """Number of its second. [P]."""
    same: NDArray[np.bool_]
    """Whether it is one person. [P]."""
    fold: NDArray[np.int64]
    """0, 1, ... [P]."""

    def __len__(self) -> int:
        return len(self.first)

    def seen(self, found: Bools) -> Bools:
        """Return whether both images of each pair have a face. [N] => [P]."""
        return found[self.first] & found[self.second]

    def training_images(self, test: int, found: Bools) -> NDArray[np.int64]:
        """Return the images with a face in the pairs of all folds but one, each once. [K]."""
        others = self.fold != test
        rows = np.union1d(self.first[others], self.second[others]).astype(np.int64)
        return rows[found[rows]]


@dataclass(frozen=True)
class Roc:
    """The corners of the curve, from accepting nothing to accepting all. Each [K]."""

    far: Array
    """Fraction of two people's pairs that are accepted; never falls."""
    tar: Array
    """Fraction of one person's pairs that are accepted; never falls."""
    threshold: Array
    """Similarity from which pairs are accepted; inf at first, where none is."""


@dataclass(frozen=True)
class Folded:
    """Decisions on each fold by the threshold of the others."""

    correct: Bools
    """[P]."""
    threshold: Array
    """One a fold, in the folds' order. [F]."""
    accuracy: Array
    """Fraction of correct decisions in each fold. [F]."""


def unit_rows(*, codes: Array, mean: Array) -> NDArray[np.float64]:
    """Return codes less the mean, each brought to length 1 (one of length 0 stays). [N, D]."""
    centred = np.asarray(codes, dtype=np.float64) - mean
    return centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(_SMALLEST)


def cosine(*, codes: Array, mean: Array, first: Rows, second: Rows) -> NDArray[np.float64]:
    """Return the cosine of each pair's codes about a mean, -1 to 1. [P].

    Args:
        codes: of images. [N, D].
        mean: what is taken off first. [D].
        first: row of each pair's first image. [P].
        second: row of its second. [P].
    """
    unit = unit_rows(codes=codes, mean=mean)
    return np.einsum("pd,pd->p", unit[first], unit[second])


def fold_similarity(pairs: FoldedPairs, codes: Array, found: Bools) -> NDArray[np.float64]:
    """Return each pair's cosine, codes centred on the mean of the other folds' images. [P].

    Args:
        pairs: of images.
        codes: of images; NaN where there is no face. [N, D].
        found: whether an image has a face. [N].
    """
    out = np.full(len(pairs), MISSING)
    for test in np.unique(pairs.fold):
        rows = pairs.training_images(test, found)
        some = np.flatnonzero((pairs.fold == test) & pairs.seen(found))
        if len(rows) and len(some):
            mean = codes[rows].mean(axis=0, dtype=np.float64)
            first, second = pairs.first[some], pairs.second[some]
            out[some] = cosine(codes=codes, mean=mean, first=first, second=second)
    return out


def best_threshold(*, similarity: Array, same: Bools) -> float:
    """Return the threshold above which pairs are best called one person.

    It lies half-way between two similarities that occur; of several that are equally good the one
    in the middle is taken. It is never below -1: pairs without a face are never accepted.

    Args:
        similarity: [P].
        same: whether it is one person. [P].
    """
    values, group = np.unique(similarity, return_inverse=True)
    ones = np.bincount(group.reshape(-1), weights=same, minlength=len(values))
    twos = np.bincount(group.reshape(-1), weights=~same, minlength=len(values))
    # Entry k: all below values[k] are refused, the others accepted.
    refused_right = np.concatenate([[0.0], np.cumsum(twos)])
    accepted_right = np.concatenate([np.cumsum(ones[::-1])[::-1], [0.0]])
    between = np.concatenate([[MISSING], (values[:-1] + values[1:]) / 2, [values[-1] + 1]])
    right = refused_right + accepted_right
    if values[0] <= MISSING:  # none of these can be accepted
        right[0] = right[1]
        between[0] = between[1]
    best = np.flatnonzero(right == right.max())
    return float(between[best[(len(best) - 1) // 2]])


def decide_over_folds(pairs: FoldedPairs, similarity: Array) -> Folded:
    """Decide each fold's pairs by the best threshold of all other folds, similarities [P]."""
    folds, same = part_folds(pairs.fold), pairs.same
    thresholds = np.array(
        [best_threshold(similarity=similarity[train], same=same[train]) for train, _ in folds]
    )
    correct = over_folds(
        folds,
        lambda _, test, number: (similarity[test] > thresholds[number]) == same[test],
        count=len(same),
    )
    return Folded(correct, thresholds, np.array([correct[test].mean() for _, test in folds]))


def roc(*, similarity: Array, same: Bools) -> Roc:
    """Return the ROC curve, true over false match rate; ties are taken together.

    Args:
        similarity: [P].
        same: whether it is one person; both kinds occur. [P].
    """
    values = np.asarray(similarity, dtype=np.float64)
    return Roc(*roc_curve(same, values, drop_intermediate=False))


def auc(*, curve: Roc) -> float:
    """Return the area under the curve, 0 to 1: the chance that one person's pair is more alike."""
    return float(area_under(curve.far, curve.tar))


def tar_at_far(*, curve: Roc, far: float) -> tuple[float, float]:
    """Return the true match rate and the threshold at a false match rate.

    Args:
        curve: of `roc`.
        far: false match rate, 0 to 1; below one over the number of two people's pairs the answer
            rests on less than one pair.

    Returns:
        The rate, and the similarity (inf where nothing is accepted).
    """
    # Where the curve rises straight up, its upper end counts.
    below = int(np.searchsorted(curve.far, far, side="right")) - 1
    return float(np.interp(far, curve.far, curve.tar)), float(curve.threshold[below])


def eer(*, curve: Roc) -> float:
    """Return the rate at which false matches are as frequent as false non-matches, 0 to 1."""
    difference = curve.far - (1 - curve.tar)  # -1 at first, 1 at last, never falling
    after = int(np.argmax(difference >= 0))
    before = max(after - 1, 0)
    gap = difference[after] - difference[before]
    part = 0.0 if gap == 0 else -difference[before] / gap
    return float(curve.far[before] + part * (curve.far[after] - curve.far[before]))


def rank_1(*, codes: Array, found: Bools, person: Rows) -> tuple[NDArray[np.int64], Bools]:
    """Return who is found by the nearest image, among people with two images or more.

    Each person's first image is in the gallery, the others are looked for by cosine; codes are
    centred on the gallery's mean. Without a face an image is not found, nor finds anybody.

    Args:
        codes: of images; NaN where there is no face. [N, D].
        found: whether an image has a face. [N].
        person: of each image. [N].

    Returns:
        Rows of the images that were looked for, and whether the nearest is the right person;
        both empty where nobody has two images. Each [Q].
    """
    _, begins, number, count = np.unique(
        person, return_index=True, return_inverse=True, return_counts=True
    )
    number = number.reshape(-1)
    gallery = begins[count > 1]
    several = count[number] > 1
    several[gallery] = False
    probes = np.flatnonzero(several)
    correct = np.zeros(len(probes), dtype=bool)
    gallery = gallery[found[gallery]]
    if len(gallery) and len(probes):
        mean = codes[gallery].mean(axis=0, dtype=np.float64)
        seen = found[probes]
        unit = unit_rows(codes=codes[probes[seen]], mean=mean)
        closest = (unit @ unit_rows(codes=codes[gallery], mean=mean).T).argmax(axis=1)
        correct[seen] = person[gallery[closest]] == person[probes[seen]]
    return probes, correct


def sample_pairs(
    *, person: Rows, pairs: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64], Bools]:
    """Return `pairs` pairs of two frames of one person and as many of two people.

    Args:
        person: of each frame; some with several frames. [N].
        pairs: of each kind.
        rng: samples them.

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
