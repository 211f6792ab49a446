"""Whether a made view still shows the person, by an ArcFace network: distances of its codes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.protocol import Score, Table
from mien.evaluate.tasks.arcface import ArcFace, aligned
from mien.evaluate.tasks.frontal_views import FrontalView
from mien.linear.bootstrap import mean_interval

__all__ = ["identity_scores"]

Array = NDArray[np.floating]


def identity_scores(
    views: Sequence[FrontalView], arcface: ArcFace, rng: np.random.Generator
) -> tuple[list[Score], Table]:
    """Return cosine distances (1 − cos) from views to turned images.

    Each view is compared with the turned images of its person other than the one that it was
    made of and, apart, with those of the next person.

    Args:
        views: of at least two people with two images each, else distances are NaN.
        arcface: gives the codes.
        rng: of the intervals.
    """
    person = np.array([view.pair.person for view in views])
    turned = arcface.codes([aligned(v.pair.turned, v.pair.turned_marks) for v in views])
    codes = {
        "made of the turned image": arcface.codes([_made(view) for view in views]),
        "true frontal image": arcface.codes(
            [aligned(v.pair.frontal, v.pair.frontal_marks) for v in views]
        ),
        "turned image itself": turned,
    }
    rows, scores = [], []
    for name, code in codes.items():
        own, other = _distances(code, turned, person)
        rows.append((name, _mean(own), _mean(other)))
        if name.startswith("made"):
            scores = [
                _score("ArcFace distance to the person's other images", own, person, rng),
                _score("ArcFace distance to another person", other, person, rng),
            ]
    title = "ArcFace distance, 1 - cos, to turned images"
    return scores, Table(title, ("view", "the person's others", "another person's"), tuple(rows))


def _score(name: str, values: Array, person: NDArray[np.int64], rng: np.random.Generator) -> Score:
    known, lower = np.isfinite(values), "person's" in name
    if not known.any():
        return Score(name, float("nan"), "", 0, higher_is_better=not lower)
    ends = mean_interval(values=values[known], groups=person[known], rng=rng)
    mean = float(values[known].mean())
    return Score(name, mean, "", int(known.sum()), *ends, higher_is_better=not lower, main=lower)


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _distances(codes: Array, turned: Array, person: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return mean distances to the person's other turned images and to the next one's. [N]."""
    away = 1 - codes @ turned.T
    people = np.unique(person)
    following = people[(np.searchsorted(people, person) + 1) % len(people)]
    own, other = np.full(len(person), np.nan), np.full(len(person), np.nan)
    for row in range(len(person)):
        mine = person == person[row]
        mine[row] = False
        theirs = (person == following[row]) & (person != person[row])
        own[row] = away[row, mine].mean() if mine.any() else np.nan
        other[row] = away[row, theirs].mean() if theirs.any() else np.nan
    return own, other


def _made(view: FrontalView) -> NDArray[np.uint8]:
    """Return the made view aligned by the true frontal's points; it stands where that does."""
    side, true_side = len(view.made), len(view.pair.frontal)
    # Pixel centres at integers: the centre of the corner pixel moves by half a pixel each.
    marks = (view.pair.frontal_marks + 0.5) * (side / true_side) - 0.5
    return aligned(np.ascontiguousarray(view.made), marks)
