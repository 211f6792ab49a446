"""`mien.analyze`: the faces of images in memory or on disk, with their factors."""

import io

import numpy as np
import pytest
import torch
from PIL import Image

import mien
from mien.errors import MienError
from mien.faces.face import Face
from mien.media.image import write_png

MARKS = np.arange(10, dtype=np.float32).reshape(5, 2)


def image(seed, height=40, width=40):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_all_kinds_of_images_give_the_same_faces(tiny_model, tmp_path):
    pixels = image(0)
    write_png(tmp_path / "a.png", pixels)
    stored = io.BytesIO((tmp_path / "a.png").read_bytes())
    given = [pixels, tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(pixels), stored]
    faces = mien.analyze(given, model=tiny_model, detector="none", batch_size=2)
    assert [face.image for face in faces] == [0, 1, 2, 3, 4]
    for face in faces:
        assert face.box == (0, 0, 40, 40)
        assert face.score == 1
        assert face.landmarks is None
        assert np.array_equal(face.crop, faces[0].crop)
        assert len(face.factors) == 1
        torch.testing.assert_close(face.factors.identity, faces[0].factors.identity)
    crop = torch.from_numpy(faces[0].crop).permute(2, 0, 1)[None]
    torch.testing.assert_close(tiny_model.encode(crop).identity, faces[0].factors.identity)


def test_one_image_needs_no_list(tiny_model):
    for one in (image(1), Image.fromarray(image(1))):
        (face,) = mien.analyze(one, model=tiny_model, detector="none", features=True)
        assert face.factors.features is not None


def test_several_faces_of_an_image_and_none_of_another(tiny_model, monkeypatch):
    class TwoFaces:
        name = "fake"

        def __call__(self, pixels):
            boxes = [(20, 0, 30, 10), (0, 0, 10, 10)] if pixels[0, 0, 0] else []
            return [Face(box, 0.5, MARKS, framing="image") for box in boxes]

    monkeypatch.setattr("mien.pipeline.crops.open_detector", lambda _: TwoFaces())
    empty = np.zeros((40, 40, 3), np.uint8)
    full = np.full((40, 40, 3), 9, np.uint8)
    faces = mien.analyze([empty, full, empty], model=tiny_model)
    assert [(face.image, face.box) for face in faces] == [(1, (0, 0, 10, 10)), (1, (20, 0, 30, 10))]
    assert faces[0].landmarks is not None
    assert np.array_equal(faces[0].landmarks, MARKS)
    assert faces[0].score == 0.5
    assert mien.analyze([], model=tiny_model, detector="none") == []


def test_a_box_is_in_the_pixels_of_the_file(tiny_model, tmp_path, monkeypatch):
    write_png(tmp_path / "large.png", image(2, 30, 4200))
    (face,) = mien.analyze(tmp_path / "large.png", model=tiny_model, detector="none")
    assert face.box == (0, 0, 4200, 30)


@pytest.mark.parametrize(
    ("broken", "line"),
    [
        (np.zeros((4, 4), np.uint8), r"image 1 is uint8 \[4, 4\]: give uint8 RGB"),
        (np.zeros((4, 4, 3)), r"image 1 is float64 \[4, 4, 3\]"),
        (io.BytesIO(b""), "image 1 is empty"),
        (io.BytesIO(b"no image"), "image 1 is not an image that can be read"),
        ("nowhere.png", "cannot read nowhere.png"),
    ],
)
def test_what_cannot_be_read_is_named(tiny_model, broken, line):
    with pytest.raises(MienError, match=line):
        mien.analyze([image(0), broken], model=tiny_model, detector="none")


def test_batches_hold_at_least_one_face(tiny_model):
    with pytest.raises(MienError, match="batch_size is at least 1"):
        mien.analyze(image(0), model=tiny_model, detector="none", batch_size=0)


def test_no_images_give_no_faces(tiny_model):
    assert mien.analyze([], model=tiny_model, detector="none") == []
