"""Which faces to label next: those that the probe is unsure of, one for many that look alike.

Faces far from all others are not sought: they are more often bad crops than treasures.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from mien.errors import MienError
from mien.probes.match import MatchedLabels
from mien.probes.probe import Prediction, Probe

__all__ = ["most_doubtful", "suggest", "uncertainty"]

Array = NDArray[np.float64]

_CANDIDATES = 50
_LEAST_CANDIDATES = 2000
"""So many of the most uncertain faces, or that many for each one wanted, are looked at."""


def suggest(
    probe: Probe, matched: MatchedLabels, count: int
) -> tuple[NDArray[np.int64], Prediction]:
    """Return the faces to be labelled next, the most worthwhile first; the same every time.

    The most uncertain faces are put into as many clusters as faces are wanted (k-means weighed by
    uncertainty, in standardised codes); each cluster's middle face is taken, that of the cluster
    with the most uncertainty first.

    Args:
        probe: learned from the labels that there are.
        matched: with the faces that have none.
        count: of faces; fewer if there are fewer.

    Returns:
        Numbers of the table's rows [n], and what the probe predicts of them.

    Raises:
        MienError: if every face is labelled.
    """
    if not len(matched.others):
        raise MienError("every face of the table that has codes is labelled: nothing to suggest")
    doubt = uncertainty(probe.predict_codes(matched.other_codes))
    pool = most_doubtful(doubt, count)
    codes = probe.function.features(matched.other_codes[pool])
    clusters = KMeans(min(count, len(pool)), max_iter=20, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer different faces than wanted
        # A probe may be sure of every face: clusters need some weight all the same.
        label = np.asarray(clusters.fit_predict(codes, sample_weight=doubt[pool] + 1e-9))
    centres = np.asarray(clusters.cluster_centers_)
    held = np.bincount(label, weights=doubt[pool])
    found = np.unique(label)
    order = found[np.argsort(-held[found], kind="stable")]
    taken = [_middle(codes, label == k, centres[k]) for k in order]
    # Where many look exactly alike there are fewer clusters than faces wanted.
    rest = np.setdiff1d(np.arange(len(pool)), taken)
    taken += rest[np.argsort(-doubt[pool[rest]], kind="stable")][: count - len(taken)].tolist()
    chosen = pool[taken]
    return matched.others[chosen], probe.predict_codes(matched.other_codes[chosen])


def most_doubtful(doubt: Array, count: int) -> NDArray[np.int64]:
    """Return the faces among which those to label next are sought, in their order.

    Args:
        doubt: how unsure the probe is of each face; NaN comes last. [M].
        count: of faces that are wanted.
    """
    most = max(_LEAST_CANDIDATES, _CANDIDATES * count)
    return np.sort(np.argsort(-doubt, kind="stable")[:most])


def uncertainty(prediction: Prediction) -> Array:
    """Return how unsure the probe is, in [0, 1]. [N].

    Of classes it is 1 - (probability of the first - that of the second); of numbers the standard
    deviation, the largest being 1.
    """
    if prediction.probabilities is None:
        return prediction.certainty / max(float(prediction.certainty.max()), 1e-30)
    ordered = np.sort(prediction.probabilities, axis=1)
    return 1 - (ordered[:, -1] - ordered[:, -2])


def _middle(codes: Array, among: NDArray[np.bool_], centre: Array) -> int:
    """Return the row of a cluster that is nearest to its centre."""
    rows = np.flatnonzero(among)
    return int(rows[_distance(codes[rows], centre).argmin()])


def _distance(codes: Array, row: Array) -> Array:
    return np.sqrt(np.square(codes - row).sum(axis=1))
