"""Predictions rest on the training rows alone, and classes can be made to weigh alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mien.linear.knn import knn_probabilities
from mien.linear.logistic import linear_probabilities
from mien.probes.held_out import held_out_gaze
from mien.probes.samples import GazeSamples


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


@pytest.mark.parametrize("by_people", [False, True])
def test_a_calibration_is_not_measured_on_what_it_has_learned(*, by_people: bool) -> None:
    rng = np.random.default_rng(0)
    people = np.array(["ann", "bob", "eve", "joe"])[np.arange(40) % 4]
    samples = GazeSamples(
        rng.normal(size=(40, 3)), rng.uniform(-0.5, 0.5, (40, 2)), people, code_dim=3
    )
    both: list[int] = []

    def known(learned: GazeSamples) -> set[str]:
        assert learned.people is not None
        codes = [str(row) for row in learned.inputs.tolist()]
        return {*codes, *(learned.people if by_people else [])}

    def learn(learned: GazeSamples) -> Callable[[GazeSamples], np.ndarray]:
        def predict(asked: GazeSamples) -> np.ndarray:
            both.append(len(known(learned) & known(asked)))
            return asked.angles

        return predict

    found = held_out_gaze(samples, learn, by_people=by_people, rng=rng)
    assert found.by == ("people" if by_people else "samples")
    assert found.mean_deg == pytest.approx(0, abs=1e-6)
    assert both == [0] * (4 if by_people else 10)
