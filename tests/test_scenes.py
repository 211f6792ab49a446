"""Scenes of pasted faces, and a teacher's answers for them turned and cut out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from mien.data import scenes
from mien.data.scene_targets import join_cells, sample_view, seen, targets
from mien.data.scenes import CANVAS, SceneSource, draw_scene, spoil
from mien.faces.dense import decode
from mien.faces.grid_detector import STRIDES
from toy_detector import MARKS, blue_image, face_image, toy_answer

SIDE = 256


def source():
    faces = np.stack([face_image(seed, 144) for seed in range(4)])
    real = np.array([[0, 0, 1, 1]] * 3 + [[0.1, 0.2, 0.9, 1]], np.float32)
    return SceneSource(faces, real, np.stack([blue_image(seed, 400, 400) for seed in range(3)]))


def turned_view(degrees, middle=(CANVAS / 2, CANVAS / 2)):
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return np.concatenate([turn, (np.array(middle) - turn @ [SIDE / 2, SIDE / 2])[:, None]], axis=1)


def one_face(centre, width, height):
    """Maps of a teacher that finds one face, at the nine cells around its middle; and its marks."""
    marks = np.array(centre) + MARKS * np.array([width, height], np.float32)
    maps = []
    for stride in STRIDES:
        cells = CANVAS // stride
        grid = np.zeros((15, cells, cells), np.float32)
        column, row = (int(v // stride) for v in centre)
        for y in range(max(0, row - 1), min(cells, row + 2)):
            for x in range(max(0, column - 1), min(cells, column + 2)):
                corner = np.array([x, y])
                grid[0, y, x] = 0.9
                grid[1:3, y, x] = np.array(centre) / stride - corner
                grid[3:5, y, x] = np.log(np.array([width, height]) / stride)
                grid[5:, y, x] = (marks / stride - corner).ravel()
        maps.append(grid)
    return maps, marks


def decoded(found, side=SIDE):
    """Faces that targets describe: x1, y1, x2, y2, marks, score of every cell over 0.5."""
    cells = [grid.reshape(16, -1).T for grid in found]
    split = [(cell[:, 0], cell[:, 1:5], cell[:, 5:15]) for cell in cells]
    return decode(split, STRIDES, [side // stride for stride in STRIDES], 0.5)


def test_scenes_are_a_function_of_the_generator():
    drawn = [draw_scene(source(), np.random.default_rng(seed)) for seed in (1, 1, 2)]
    assert drawn[0].shape == (CANVAS, CANVAS, 3)
    assert drawn[0].dtype == np.uint8
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


def test_scenes_hold_many_faces_or_none():
    red = []
    for seed in range(60):
        scene = draw_scene(source(), np.random.default_rng(seed)).astype(int)
        red.append(float((scene[..., 0] - scene[..., 1:].max(axis=2) > 60).mean()))
    assert min(red) < 0.001
    assert max(red) > 0.1
    assert sum(share > 0.02 for share in red) > 20


def test_only_the_real_part_of_a_face_is_pasted():
    real = np.array([0.25, 0.25, 0.75, 0.75], np.float32)
    for seed in range(20):
        rng = np.random.default_rng(seed)
        mask = scenes._mask(100, real, rng, oval=bool(seed % 2))  # pyright: ignore[reportPrivateUsage]
        assert mask[50, 50] > 0.99
        assert mask[:5].max() < 1e-3
        assert mask[:, 95:].max() < 1e-3


def test_a_mirrored_face_has_its_real_part_mirrored():
    faces = np.zeros((1, 144, 144, 3), np.uint8)
    faces[:, :, :36] = 200
    given = SceneSource(faces, np.array([[0, 0.5, 0.25, 1]], np.float32), faces)
    sides = set()
    for seed in range(20):
        image, real = scenes._face(given, np.random.default_rng(seed))  # pyright: ignore[reportPrivateUsage]
        left = float(image[:, :36].mean()) > float(image[:, -36:].mean())
        assert real.tolist() == ([0, 0.5, 0.25, 1] if left else [0.75, 0.5, 1, 1])
        sides.add(left)
    assert sides == {True, False}


def test_spoiling_changes_pixels_and_nothing_else():
    image = blue_image(0, CANVAS, CANVAS)
    spoiled = [spoil(image, np.random.default_rng(seed)) for seed in range(20)]
    assert all(each.shape == image.shape and each.dtype == np.uint8 for each in spoiled)
    assert sum(not np.array_equal(each, image) for each in spoiled) > 5


def test_targets_of_an_unturned_view_are_the_teachers_maps():
    scene = draw_scene(source(), np.random.default_rng(3))
    taught = join_cells(toy_answer(scene), (CANVAS, CANVAS), STRIDES)
    assert [m.shape for m in taught] == [(15, CANVAS // t, CANVAS // t) for t in STRIDES]
    corners = set()
    for seed in range(40):
        view = sample_view(SIDE, np.random.default_rng(seed))
        if view[0, 1]:
            continue
        x, y = (round(v) for v in view[:, 2])
        corners.add((x, y))
        assert np.array_equal(seen(scene, view, SIDE), scene[y : y + SIDE, x : x + SIDE])
        for found, maps, t in zip(
            targets(taught, view, SIDE, STRIDES), taught, STRIDES, strict=True
        ):
            part = maps[:, y // t : (y + SIDE) // t, x // t : (x + SIDE) // t]
            assert np.allclose(found[:15], part, atol=1e-4)
            assert np.array_equal(found[0], part[0])
            assert (found[15] == 1).all()
    assert len(corners) > 3


@pytest.mark.parametrize("degrees", [-70, -20, 35, 75])
def test_box_and_landmarks_of_a_turned_view_lie_on_the_turned_face(degrees):
    width, height = 60.0, 80.0
    taught, marks = one_face((170, 140), width, height)
    scene = np.zeros((CANVAS, CANVAS, 3), np.uint8)
    for x, y in marks:
        cv2.circle(scene, (round(x), round(y)), 3, (255, 255, 255), -1)
    view = turned_view(degrees)
    image = seen(scene, view, SIDE)
    rows = decoded(targets(taught, view, SIDE, STRIDES))
    assert len(rows)
    # Points of the view are brought to the scene by the view itself.
    middle = np.linalg.solve(view[:, :2], np.array([170, 140]) - view[:, 2])
    angle = np.deg2rad(degrees)
    wide = np.hypot(width * np.cos(angle), height * np.sin(angle))
    high = np.hypot(width * np.sin(angle), height * np.cos(angle))
    for row in rows:
        for x, y in row[4:14].reshape(5, 2):
            assert image[int(y), int(x)].min() > 150
        assert (row[:2] + row[2:4]) / 2 == pytest.approx(middle, abs=0.01)
        assert row[2:4] - row[:2] == pytest.approx([wide, high], rel=1e-4)


def test_a_face_that_the_cut_leaves_out_is_not_taught():
    view = np.array([[1.0, 0, 64], [0, 1, 64]])
    outside, _ = one_face((20, 20), 30, 30)
    assert len(decoded(targets(outside, view, SIDE, STRIDES))) == 0
    # One that the edge cuts is taught where its cells are seen, with what lies outside.
    cut, marks = one_face((70, 180), 60, 60)
    rows = decoded(targets(cut, view, SIDE, STRIDES))
    assert len(rows)
    assert rows[:, 0].max() < 0
    assert np.allclose(rows[:, 4:14].reshape(-1, 5, 2) + 64, marks, atol=0.01)


@pytest.mark.parametrize("degrees", [0, 30, 60])
def test_targets_have_no_holes(degrees):
    everywhere = [np.ones((15, CANVAS // t, CANVAS // t), np.float32) for t in STRIDES]
    view = turned_view(degrees)
    for found, stride in zip(targets(everywhere, view, SIDE, STRIDES), STRIDES, strict=True):
        cells = SIDE // stride
        middle = (np.stack(np.meshgrid(np.arange(cells), np.arange(cells)), -1) + 0.5) * stride
        place = middle @ view[:, :2].T + view[:, 2]
        inside = ((place >= 0) & (place < CANVAS)).all(axis=-1)
        assert np.array_equal(found[0] > 0, inside)
        assert np.isfinite(found).all()
        assert inside.mean() > 0.8


def test_views_are_turned_sometimes_and_stay_near_the_scene():
    views = [sample_view(SIDE, np.random.default_rng(seed)) for seed in range(200)]
    turned = [view for view in views if view[0, 1]]
    assert 60 < len(turned) < 120
    for view in views:
        assert np.allclose(view[:, :2] @ view[:, :2].T, np.eye(2))
        middle = view[:, :2] @ [SIDE / 2, SIDE / 2] + view[:, 2]
        assert (np.abs(middle - CANVAS / 2) < (CANVAS - SIDE) / 2 + 1e-6).all()
