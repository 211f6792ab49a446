"""Leakage: every label predicted from every code, compared with chance.

A factor's code should hold its own labels and, but for what labels share by themselves, no others.
Probes are linear and cross-subject: nobody is in the training and the test part of a fold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mien.evaluate.datasets.synthetic import Label
from mien.linear.cross_subject import out_of_fold, person_space
from mien.linear.folds import balanced_folds
from mien.linear.metrics import correlation
from mien.linear.verification import sample_pairs

__all__ = ["Leakage", "leakage"]

Array = NDArray[np.floating]

PERSON = "person"
"""The label that is not probed but verified: are two images of one person?"""
PAIRS = 2000
"""Of each kind, in each fold."""


@dataclass(frozen=True)
class Leakage:
    """Scores of labels (columns) probed from codes (rows)."""

    codes: tuple[str, ...]
    labels: tuple[str, ...]
    factors: tuple[str, ...]
    """Which factor each label is part of."""
    scores: Array
    """person: AUC; classes: accuracy; numbers: correlation; means of the folds. [C, L]."""
    chance: Array
    """Of a code that holds nothing: 0.5, the fraction of the commonest class, 0. [L]."""
    predictions: Mapping[str, Mapping[str, NDArray[Any]]]
    """Code => label => what is predicted of each row; without the person. Each [N]."""

    def excess(self) -> Array:
        """Return how far each score is from chance (0) to right (1). [C, L]."""
        return above_chance(scores=self.scores, chance=self.chance)

    def by_factor(self) -> tuple[tuple[str, ...], Array]:
        """Return the factors and the mean excess of their labels. [C, F]."""
        names = tuple(dict.fromkeys(self.factors))
        excess, of = self.excess(), np.array(self.factors)
        return names, np.stack([excess[:, of == name].mean(axis=1) for name in names], axis=1)

    def mean_leakage(self) -> float:
        """Return the mean excess of labels probed from other factors' codes, in [0, 1].

        Only codes that are called as a factor count.
        """
        names, excess = self.by_factor()
        other = [
            excess[row, column]
            for row, code in enumerate(self.codes)
            for column, factor in enumerate(names)
            if code in names and code != factor
        ]
        return float(np.mean(other))


def above_chance(*, scores: Array, chance: Array) -> Array:
    """Return (score − chance) / (1 − chance), not below 0."""
    return ((scores - chance) / (1 - chance)).clip(0)


def leakage(
    *,
    codes: Mapping[str, Array],
    labels: Sequence[Label],
    person: NDArray[np.integer],
    relit: NDArray[np.bool_],
    rng: np.random.Generator,
) -> Leakage:
    """Probe every label from every code.

    Args:
        codes: by name; a factor's own code has the factor's name. Rows may be NaN. Each [N, D].
        labels: what is known of the rows.
        person: who it is. [N].
        relit: rows on which the person is verified; of at least two people in each fold. [N].
        rng: samples pairs.
    """
    pairs = _fold_pairs(person[relit], rng)
    values = {label.name: label.values for label in labels}
    scores, predictions = [], {}
    for name, code in codes.items():
        found = out_of_fold(codes=code, labels=values, person=person)
        predictions[name] = found
        row = [_person_auc(code[relit], person[relit], pairs)]
        row += [_score(label, found[label.name], person) for label in labels]
        scores.append(row)
    return Leakage(
        codes=tuple(codes),
        labels=(PERSON, *(label.name for label in labels)),
        factors=("identity", *(label.factor for label in labels)),
        scores=np.array(scores),
        chance=np.array([0.5, *(_chance(label) for label in labels)]),
        predictions=predictions,
    )


def _fold_pairs(
    person: NDArray[np.integer], rng: np.random.Generator
) -> list[tuple[NDArray[Any], ...]]:
    """Return of each fold training rows, test rows, and pairs among the latter; for all codes."""
    return [
        (fit, held, *sample_pairs(person=person[held], pairs=PAIRS, rng=rng))
        for fit, held in balanced_folds(person)
    ]


def _person_auc(
    codes: Array, person: NDArray[np.integer], pairs: Sequence[tuple[NDArray[Any], ...]]
) -> float:
    """Return the AUC of same-person decisions by a metric that is learned from other people."""
    found = []
    for fit, held, first, second, same in pairs:
        mapped = person_space(codes[fit], person[fit])(codes[held])
        found.append(roc_auc_score(same, (mapped[first] * mapped[second]).sum(axis=1)))
    return float(np.mean(found))


def _score(label: Label, predicted: NDArray[Any], person: NDArray[np.integer]) -> float:
    if label.kind == "class":
        return float(np.mean(predicted == label.values))
    # Fold by fold: over all of them, differences of the folds' means would pass for correlation.
    found = [
        correlation(prediction=predicted[held], target=label.values[held])
        if predicted[held].std() > 0 < label.values[held].std()
        else 0.0
        for _, held in balanced_folds(person)
    ]
    return float(np.mean(found))


def _chance(label: Label) -> float:
    if label.kind == "number":
        return 0.0
    return float(np.bincount(label.values).max() / len(label.values))
