"""Expression transfer: sources and targets, scores by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.evaluate.scores import small
from mien.evaluate.tasks.expression_transfer import (
    Read,
    Transfers,
    choose_pairs,
    render_transfers,
    transfer_scores,
)
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model

SMALL = ModelConfig(
    image_size=32, width=8, feature_dim=32, texture_dim=8, shape_dim=8, neutral_width=16
)


@pytest.fixture(scope="module")
def tiny() -> Model:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Model(LatentFace(SMALL))


def test_sources_are_other_people_with_other_expressions() -> None:
    rng = np.random.default_rng(0)
    person, expression = np.repeat(np.arange(6), 4), rng.integers(0, 3, 24)
    rows, sources = choose_pairs(person=person, expression=expression, max_faces=15, rng=rng)
    assert len(rows) == len(sources) == 15
    assert (person[rows] != person[rows][sources]).all()
    assert (expression[rows] != expression[rows][sources]).all()
    alone, none = choose_pairs(person=person, expression=np.zeros(24, int), max_faces=5, rng=rng)
    assert len(alone) == len(none) == 0


def test_transfer_scores_by_hand() -> None:
    people = np.eye(3)
    sources, expression = np.array([1, 2, 0]), np.array([0, 1, 2])

    def read(identity, yaw, light) -> Read:
        angles = np.stack([yaw, np.zeros(3), np.zeros(3)], axis=1)
        return Read(identity, np.zeros((3, 1)), angles, np.array(light, np.float64))

    ahead = [[0.0, 0, -1]] * 3
    plain = read(people, np.array([0.0, 0.2, 0.4]), ahead)
    # A fifth of the source's yaw came along; the third face became its source; one light moved 90.
    lights = [[1.0, 0, 0], [0, 0, -1], [0, 0, -1]]
    yaw = plain.angles[:, 0] + 0.2 * (plain.angles[sources, 0] - plain.angles[:, 0])
    transferred = read(people[[0, 1, 0]], yaw, lights)
    rendered = np.zeros((3, 2, 2, 3), np.uint8)
    predicted = {"transferred": np.array([1, 1, 1]), "plain": np.array([0, 1, 0])}
    found = transfer_scores(
        Transfers(transferred, plain, rendered),
        sources=sources,
        expression=expression,
        predicted=predicted,
        own=people,
    )
    assert found.transferred.tolist() == [True, False, False]
    assert found.unchanged.tolist() == [False, True, False]
    assert found.upper_bound.tolist() == [True, False, True]
    assert found.identity_kept.tolist() == [True, True, False]
    assert found.margin.tolist() == [1, 1, -1]
    assert found.yaw_transferred == pytest.approx(0.2)
    assert found.light_deg == pytest.approx([90, 0, 0])
    assert found.rotation_deg == pytest.approx(np.degrees([0.04, 0.04, 0.08]))


def test_a_face_given_its_own_expression_is_rendered_as_it_was(tiny: Model) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3), np.uint8)
    same = render_transfers(tiny, lambda row: crops[row], np.arange(3))
    assert np.abs(same.transferred.identity - same.plain.identity).max() < 1e-4
    assert np.abs(same.transferred.angles - same.plain.angles).max() < 1e-4
    assert same.images.shape == (3, 32, 32, 3)
    assert np.linalg.norm(same.plain.light, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    moved = same.centred(same.plain.identity[0])
    assert np.abs(moved.plain.identity[0]).max() == 0


def test_images_of_the_gallery_are_small() -> None:
    assert small(np.zeros((320, 160, 3), np.uint8)).shape == (160, 80, 3)
    assert small(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)
