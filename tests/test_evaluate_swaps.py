"""Expressions of one face on another: who gives, what came along, by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mien.evaluate.scores import small
from mien.evaluate.tasks.expression_swap import Read, Swaps, choose_pairs, draw_swaps, swap_scores
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


def test_givers_are_other_people_with_other_expressions() -> None:
    rng = np.random.default_rng(0)
    person, expression = np.repeat(np.arange(6), 4), rng.integers(0, 3, 24)
    rows, givers = choose_pairs(person=person, expression=expression, most=15, rng=rng)
    assert len(rows) == len(givers) == 15
    assert (person[rows] != person[rows][givers]).all()
    assert (expression[rows] != expression[rows][givers]).all()
    alone, none = choose_pairs(person=person, expression=np.zeros(24, int), most=5, rng=rng)
    assert len(alone) == len(none) == 0


def test_swap_scores_by_hand() -> None:
    people = np.eye(3)
    givers, expression = np.array([1, 2, 0]), np.array([0, 1, 2])

    def read(identity, yaw, light) -> Read:
        angles = np.stack([yaw, np.zeros(3), np.zeros(3)], axis=1)
        return Read(identity, np.zeros((3, 1)), angles, np.array(light, np.float64))

    ahead = [[0.0, 0, -1]] * 3
    plain = read(people, np.array([0.0, 0.2, 0.4]), ahead)
    # A fifth of the giver's yaw came along; the third face became its giver; one light moved 90.
    lights = [[1.0, 0, 0], [0, 0, -1], [0, 0, -1]]
    yaw = plain.angles[:, 0] + 0.2 * (plain.angles[givers, 0] - plain.angles[:, 0])
    swapped = read(people[[0, 1, 0]], yaw, lights)
    drawn = np.zeros((3, 2, 2, 3), np.uint8)
    said = {"swapped": np.array([1, 1, 1]), "plain": np.array([0, 1, 0])}
    found = swap_scores(
        Swaps(swapped, plain, drawn), givers=givers, expression=expression, said=said, own=people
    )
    assert found.moved.tolist() == [True, False, False]
    assert found.stayed.tolist() == [False, True, False]
    assert found.readable.tolist() == [True, False, True]
    assert found.kept.tolist() == [True, True, False]
    assert found.margin.tolist() == [1, 1, -1]
    assert found.yaw_carried == pytest.approx(0.2)
    assert found.relit_deg == pytest.approx([90, 0, 0])
    assert found.turned_deg == pytest.approx(np.degrees([0.04, 0.04, 0.08]))


def test_a_face_given_its_own_expression_is_drawn_as_it_was(tiny: Model) -> None:
    crops = np.random.default_rng(0).integers(0, 255, (3, 20, 20, 3), np.uint8)
    same = draw_swaps(tiny, lambda row: crops[row], np.arange(3))
    assert np.abs(same.swapped.identity - same.plain.identity).max() < 1e-4
    assert np.abs(same.swapped.angles - same.plain.angles).max() < 1e-4
    assert same.images.shape == (3, 32, 32, 3)
    assert np.linalg.norm(same.plain.light, axis=1) == pytest.approx(np.ones(3), abs=1e-5)
    moved = same.centred(same.plain.identity[0])
    assert np.abs(moved.plain.identity[0]).max() == 0


def test_images_of_the_gallery_are_small() -> None:
    assert small(np.zeros((320, 160, 3), np.uint8)).shape == (160, 80, 3)
    assert small(np.zeros((20, 30, 3), np.uint8)).shape == (20, 30, 3)
