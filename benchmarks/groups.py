"""Errors by group of people, on rendered people whose looks are known.

Everything is measured with settings common to all groups, as it would be used: one threshold for
identity, one probe for expression.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from benchmarks.rendered import Truth
from benchmarks.same_person import pair_cosine
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.folds import balanced_folds, over_folds
from mien.linear.logistic import linear_probabilities
from mien.linear.verification import sample_pairs

__all__ = ["FALSE_MATCH_RATE", "GroupError", "group_errors", "groups_of"]

FALSE_MATCH_RATE = 0.01
"""Of pairs of two people, over all groups, at the common threshold."""
COLUMNS = ("skin_lightness", "glasses", "beard")
_FOLDS = 5

Array = NDArray[np.floating]
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class GroupError:
    """What a group of people must expect."""

    people: int
    yaw_deg: float
    """Mean absolute error of the head's yaw, no probe. Degrees."""
    expression: float
    """Accuracy of a linear probe on `expression`, fitted to other people of all groups. 0 to 1."""
    false_match_rate: float
    """Fraction of pairs of two of the group's people that are taken for one person. 0 to 1."""
    false_non_match_rate: float
    """Fraction of pairs of one person that are taken for two. 0 to 1."""


def groups_of(labels: pd.DataFrame) -> dict[str, NDArray[np.bool_]]:
    """Return the rows of each group: thirds of people by lightness of skin, glasses, beard.

    Args:
        labels: of a folder of `mien synth`. [N rows].

    Raises:
        MienError: the labels do not say how people look.
    """
    lacking = [name for name in COLUMNS if name not in labels]
    if lacking:
        raise MienError(
            f"the labels have no column {lacking[0]}; render the people again with this version"
        )
    skin = labels["skin_lightness"].to_numpy(np.float64)
    of_people = labels.groupby("person")["skin_lightness"].first().to_numpy(np.float64)
    dark, fair = np.quantile(of_people, [1 / 3, 2 / 3])
    glasses = labels["glasses"].to_numpy() > 0
    beard = labels["beard"].to_numpy(np.float64) > 0
    found = {
        f"skin: L* under {dark:.0f}": skin < dark,
        f"skin: L* {dark:.0f} to {fair:.0f}": (skin >= dark) & (skin < fair),
        f"skin: L* from {fair:.0f}": skin >= fair,
        "glasses": glasses,
        "no glasses": ~glasses,
        "beard": beard,
        "no beard": ~beard,
    }
    return {name: rows for name, rows in found.items() if rows.any()}


def group_errors(
    truth: Truth, *, pairs: int = 20_000, rng: np.random.Generator
) -> dict[str, GroupError]:
    """Return what each group must expect, after `everybody`.

    People are compared by `face_embedding`, by `identity` where the weights do not know it.

    Args:
        truth: labels and codes of rendered people.
        pairs: of one person, and of two, that are sampled in each group.
        rng: of the pairs and of the rows that probes are chosen by.

    Raises:
        MienError: the labels do not say how people look.
    """
    groups = {"everybody": np.ones(len(truth.labels), dtype=bool)} | groups_of(truth.labels)
    yaw_error = truth.predicted["yaw_rad"].to_numpy() - truth.labels["yaw_rad"].to_numpy()
    right = _classified_right(truth, rng)
    codes = truth.codes.get("face_embedding", truth.codes["identity"])

    def pairs_among(rows: NDArray[np.bool_]) -> tuple[Array, NDArray[np.bool_]]:
        """Return the similarity of sampled pairs, and which are one person."""
        where = np.flatnonzero(rows)
        first, second, same = sample_pairs(person=truth.person[where], pairs=pairs, rng=rng)
        return pair_cosine(codes=codes, first=where[first], second=where[second]), same

    sampled = {name: pairs_among(rows) for name, rows in groups.items()}
    similarity, one_person = sampled["everybody"]
    threshold = float(np.quantile(similarity[~one_person], 1 - FALSE_MATCH_RATE))
    return {
        name: GroupError(
            people=len(np.unique(truth.person[rows])),
            yaw_deg=float(np.rad2deg(np.abs(yaw_error[rows]).mean())),
            expression=float(right[rows].mean()),
            false_match_rate=float((near[~same] > threshold).mean()),
            false_non_match_rate=float((near[same] <= threshold).mean()),
        )
        for (name, rows), (near, same) in zip(groups.items(), sampled.values(), strict=True)
    }


def _classified_right(truth: Truth, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return where a linear probe fitted to other people gets the expression right. [N]."""
    names, labels = np.unique(truth.labels["expression"].astype(str), return_inverse=True)
    labels = labels.astype(np.int64)
    codes = truth.codes["expression"]

    def right(fit: Rows, held: Rows, _: int) -> NDArray[np.bool_]:
        probability = linear_probabilities(
            train=codes[fit],
            labels=labels[fit],
            test=codes[held],
            classes=len(names),
            groups=truth.person[fit],
            rng=rng,
        )
        return probability.argmax(axis=1) == labels[held]

    return over_folds(balanced_folds(truth.person, _FOLDS), right, count=len(labels))
