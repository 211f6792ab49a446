"""All pairs of some people's photographs, as one more protocol; and Euclidean distance of pairs.

The photographs are crops with room around the face (benchmarks/photographs.py), listed in a CSV
with columns `path` and `person`. Codes are compared by plain cosine, nothing taken off. A method
whose author compares by Euclidean distance (`euclidean` of what describes) is scored by that too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from benchmarks.photographs import INSIDE, read_list, read_photographs
from numpy.typing import NDArray

from mien.evaluate.datasets.sampled_pairs import LFW_PEOPLE
from mien.evaluate.protocol import (
    EvalContext,
    Images,
    Protocol,
    Result,
    Score,
    checksum,
)
from mien.evaluate.scores import mean_score
from mien.evaluate.tasks.verification import face_codes
from mien.linear.verification import auc, decide_over_folds, roc

__all__ = ["EUCLIDEAN", "PEOPLE", "all_pairs_interval", "euclidean_accuracy", "euclidean_area"]

Array = NDArray[np.floating]
TRIALS, BINS = 200, 4096
_INTERVAL = 0xA1
CODE = "face_embedding"


@dataclass(frozen=True)
class Described:
    """Photographs of people, and their codes."""

    names: tuple[str, ...]
    person: NDArray[np.int64]
    """Numbers from 0. [N]."""
    codes: NDArray[np.float64]
    """[N, D]."""


def run_people(listed: Path, context: EvalContext) -> Result:
    """Score all pairs of the listed photographs by plain cosine.

    Args:
        listed: the CSV; crops lie beside it.
        context: describes them.

    Raises:
        MienError: a column or an image is missing, or there is no such code.
    """
    described = _described(listed, context)
    codes = described.codes / np.linalg.norm(described.codes, axis=1, keepdims=True)
    first, second = np.triu_indices(len(codes), 1)
    score = _area("plain cosine", (codes @ codes.T)[first, second], described.person, context)
    person = described.person
    notes = (f"{person.max() + 1} people, {len(person)} photographs",)
    digest = checksum(f"{n}\t{p}" for n, p in zip(described.names, person, strict=True))
    return Result((replace(score, main=True),), digest, notes=notes)


def euclidean_area(listed: Path, context: EvalContext) -> Score:
    """Return the same by Euclidean distance.

    Raises:
        MienError: as `run_people`.
    """
    described = _described(listed, context)
    square = (described.codes**2).sum(axis=1)
    first, second = np.triu_indices(len(square), 1)
    across = (described.codes @ described.codes.T)[first, second]
    away = square[first] + square[second] - 2 * across
    return _area("Euclidean", -away, described.person, context)


def _described(listed: Path, context: EvalContext) -> Described:
    table = read_list(listed, ("person",))
    crops = read_photographs(listed.parent, table)
    person = np.unique(table["person"].to_numpy(), return_inverse=True)[1].reshape(-1)
    side = crops.shape[1]
    edge = side * (1 - INSIDE) / 2
    boxes = np.tile([edge, edge, side - edge, side - edge], (len(crops), 1))
    names = tuple(str(path) for path in table["path"])
    images = Images(names, lambda row: crops[row], crop="box", boxes=boxes)
    codes = context.describe_faces(images, (CODE,))[CODE].astype(np.float64)
    return Described(names, person.astype(np.int64), codes)


def _area(kind: str, similarity: Array, person: NDArray[np.int64], context: EvalContext) -> Score:
    first, second = np.triu_indices(len(person), 1)
    area = auc(curve=roc(similarity=similarity, same=person[first] == person[second]))
    ends = all_pairs_interval(similarity, person, rng=context.rng(_INTERVAL))
    return Score(f"AUC of all pairs, {kind}", area, "AUC", len(first), *ends)


def all_pairs_interval(
    similarity: Array, person: NDArray[np.integer], *, rng: np.random.Generator
) -> tuple[float, float]:
    """Return the 95 % interval of the AUC of all pairs; people are resampled as a whole.

    Somebody who is drawn twice counts twice; the two are not compared with each other.

    Args:
        similarity: of the pairs as `triu_indices` has them. [N (N - 1) / 2].
        person: numbers from 0. [N].
        rng: resamples.
    """
    first, second = np.triu_indices(len(person), 1)
    one, other = person[first], person[second]
    edges = np.unique(np.quantile(similarity, np.linspace(0, 1, BINS + 1)[1:-1]))
    place = np.searchsorted(edges, similarity)
    count, people, same = len(edges) + 1, int(person.max()) + 1, one == other
    # Genuine pairs by bin and person; impostors are many, and are weighted one by one.
    genuine = np.zeros((count, people))
    np.add.at(genuine, (place[same], one[same]), 1)
    place, one, other = place[~same], one[~same], other[~same]
    found = []
    for _ in range(TRIALS):
        weight = np.bincount(rng.integers(people, size=people), minlength=people).astype(float)
        hits = genuine @ weight
        false = np.bincount(place, weights=weight[one] * weight[other], minlength=count)
        if hits.sum() and false.sum():
            below = np.cumsum(false) - false / 2
            found.append(float(hits @ below / (hits.sum() * false.sum())))
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def euclidean_accuracy(data: Path, context: EvalContext) -> Score:
    """Return the accuracy on the pairs of `lfw-people`, decided by Euclidean distance.

    As the protocol decides by cosine: codes are the mean of an image's and its mirror image's, and
    each fold's threshold is the best of the others.

    Raises:
        MienError: the images are missing, or there are no codes.
    """
    pairs = LFW_PEOPLE.read(data, context)
    faces = face_codes(pairs.images, context, width=pairs.width)
    codes = faces.codes[CODE].astype(np.float64)
    away = np.linalg.norm(codes[pairs.first] - codes[pairs.second], axis=1)
    # Similarities lie above -1, and pairs without a face below.
    alike = np.where(pairs.seen(faces.found), 1 / (1 + away), -2.0)
    right = 100.0 * decide_over_folds(pairs, alike).correct
    rng = context.rng(1)
    return mean_score(
        "accuracy, Euclidean", right, pairs.group, rng, unit="%", higher_is_better=True
    )


PEOPLE = Protocol(
    "people",
    "identity",
    "All pairs of people's photographs by plain cosine",
    "a CSV with columns path and person, beside the crops",
    "your own",
    lambda path: path.suffix == ".csv",
    run_people,
)
"""Of a CSV; `mien eval` has no such protocol."""

EUCLIDEAN = {PEOPLE.name: euclidean_area, "lfw-people": euclidean_accuracy}
"""Protocol => its main score by Euclidean distance."""
