"""Scores of disentanglement: DCI and the mutual information gap, per dimension and per block.

A block is one factor's whole code. Dimensions of a code that was never asked to be aligned with
axes score low; blocks are what the model promises to keep apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import entropy
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from mien.evaluate.datasets.synthetic import Clips, Label
from mien.evaluate.protocol import Score, Table
from mien.evaluate.scores import rounded
from mien.evaluate.tasks.leakage import Leakage
from mien.linear.folds import balanced_folds
from mien.linear.lasso import lasso_weights
from mien.linear.model import scaled, standards

__all__ = ["part_scores"]

Array = NDArray[np.floating]

CODE_BINS, LABEL_BINS = 20, 10
TREES, FRACTION, LEAF = 24, 0.1, 5
"""Of the forest: trees, fraction of the columns tried at a split, fewest rows in a leaf."""


@dataclass(frozen=True)
class DCI:
    """After Eastwood and Williams 2018; all in [0, 1], more is better."""

    disentanglement: float
    """Whether a part of the code is about one factor only."""
    completeness: float
    """Whether a factor is in one part of the code only."""


def dci(importance: Array) -> DCI:
    """Return disentanglement and completeness of a matrix of importances.

    With R the importances, K factors (columns) and M parts of the code (rows):

        P_ij = R_ij / Σ_k R_ik            D_i = 1 + Σ_j P_ij log_K P_ij
        ρ_i  = Σ_j R_ij / Σ_ij R_ij       D   = Σ_i ρ_i D_i
        Q_ij = R_ij / Σ_k R_kj            C_j = 1 + Σ_i Q_ij log_M Q_ij
        τ_j  = Σ_i R_ij / Σ_ij R_ij       C   = Σ_j τ_j C_j

    Args:
        importance: not negative. [M, K], both at least 2.
    """
    total = importance.sum()
    if total <= 0:
        return DCI(0.0, 0.0)
    rows, columns = importance.sum(axis=1), importance.sum(axis=0)
    return DCI(
        disentanglement=float((rows / total) @ _purity(importance)),
        completeness=float((columns / total) @ _purity(importance.T)),
    )


def _purity(importance: Array) -> Array:
    """Return 1 − entropy of each row to the base of its length; 0 for a row of zeros."""
    sums = importance.sum(axis=1, keepdims=True)
    fraction = importance / np.where(sums > 0, sums, 1)
    logs = np.log(np.where(fraction > 0, fraction, 1)) / np.log(importance.shape[1])
    return np.where(sums[:, 0] > 0, 1 + (fraction * logs).sum(axis=1), 0.0)


def summed_over(importance: Array, groups: Sequence[str]) -> tuple[tuple[str, ...], Array]:
    """Return names of groups of rows and their sums. [M, K] => [G, K]."""
    names = tuple(dict.fromkeys(groups))
    of = np.array(groups)
    return names, np.stack([importance[of == name].sum(axis=0) for name in names])


def lasso_importance(
    *, codes: Array, labels: Sequence[Label], person: NDArray[np.integer]
) -> Array:
    """Return |weights| of lasso regressions, each label's summing to 1 (or 0). [D, L].

    Codes and targets are standardised; the strength is chosen on a held-out fifth of the people.
    Of classes one regression each to whether it is that class; their weights are added up.

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        labels: of the rows.
        person: who it is. [N].
    """
    rows, split = scaled(codes, *standards(codes)), balanced_folds(person)[0]
    columns = []
    for label in labels:
        targets = _targets(label)
        weights = sum(np.abs(lasso_weights(rows, target, split)) for target in targets.T)
        columns.append(_normalised(np.asarray(weights)))
    return np.stack(columns, axis=1)


def _targets(label: Label) -> Array:
    if label.kind == "number":
        values = label.values[:, None].astype(np.float64)
    else:
        values = (label.values[:, None] == np.unique(label.values)).astype(np.float64)
    return scaled(values, *standards(values))


def forest_importance(*, codes: Array, labels: Sequence[Label], seed: int) -> Array:
    """Return the impurity importances of random forests, each label's summing to 1. [D, L].

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        labels: of the rows.
        seed: of the forests.
    """
    rows = scaled(codes, *standards(codes)).astype(np.float32)
    columns = []
    for label in labels:
        kind: Any = RandomForestClassifier if label.kind == "class" else RandomForestRegressor
        forest = kind(
            n_estimators=TREES,
            max_features=FRACTION,
            min_samples_leaf=LEAF,
            random_state=seed,
        )
        columns.append(_normalised(forest.fit(rows, label.values).feature_importances_))
    return np.stack(columns, axis=1)


def _normalised(importance: Array) -> Array:
    total = importance.sum()
    return importance / total if total > 0 else importance


def mutual_information_gap(information: Array, entropies: Array) -> Array:
    """Return the gap of each label after Chen et al. 2018. [L], in [0, 1].

        MIG_k = (I(c_(1); v_k) − I(c_(2); v_k)) / H(v_k)

    with c_(1) and c_(2) the two parts of the code with most information about label v_k.

    Args:
        information: of each part of the code (at least two) about each label, nats. [M, L].
        entropies: of each label, nats. [L].
    """
    ordered = np.sort(information, axis=0)
    return (ordered[-1] - ordered[-2]) / np.maximum(entropies, 1e-12)


def mutual_information(one: NDArray[np.integer], other: NDArray[np.integer]) -> float:
    """Return the mutual information of two series of bins, nats, not below 0.

    Miller and Madow's correction takes off what chance adds with few rows:
    I = H(x) + H(y) − H(x, y), each H with (occupied bins − 1) / 2N more than counted.
    """
    joint = np.unique(np.stack([one, other]), axis=1, return_inverse=True)[1].reshape(-1)
    return max(0.0, label_entropy(one) + label_entropy(other) - label_entropy(joint))


def label_entropy(bins: NDArray[np.integer]) -> float:
    """Return the entropy of a series of bins, nats, with Miller and Madow's correction."""
    counts = np.unique(bins, return_counts=True)[1]
    return float(entropy(counts) + (len(counts) - 1) / (2 * len(bins)))


def binned(values: Array, bins: int) -> NDArray[np.int64]:
    """Return the bin of each value; bins hold about as many rows each, equal values stay together.

    Args:
        values: NaN counts as the lowest bin. [N].
        bins: at most so many.
    """
    values = np.nan_to_num(np.asarray(values, np.float64), nan=-np.inf)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return np.zeros(len(values), np.int64)
    edges = np.unique(np.quantile(finite, np.linspace(0, 1, bins + 1)[1:-1]))
    return np.searchsorted(edges, values, side="right").astype(np.int64)


def part_scores(
    codes: Mapping[str, Array], clips: Clips, found: Leakage, whole: str
) -> tuple[list[Score], Table]:
    """Return DCI and MIG, and a table of which block matters for which factor.

    A label's importances are weighted by how well it can be predicted at all (informativeness), so
    that noise to all codes does not count; a factor's are the mean of its labels'.

    Args:
        codes: of each factor. Each [N, D].
        clips: the truth.
        found: probes on these codes, and on all of them together.
        whole: what the latter are called in `found`.
    """
    labels, person = clips.labels(), clips.person
    joined = np.concatenate(list(codes.values()), axis=1)
    blocks = [name for name, code in codes.items() for _ in range(code.shape[1])]
    informative = found.excess()[found.codes.index(whole), 1:]
    lasso = lasso_importance(codes=joined, labels=labels, person=person)
    forest = forest_importance(codes=joined, labels=labels, seed=0)
    scores: list[Score] = []
    block_rows: Array = np.empty(0)
    names = tuple(codes)
    for kind, importance in (("lasso", lasso), ("forest", forest)):
        by_factor, factors = _of_factors(importance * informative, labels)
        names, blocked = summed_over(by_factor, blocks)
        block_rows = blocked if kind == "lasso" else block_rows
        for part, rows in (("blocks", blocked), ("dimensions", by_factor)):
            value = dci(rows)
            for what in ("disentanglement", "completeness"):
                number = getattr(value, what)
                scores.append(_score(f"DCI {what}, {part}, {kind}", number, len(clips)))
    scores.append(_score("DCI informativeness", float(informative.mean()), len(clips)))
    scores += _gaps(joined, codes, labels, found, len(clips))
    total = block_rows.sum(axis=0)
    fractions = block_rows / np.where(total > 0, total, 1)
    table = Table(
        "fraction of each block in the importances for each factor (lasso weights)",
        ("block", *factors),
        tuple((name, *rounded(line)) for name, line in zip(names, fractions, strict=True)),
    )
    return scores, table


def _score(name: str, value: float, count: int) -> Score:
    return Score(name, float(value), "", count)


def _of_factors(importance: Array, labels: tuple[Label, ...]) -> tuple[Array, tuple[str, ...]]:
    """Return the mean over each factor's labels, and the factors. [D, L] => [D, F]."""
    factors = tuple(dict.fromkeys(label.factor for label in labels))
    of = np.array([label.factor for label in labels])
    return np.stack([importance[:, of == name].mean(axis=1) for name in factors], axis=1), factors


def _gaps(
    joined: Array,
    codes: Mapping[str, Array],
    labels: tuple[Label, ...],
    found: Leakage,
    count: int,
) -> list[Score]:
    """Return the mutual information gap by dimension and by block.

    The information of a block of many dimensions cannot be counted in bins; that of its linear
    probe's predictions for people it has not seen can, and is no more than the block's.
    """
    bins = [_label_bins(label) for label in labels]
    entropies = np.array([label_entropy(b) for b in bins])
    single = information_of([binned(column, CODE_BINS) for column in joined.T], bins)
    blocks = np.array(
        [
            [
                mutual_information(_predicted_bins(label, found, name), b)
                for label, b in zip(labels, bins, strict=True)
            ]
            for name in codes
        ]
    )
    return [
        _score("MIG, dimensions", mutual_information_gap(single, entropies).mean(), count),
        _score("MIG, blocks", mutual_information_gap(blocks, entropies).mean(), count),
    ]


def information_of(codes: list[NDArray[np.int64]], labels: list[NDArray[np.int64]]) -> Array:
    """Return the mutual information of binned columns and binned labels, nats. [M, L]."""
    return np.array([[mutual_information(code, label) for label in labels] for code in codes])


def _label_bins(label: Label) -> NDArray[np.int64]:
    return label.values if label.kind == "class" else binned(label.values, LABEL_BINS)


def _predicted_bins(label: Label, found: Leakage, code: str) -> NDArray[np.int64]:
    predicted = found.predictions[code][label.name]
    return predicted if label.kind == "class" else binned(predicted, CODE_BINS)
