"""Arrows of gaze: where they point, how long, what they leave alone."""

import math

import numpy as np
import pytest

from mien.geometry.gaze import gaze_vector
from mien.views.gaze_arrow import FaceGaze, draw_gazes

AHEAD = (0.0, 0.0, -1.0)


def draw_gaze(image, eyes, direction, length, std_rad=None):
    return draw_gazes(image, [FaceGaze(np.asarray(eyes), np.asarray(direction), length, std_rad)])


def wall(level=128, height=128, width=160):
    return np.full((height, width, 3), level, np.uint8)


def looking(yaw, pitch=0.0):
    return gaze_vector(np.array(yaw), np.array(pitch))


def changed(image, drawn):
    """Rows and columns of the pixels that differ. [n, 2]."""
    return np.argwhere((image != drawn).any(axis=2))


def test_an_arrow_points_where_the_face_looks():
    image = wall()
    for yaw, pitch, down, right in [
        (0.6, 0, 0, -1),  # yaw + is image-left
        (-0.6, 0, 0, 1),
        (0, 0.6, -1, 0),  # pitch + is up
        (0, -0.6, 1, 0),
    ]:
        found = changed(image, draw_gaze(image, [80, 64], looking(yaw, pitch), 60.0))
        offset = found.mean(axis=0) - (63.5, 79.5)
        assert offset @ (down, right) > 10
        assert abs(offset @ (right, down)) < 0.5
    assert (image == 128).all(), "the image that was given is left alone"


@pytest.mark.parametrize("yaw", [0.2, 0.5, 1.0, math.pi / 2])
def test_an_arrow_is_as_long_as_the_gaze_is_turned_aside(yaw):
    image = wall()
    found = changed(image, draw_gaze(image, [120, 64], looking(yaw), 80.0))
    # The rim adds about a pixel.
    assert 120 - found[:, 1].min() == pytest.approx(80 * math.sin(yaw), abs=3)


def test_a_gaze_into_the_camera_is_a_dot_on_each_eye():
    image = wall()
    found = changed(image, draw_gaze(image, [[40, 50], [100, 50]], AHEAD, 60.0))
    left, right = found[found[:, 1] < 70], found[found[:, 1] >= 70]
    for eye, x in ((left, 40), (right, 100)):
        assert 4 < len(eye) < 60
        # Pixel centres lie at whole numbers, edges half a pixel before them.
        np.testing.assert_allclose(eye.mean(axis=0), (49.5, x - 0.5), atol=0.3)


def test_a_slight_gaze_still_says_which_way():
    image = wall()
    dot = changed(image, draw_gaze(image, [80, 64], AHEAD, 100.0))
    slight = changed(image, draw_gaze(image, [80, 64], looking(0.09), 100.0))
    assert slight[:, 1].min() < dot[:, 1].min() - 3
    assert slight[:, 1].max() == dot[:, 1].max()


def test_the_mirrored_gaze_gives_the_mirrored_image():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (90, 121, 3), dtype=np.uint8)
    eyes = np.array([[50.3, 40.7], [71.9, 42.2]])
    direction = looking(0.4, -0.3)
    drawn = draw_gaze(image, eyes, direction, 50.0, 0.1)
    twin = draw_gaze(
        np.ascontiguousarray(image[:, ::-1]),
        np.array([121, 0]) + eyes * (-1, 1),
        direction * (-1, 1, 1),
        50.0,
        0.1,
    )
    apart = np.abs(drawn.astype(int) - twin[:, ::-1])
    # A polygon's edge may fall to either side; a shift by half a pixel would cost 0.5 and more.
    assert apart.mean() < 0.1
    assert apart.max() < 100


def test_a_cone_shows_how_far_off_the_gaze_may_be():
    image = wall()
    plain = len(changed(image, draw_gaze(image, [80, 64], AHEAD, 60.0)))
    for std in (0.1, 0.3):
        found = changed(image, draw_gaze(image, [80, 64], AHEAD, 60.0, std))
        radius = 60 * math.sin(std)
        assert len(found) == pytest.approx(math.pi * radius**2, rel=0.2)
        assert len(found) > plain
    # To the side it spreads upwards and downwards, and hardly beyond the tip.
    found = changed(image, draw_gaze(image, [110, 64], looking(math.pi / 2), 60.0, 0.3))
    assert np.ptp(found[:, 0]) == pytest.approx(2 * 60 * math.sin(0.3), abs=3)
    assert 110 - found[:, 1].min() == pytest.approx(60, abs=3)
    assert draw_gaze(image, [80, 64], AHEAD, 60.0, 9.0).shape == image.shape


@pytest.mark.parametrize("level", [0, 60, 128, 200, 255])
def test_an_arrow_stands_out_on_any_face_at_128_pixels(level):
    image = wall(level)
    drawn = draw_gaze(image, [80, 64], looking(0.4), 90.0).astype(int)
    along_the_shaft = drawn[63:65, 56:72]
    assert (np.abs(along_the_shaft - level).max(axis=2) > 100).all()
    column = drawn[56:72, 64].sum(axis=1)
    assert column.max() - column.min() > 250, "bright within dark"


def test_all_faces_are_drawn_and_what_lies_outside_is_left_out():
    image = wall()
    faces = [
        FaceGaze(np.array([30.0, 30.0]), np.array(AHEAD), 40.0),
        FaceGaze(np.array([130.0, 90.0]), looking(0.5), 40.0, 0.1),
        FaceGaze(np.array([-400.0, 900.0]), looking(0.5), 40.0, 0.1),
        FaceGaze(np.array([158.0, 2.0]), looking(-1.0, 1.0), 300.0, 0.1),  # leaves the image
    ]
    found = changed(image, draw_gazes(image, faces))
    for x, y in ((30, 30), (130, 90), (158, 2)):
        assert (np.abs(found - (y, x)).sum(axis=1) < 3).any()
    assert (draw_gazes(image, faces[2:3]) == image).all()
    assert (draw_gazes(image, []) == image).all()


def test_what_cannot_be_drawn_is_refused():
    image = wall()
    good = {"eyes": [80, 64], "direction": AHEAD, "length": 50.0}
    for bad in (
        {"direction": (0, 0, 0)},
        {"direction": (math.nan, 0, -1)},
        {"direction": (0, 1)},
        {"eyes": [[1, 2], [3, math.nan]]},
        {"eyes": [1, 2, 3]},
        {"length": 0.0},
        {"length": math.inf},
        {"std_rad": math.nan},
    ):
        with pytest.raises(ValueError, match=r"must be"):
            draw_gaze(image, **{**good, **bad})
    with pytest.raises(ValueError, match="uint8 RGB"):
        draw_gaze(image.astype(np.float32), **good)
    with pytest.raises(ValueError, match="uint8 RGB"):
        draw_gaze(image[..., 0], **good)
