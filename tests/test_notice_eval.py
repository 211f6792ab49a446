"""Trials differ, and every row stands in the pose bin that its angle belongs to."""

from __future__ import annotations

import numpy as np
import pytest

from made_factors import Describing
from mien.evaluate.datasets.sets import LabelledSet
from mien.evaluate.protocol import EvalContext, Images
from mien.evaluate.scores import yaw_table
from mien.evaluate.tasks import few_labels as few_module


def test_every_trial_of_few_labels_samples_labels_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(few_module, "COUNTS", (1,))
    rng = np.random.default_rng(0)
    codes, labels = rng.standard_normal((80, 4)), np.arange(80) % 2
    images = Images(tuple(map(str, range(80))), lambda i: np.zeros((1, 1, 3), np.uint8))
    task = LabelledSet(images, labels, ("no", "yes"), ((np.arange(40), np.arange(40, 80)),))
    context = EvalContext(Describing(lambda images, columns: NotImplemented))
    (accuracies,) = few_module.few_labels(task, codes, np.ones(80, bool), context).values()
    assert len(accuracies) > 5
    assert len(set(accuracies)) > 3


def test_an_angle_on_an_edge_belongs_to_the_bin_above() -> None:
    yaw = np.radians([0.0, -14.9, 15.0, 29.0, -30.0, 44.0, 45.0, -90.0])
    table = yaw_table(title="t", yaw_rad=yaw, values={"value": np.arange(8.0)})
    assert [row[1:] for row in table.rows] == [(2, 0.5), (2, 2.5), (2, 4.5), (2, 6.5)]
