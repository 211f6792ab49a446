"""Which faces to label next: those that the probe is unsure of and that differ from each other."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probing.match import Matched
from mien.probing.probe import Prediction, Probe

__all__ = ["suggest", "uncertainty"]

Array = NDArray[np.float64]

_CANDIDATES = 50
_LEAST_CANDIDATES = 2000
"""So many of the most uncertain faces, or that many for each one wanted, are looked at."""
_FAR = 0.9
"""Share of the faces that are nearer to a labelled one than what counts as far: a face that is
far from everything is more often a bad crop than a treasure."""


def suggest(probe: Probe, matched: Matched, count: int) -> tuple[NDArray[np.int64], Prediction]:
    """Return the faces to be labelled next, the most worthwhile first; draws nothing at random.

    Each is the one with the most uncertainty times distance, the latter to the nearest face that
    is labelled or was taken before it, in codes at unit spread.

    Args:
        probe: learned from the labels that there are.
        matched: with the faces that have none.
        count: of faces; fewer if there are fewer.

    Returns:
        Numbers of the table's rows [n], and what the probe says of them.

    Raises:
        MienError: if every face is labelled.
    """
    if not len(matched.others):
        raise MienError("every face of the table that has codes is labelled: nothing to suggest")
    doubt = uncertainty(probe.predict_codes(matched.other_codes))
    most = max(_LEAST_CANDIDATES, _CANDIDATES * count)
    pool = np.sort(np.argsort(-doubt, kind="stable")[:most])
    codes = probe.function.features(matched.other_codes[pool])
    nearest = np.full(len(pool), np.inf)
    for row in probe.function.features(matched.codes):
        nearest = np.minimum(nearest, _distance(codes, row))
    far = np.quantile(nearest, _FAR)
    taken: list[int] = []
    for _ in range(min(count, len(pool))):
        # What is taken already, or looks exactly alike, has distance 0 and comes last.
        worth = doubt[pool] * np.minimum(nearest, far)
        worth[taken] = -1
        best = int(worth.argmax())
        taken.append(best)
        nearest = np.minimum(nearest, _distance(codes, codes[best]))
    chosen = pool[taken]
    return matched.others[chosen], probe.predict_codes(matched.other_codes[chosen])


def uncertainty(prediction: Prediction) -> Array:
    """Return how unsure the probe is, in [0, 1]. [N].

    Of classes it is 1 - (probability of the first - that of the second); of numbers the standard
    deviation, the largest being 1.
    """
    if prediction.probabilities is None:
        return prediction.certainty / max(float(prediction.certainty.max()), 1e-30)
    ordered = np.sort(prediction.probabilities, axis=1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def _distance(codes: Array, row: Array) -> Array:
    return np.sqrt(np.square(codes - row).sum(axis=1))
