"""Predictions rest on the training rows alone, and classes can be made to weigh alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.linear.knn import knn_probabilities
from mien.linear.logistic import linear_probabilities


@pytest.mark.parametrize("probabilities", [knn_probabilities, linear_probabilities])
def test_a_prediction_does_not_depend_on_the_other_test_rows(
    probabilities: Callable[..., np.ndarray],
) -> None:
    rng = np.random.default_rng(0)
    train, labels = rng.standard_normal((60, 3)), np.arange(60) % 2
    train[:, 0] += labels
    test = rng.standard_normal((5, 3))
    more = np.concatenate([test, np.full((50, 3), 40.0)])

    def predicted(rows: np.ndarray) -> np.ndarray:
        rng = np.random.default_rng(1)
        return probabilities(train=train, labels=labels, test=rows, classes=2, rng=rng)

    np.testing.assert_allclose(predicted(more)[:5], predicted(test))


def test_balanced_classes_weigh_alike_however_many_images_they_have() -> None:
    rng = np.random.default_rng(0)
    labels = (np.arange(400) % 20 == 0).astype(np.int64)
    codes = rng.standard_normal((400, 2))
    codes[:, 0] += labels

    def found(*, balanced: bool) -> float:
        chance = linear_probabilities(
            train=codes,
            labels=labels,
            test=codes[labels == 1],
            classes=2,
            balanced=balanced,
            rng=np.random.default_rng(1),
        )
        return float((chance[:, 1] > 0.5).mean())

    assert found(balanced=False) < 0.2
    assert found(balanced=True) > 0.5
