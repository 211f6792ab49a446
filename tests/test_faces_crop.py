"""What is cut out of an image: where, how large, how smooth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image

from mien.errors import MienError
from mien.faces.crop import crop_face, crop_square
from mien.faces.face import Face, overlap


def ramp(height: int, width: int) -> np.ndarray:
    """Red counts columns, green rows."""
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([columns, rows, 0 * rows], axis=2).astype(np.uint8)


def test_the_whole_image_is_itself():
    image = ramp(20, 20)
    face = Face((0, 0, 20, 20), 1.0, framing="image")
    assert np.array_equal(crop_face(image, face, 20), image)


def test_none_takes_the_centre_square():
    face = Face((0, 0, 30, 20), 1.0, framing="image")
    assert crop_square(face) == (15, 10, 20)
    assert np.array_equal(crop_face(ramp(20, 30), face, 20), ramp(20, 30)[:, 5:25])
    tall = Face((0, 0, 20, 31), 1.0, framing="image")
    assert crop_square(tall) == (10, 15.5, 20)


def test_places_between_pixels_are_exact():
    image = ramp(200, 200)
    face = Face((40.25, 60.5, 104.25, 124.5), 1.0, framing="image")
    crop = crop_face(image, face, 16).astype(float)
    # A pixel's centre is half a pixel from its edge, which is where the box counts from.
    columns = 40.25 + (np.arange(16) + 0.5) * 4 - 0.5
    assert np.abs(crop[5, :, 0] - columns).max() <= 1
    assert np.abs(crop[:, 5, 1] - (columns + 20.25)).max() <= 1


def test_edges_go_on_beyond_the_image():
    image = ramp(40, 40) + 100
    face = Face((-20, -20, 20, 20), 1.0, framing="image")
    crop = crop_face(image, face, 40)
    assert (crop[:20, :20, :2] == 100).all()
    assert np.array_equal(crop[20:, 20:], image[:20, :20])


@pytest.mark.parametrize("turn", [0, 1, 2])
def test_a_crop_anywhere_is_that_of_pixels_chosen_one_by_one(turn):
    generator = np.random.default_rng(0)
    image = np.rot90(generator.integers(0, 256, (60, 80, 3), np.uint8), turn)
    for x, y, side in generator.uniform([-20, -20, 8], [70, 70, 60], (40, 3)).tolist():
        size, margin = 24, math.ceil(side / 24) + 1
        face = Face((x, y, x + side, y + side), 1.0, framing="image")
        if x + side <= 0 or y + side <= 0 or x >= image.shape[1] or y >= image.shape[0]:
            continue
        left, top = math.floor(x) - margin, math.floor(y) - margin
        columns = np.arange(left, math.ceil(x + side) + margin).clip(0, image.shape[1] - 1)
        rows = np.arange(top, math.ceil(y + side) + margin).clip(0, image.shape[0] - 1)
        inner = (x - left, y - top, x + side - left, y + side - top)
        wanted = Image.fromarray(np.ascontiguousarray(image[rows][:, columns])).resize(
            (size, size), Image.Resampling.BILINEAR, box=inner
        )
        assert np.array_equal(crop_face(image, face, size), np.array(wanted))


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((90, 90, 120, 120), "lies outside the image of 40 x 40"),
        ((-30, 0, 0, 30), "lies outside"),
        ((-200, -200, 200, 200), "is far larger than"),
    ],
)
def test_a_box_of_another_image_is_refused(box, message):
    with pytest.raises(MienError, match=message):
        crop_face(ramp(40, 40), Face(box, 1.0, framing="image"), 8)


def test_fine_patterns_do_not_alias():
    image = np.zeros((256, 256, 3), np.uint8)
    image[::2] = 255
    crop = crop_face(image, Face((0, 0, 256, 256), 1.0, framing="image"), 32)
    assert np.abs(crop[1:-1].astype(int) - 128).max() <= 2


def test_a_mirrored_image_gives_the_mirrored_crop():
    image = np.random.default_rng(0).integers(0, 256, (50, 60, 3), np.uint8)
    face = Face((10.5, 4, 40.25, 35), 1.0, framing="image")
    mirrored = Face((60 - 40.25, 4, 60 - 10.5, 35), 1.0, framing="image")
    crop = crop_face(np.ascontiguousarray(image[:, ::-1]), mirrored, 24)
    assert np.abs(crop[:, ::-1].astype(int) - crop_face(image, face, 24)).max() <= 1


@pytest.mark.parametrize("size", [1, 7, 64, 128])
def test_any_size_of_any_image(size):
    one = np.full((1, 1, 3), 9, np.uint8)
    crop = crop_face(one, Face((0, 0, 1, 1), 1.0, framing="image"), size)
    assert crop.shape == (size, size, 3)
    assert (crop == 9).all()
    assert crop.dtype == np.uint8


def test_detectors_frame_differently():
    """A tight tall box and a square one of the same face end up as nearly the same square."""
    haar = crop_square(Face((100, 100, 200, 200), 1.0))
    yunet = crop_square(Face((109, 95.5, 191, 206), 1.0, framing="yunet"))
    assert haar[2] == pytest.approx(105)
    assert np.abs(np.subtract(haar, yunet)).max() < 4


@pytest.mark.parametrize("box", [(0, 0, 0, 5), (5, 0, 1, 5), (0, 0, float("nan"), 5)])
def test_a_box_without_extent_is_refused(box):
    with pytest.raises(ValueError, match="box"):
        crop_face(ramp(9, 9), Face(box, 1.0), 8)


def test_scaling_a_face():
    face = Face((1, 2, 3, 4), 0.5, np.ones((5, 2), np.float32), "yunet").scaled(4)
    assert face.box == (4, 8, 12, 16)
    assert face.landmarks is not None
    assert face.landmarks.tolist() == [[4, 4]] * 5
    assert (face.score, face.framing) == (0.5, "yunet")
    assert Face((1, 2, 3, 4), 0.5).scaled(2).landmarks is None


def test_overlap_by_hand():
    assert overlap((0, 0, 2, 2), (0, 0, 2, 2)) == 1
    assert overlap((0, 0, 2, 2), (1, 0, 3, 2)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 2, 2), (2, 0, 4, 2)) == 0
    assert overlap((0, 0, 4, 4), (1, 1, 2, 2)) == pytest.approx(1 / 16)
