"""Scores of same-person decisions as pure functions of arrays; every argument by keyword.

A pair is accepted as one person where its similarity is above a threshold t:

    TAR(t) = share of one person's pairs that are accepted
    FAR(t) = share of two people's pairs that are accepted
    EER    = FAR(t) where FAR(t) = 1 - TAR(t)

Between the thresholds that the data tell apart, FAR and TAR go in straight lines: that is the mean
over a random choice between two neighbouring thresholds. A pair with an image in which no face is
found has similarity -1 and is never accepted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "MISSING",
    "Folded",
    "Roc",
    "area",
    "at_false_accepts",
    "best_threshold",
    "cosine",
    "equal_error",
    "fold_similarity",
    "nearest",
    "over_folds",
    "roc",
    "training_images",
    "unit_rows",
]

Array = NDArray[np.floating]
Rows = NDArray[np.integer]
Bools = NDArray[np.bool_]

MISSING = -1.0
"""Similarity of a pair of which one image has no face."""
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Roc:
    """The corners of the curve, from accepting nothing to accepting all. Each [K]."""

    far: Array
    """Share of two people's pairs that are accepted; never falls."""
    tar: Array
    """Share of one person's pairs that are accepted; never falls."""
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
    """Share of correct decisions in each fold. [F]."""


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


def training_images(
    *, first: Rows, second: Rows, fold: Rows, test: int, found: Bools
) -> NDArray[np.int64]:
    """Return the images with a face in the pairs of all folds but one, each once. [K]."""
    others = fold != test
    rows = np.union1d(first[others], second[others]).astype(np.int64)
    return rows[found[rows]]


def fold_similarity(
    *, codes: Array, found: Bools, first: Rows, second: Rows, fold: Rows
) -> NDArray[np.float64]:
    """Return each pair's cosine, codes centred on the mean of the other folds' images. [P].

    Args:
        codes: of images; NaN where there is no face. [N, D].
        found: whether an image has a face. [N].
        first: row of each pair's first image. [P].
        second: row of its second. [P].
        fold: of each pair. [P].
    """
    out = np.full(len(first), MISSING)
    seen = found[first] & found[second]
    for test in np.unique(fold):
        rows = training_images(first=first, second=second, fold=fold, test=test, found=found)
        pairs = np.flatnonzero((fold == test) & seen)
        if not len(rows) or not len(pairs):
            continue
        out[pairs] = cosine(
            codes=codes,
            mean=codes[rows].mean(axis=0, dtype=np.float64),
            first=first[pairs],
            second=second[pairs],
        )
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


def over_folds(*, similarity: Array, same: Bools, fold: Rows) -> Folded:
    """Decide each fold's pairs by the best threshold of all other folds.

    Args:
        similarity: [P].
        same: whether it is one person. [P].
        fold: of each pair. [P].
    """
    correct = np.zeros(len(same), dtype=bool)
    thresholds, accuracies = [], []
    for test in np.unique(fold):
        inside = fold == test
        threshold = best_threshold(similarity=similarity[~inside], same=same[~inside])
        correct[inside] = (similarity[inside] > threshold) == same[inside]
        thresholds.append(threshold)
        accuracies.append(correct[inside].mean())
    return Folded(correct, np.array(thresholds), np.array(accuracies))


def roc(*, similarity: Array, same: Bools) -> Roc:
    """Return the curve of true accepts over false accepts; ties are taken together.

    Args:
        similarity: [P].
        same: whether it is one person; both kinds occur. [P].
    """
    values, group = np.unique(-np.asarray(similarity, dtype=np.float64), return_inverse=True)
    ones = np.bincount(group.reshape(-1), weights=same, minlength=len(values))
    twos = np.bincount(group.reshape(-1), weights=~same, minlength=len(values))
    return Roc(
        far=np.concatenate([[0.0], np.cumsum(twos) / twos.sum()]),
        tar=np.concatenate([[0.0], np.cumsum(ones) / ones.sum()]),
        threshold=np.concatenate([[np.inf], -values]),
    )


def area(*, curve: Roc) -> float:
    """Return the area under the curve, 0 to 1: the chance that one person's pair is more alike."""
    steps = np.diff(curve.far)
    return float((steps * (curve.tar[1:] + curve.tar[:-1]) / 2).sum())


def at_false_accepts(*, curve: Roc, far: float) -> tuple[float, float]:
    """Return the share of true accepts and the threshold at a share of false accepts.

    Args:
        curve: of `roc`.
        far: share of false accepts, 0 to 1; below one over the number of two people's pairs the
            answer rests on less than one pair.

    Returns:
        The share, and the similarity (inf where nothing is accepted).
    """
    # Where the curve rises straight up, its upper end counts.
    below = int(np.searchsorted(curve.far, far, side="right")) - 1
    if below == len(curve.far) - 1 or curve.far[below] == far:
        return float(curve.tar[below]), float(curve.threshold[below])
    part = (far - curve.far[below]) / (curve.far[below + 1] - curve.far[below])
    share = curve.tar[below] + part * (curve.tar[below + 1] - curve.tar[below])
    return float(share), float(curve.threshold[below])


def equal_error(*, curve: Roc) -> float:
    """Return the rate at which false accepts are as frequent as false refusals, 0 to 1."""
    difference = curve.far - (1 - curve.tar)  # -1 at first, 1 at last, never falling
    after = int(np.argmax(difference >= 0))
    before = max(after - 1, 0)
    gap = difference[after] - difference[before]
    part = 0.0 if gap == 0 else -difference[before] / gap
    return float(curve.far[before] + part * (curve.far[after] - curve.far[before]))


def nearest(*, codes: Array, found: Bools, person: Rows) -> tuple[NDArray[np.int64], Bools]:
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
