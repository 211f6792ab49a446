"""Disentanglement of the factors' codes: by dimension, and by factor as a block."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.synthetic import Clips, Label
from mien.evaluate.protocol import Score, Table
from mien.evaluate.tasks.dci_mig import (
    CODE_BINS,
    LABEL_BINS,
    binned,
    dci,
    forest_importance,
    label_entropy,
    lasso_importance,
    mutual_information,
    mutual_information_gap,
    summed_over,
)
from mien.evaluate.tasks.leakage import Leakage

__all__ = ["information_of", "part_scores"]

Array = NDArray[np.floating]


def part_scores(
    codes: Mapping[str, Array], clips: Clips, found: Leakage, whole: str
) -> tuple[list[Score], Table]:
    """Return DCI and MIG, and a table of which block matters for which factor.

    A label's importances are weighted by how well it can be told at all (its informativeness), so
    that what is noise to all codes does not count; a factor's are the mean of its labels'.

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
    shares = block_rows / np.where(total > 0, total, 1)
    table = Table(
        "share of each block in what is told of each factor (lasso weights)",
        ("block", *factors),
        tuple(
            (name, *(round(float(v), 3) for v in line))
            for name, line in zip(names, shares, strict=True)
        ),
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

    What a block of many dimensions tells cannot be counted in bins; what its linear probe says of
    people it has not seen can, and is no more than what the block tells.
    """
    bins = [_label_bins(label) for label in labels]
    entropy = np.array([label_entropy(b) for b in bins])
    single = information_of([binned(column, CODE_BINS) for column in joined.T], bins)
    blocks = np.stack(
        [
            np.array(
                [
                    mutual_information(_said_bins(label, found, name), b)
                    for label, b in zip(labels, bins, strict=True)
                ]
            )
            for name in codes
        ]
    )
    return [
        _score("MIG, dimensions", mutual_information_gap(single, entropy).mean(), count),
        _score("MIG, blocks", mutual_information_gap(blocks, entropy).mean(), count),
    ]


def information_of(codes: list[NDArray[np.int64]], labels: list[NDArray[np.int64]]) -> Array:
    """Return the mutual information of binned columns and binned labels, nats. [M, L]."""
    return np.array([[mutual_information(code, label) for label in labels] for code in codes])


def _label_bins(label: Label) -> NDArray[np.int64]:
    return label.values if label.kind == "class" else binned(label.values, LABEL_BINS)


def _said_bins(label: Label, found: Leakage, code: str) -> NDArray[np.int64]:
    said = found.predictions[code][label.name]
    return said if label.kind == "class" else binned(said, CODE_BINS)
