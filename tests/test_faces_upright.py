"""Photographs on their side or upside down, and those that one face fills."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import mien
from mien.errors import MienError
from mien.faces.face import Face
from mien.faces.upright import find_upright, turn_face
from mien.pipeline.crops import Cropper


class Finder:
    """Finds a red eye beside a blue one: a face of twice their distance; red must be at the left.

    Like a real one it does not see a face that touches the edge.
    """

    name = "finder"

    def __init__(self, score: float = 0.95) -> None:
        self.score = score

    def __call__(self, image: np.ndarray) -> list[Face]:
        red = spots((image[..., 0] > 200) & (image[..., 2] < 50))
        blue = spots((image[..., 2] > 200) & (image[..., 0] < 50))
        pairs = [
            (one, min(blue, key=lambda other: np.hypot(*(other - one)))) for one in red if blue
        ]
        return [face for one, other in pairs for face in self.between(image, one, other)]

    def between(self, image: np.ndarray, one: np.ndarray, other: np.ndarray) -> list[Face]:
        (y1, x1), (y2, x2) = one, other
        if x2 - x1 < 3 * abs(y2 - y1):
            return []
        half, x, y = x2 - x1, (x1 + x2) / 2, (y1 + y2) / 2
        box = (x - half, y - half, x + half, y + half)
        if min(box[:2]) < 0 or box[2] > image.shape[1] or box[3] > image.shape[0]:
            return []
        marks = np.array([(x1, y1), (x2, y2), (x, y), (x1, y), (x2, y)], np.float32)
        return [Face(box, self.score, marks, "image")]


def spots(mask: np.ndarray) -> list[np.ndarray]:
    """Middles of connected regions: y, x."""
    _, _, _, middles = cv2.connectedComponentsWithStats(mask.astype(np.uint8))
    return [middle[::-1] + 0.5 for middle in middles[1:]]


def photograph(height: int = 90, width: int = 140) -> np.ndarray:
    image = np.full((height, width, 3), 120, np.uint8)
    image[40:44, 60:64] = (255, 0, 0)
    image[40:44, 80:84] = (0, 0, 255)
    return image


@pytest.mark.parametrize("turn", [0, 1, 2, 3])
def test_a_face_is_found_whichever_way_up_the_photograph_lies(turn):
    lying = np.ascontiguousarray(np.rot90(photograph(), -turn))
    (face,) = find_upright(lying, Finder())
    assert face.turn == turn
    x, y = round((face.box[0] + face.box[2]) / 2), round((face.box[1] + face.box[3]) / 2)
    assert face.box[2] - face.box[0] == face.box[3] - face.box[1] == 40
    assert face.landmarks is not None
    column, row = face.landmarks[0].astype(int)
    assert lying[row, column].tolist() == [255, 0, 0]
    assert face.landmarks[2].tolist() == [x, y]
    crop = Cropper(Finder(), 40).cut(lying, face)
    expected = Cropper(Finder(), 40)(photograph())[0].pixels
    assert np.array_equal(crop.pixels, expected)
    assert crop.face is face


def test_turning_four_times_changes_nothing():
    marks = np.array([[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]], np.float32)
    face = Face((10, 20, 40, 60), 0.5, marks)
    turned = turn_face(face, 1, 100, 200)
    assert turned.box == (20, 160, 60, 190)
    back = turn_face(turned, -1, 200, 100)
    assert back.box == face.box
    assert back.landmarks is not None
    assert np.array_equal(back.landmarks, marks)


def test_a_face_that_fills_the_image_is_found_with_a_border():
    close = photograph()[30:54, 56:88]
    assert Finder()(close) == []
    (face,) = find_upright(np.ascontiguousarray(close), Finder())
    assert face.turn == 0
    assert face.box == (-4.0, -8.0, 36.0, 32.0)


def test_a_doubtful_find_gives_way_to_a_sure_one_only():
    class Doubtful(Finder):
        def __call__(self, image):
            found = super().__call__(image)
            return found or [Face((0, 0, 9, 9), 0.4, framing="image")]

    lying = np.ascontiguousarray(np.rot90(photograph(), 2))
    assert [face.turn for face in find_upright(lying, Doubtful(0.95))] == [2]
    assert [face.box for face in find_upright(lying, Doubtful(0.8))] == [(0, 0, 9, 9)]


@pytest.mark.parametrize(
    ("upright", "turned", "expected"),
    [(0.7, 0.95, 2), (0.8, 0.84, 0), (0.88, 0.9, 0), (0.92, 0.99, 0)],
)
def test_a_lying_face_that_is_taken_for_an_upright_one_gives_way(upright, turned, expected):
    class Credulous(Finder):
        """Sees the lying face, too, with a lower score."""

        def __call__(self, image):
            return super().__call__(image) or [Face((0, 0, 9, 9), upright, framing="image")]

    lying = np.ascontiguousarray(np.rot90(photograph(), 2))
    (face,) = find_upright(lying, Credulous(turned))
    assert face.turn == expected


def test_an_uncertain_face_costs_three_small_looks():
    seen = []

    class Counting(Finder):
        def __call__(self, image):
            seen.append(image.shape[:2])
            return super().__call__(image)

    image = np.pad(photograph(), ((300, 300), (300, 300), (0, 0)), constant_values=120)
    assert [face.turn for face in find_upright(image, Counting(0.7))] == [0]
    assert seen[0] == image.shape[:2]
    assert len(seen) == 4
    assert max(max(shape) for shape in seen[1:]) == 320


def test_nothing_is_made_up():
    assert find_upright(np.full((40, 50, 3), 120, np.uint8), Finder()) == []


def test_faces_are_detected_and_cropped_in_python(monkeypatch, tmp_path):
    monkeypatch.setattr("mien.pipeline.detect.open_detector", lambda _: Finder())
    (face,) = mien.detect(photograph())
    assert face.box == (52, 22, 92, 62)
    assert np.array_equal(mien.crop(photograph(), face, size=40), photograph()[22:62, 52:92])
    assert mien.detect(np.zeros((20, 20, 3), np.uint8)) == []
    for size in (0, -1, 5000):
        with pytest.raises(MienError, match="1 to 4096"):
            mien.crop(photograph(), face, size=size)
    with pytest.raises(MienError, match="no such file"):
        mien.detect(tmp_path / "missing.png")
