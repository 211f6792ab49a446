"""DCI and the mutual information gap by hand, and on codes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from mien.evaluate.datasets.synthetic import Label
from mien.evaluate.tasks.dci_mig import (
    binned,
    dci,
    forest_importance,
    label_entropy,
    lasso_importance,
    mutual_information,
    mutual_information_gap,
    summed_over,
)


def number(name: str, factor: str, values) -> Label:
    return Label(name, factor, "number", np.asarray(values, np.float64))


def test_dci_by_hand() -> None:
    assert dci(np.eye(3)).disentanglement == pytest.approx(1)
    assert dci(np.eye(3)).completeness == pytest.approx(1)
    assert dci(np.ones((4, 2))).disentanglement == pytest.approx(0)
    assert dci(np.ones((4, 2))).completeness == pytest.approx(0)
    # Two dimensions share factor 0, one encodes factor 1: pure rows, column 0 in two halves.
    split = dci(np.array([[1.0, 0], [1, 0], [0, 2]]))
    assert split.disentanglement == pytest.approx(1)
    assert split.completeness == pytest.approx(1 - 0.5 * np.log(2) / np.log(3))
    # Rows weigh by what they tell: 3/4 of it stands in an impure row with H = 0.918 bits.
    mixed = dci(np.array([[2.0, 1], [0, 1]]))
    entropy = -(2 / 3 * np.log2(2 / 3) + 1 / 3 * np.log2(1 / 3))
    assert mixed.disentanglement == pytest.approx(0.75 * (1 - entropy) + 0.25)
    assert dci(np.zeros((2, 2))).disentanglement == 0


def test_blocks_are_sums_of_dimensions() -> None:
    names, sums = summed_over(np.array([[1.0, 0], [2, 1], [4, 4]]), ["a", "b", "a"])
    assert names == ("a", "b")
    assert sums.tolist() == [[5, 4], [2, 1]]


def test_mutual_information_by_hand() -> None:
    label = np.tile([0, 1], 5000)
    assert mutual_information(label, label) == pytest.approx(np.log(2), abs=1e-3)
    assert label_entropy(label) == pytest.approx(np.log(2), abs=1e-3)
    independent = np.repeat([0, 1], 5000)
    assert mutual_information(label, independent) == pytest.approx(0, abs=1e-3)
    rng = np.random.default_rng(0)
    # Uncorrected, 20 x 10 bins with 500 rows show 0.17 nats where there are none.
    noise = [
        mutual_information(rng.integers(0, 20, 500), rng.integers(0, 10, 500)) for _ in range(20)
    ]
    assert np.mean(noise) < 0.07
    gap = mutual_information_gap(np.array([[0.5, 0.2], [0.3, 0.2], [0.1, 0.0]]), np.ones(2))
    assert gap == pytest.approx([0.2, 0.0])


def test_bins_hold_as_many_rows_each_and_nan_is_low() -> None:
    values = np.random.default_rng(0).permutation(100).astype(float)
    assert np.bincount(binned(values, 4)).tolist() == [25, 25, 25, 25]
    values[values > 90] = np.nan
    assert (binned(values, 4)[np.isnan(values)] == 0).all()
    assert len(np.unique(binned(np.full(10, np.nan), 4))) == 1
    assert len(np.unique(binned(np.ones(10), 4))) == 1


@pytest.mark.parametrize("kind", ["lasso", "forest"])
def test_importance_lies_where_the_label_does(kind: str) -> None:
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((200, 6))
    person = np.repeat(np.arange(20), 10)
    classes = (codes[:, 4] > 0).astype(np.int64)
    labels = (
        number("a", "x", 3 * codes[:, 1]),
        Label("b", "y", "class", classes),
        number("noise", "y", rng.standard_normal(200)),
    )
    if kind == "lasso":
        found = lasso_importance(codes=codes, labels=labels, person=person)
    else:
        found = forest_importance(codes=codes, labels=labels, seed=0)
    assert found.shape == (6, 3)
    assert found[1, 0] > 0.5
    assert found[4, 1] > 0.5
    assert found[:, 0].argmax() == 1
    assert np.delete(found[:, 0], 1).max() < 0.2
    assert found[:, 0].sum() == pytest.approx(1)
