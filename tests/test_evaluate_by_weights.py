from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mien.embedding.run import embed
from mien.errors import MienError
from mien.evaluate.by_weights import FACE_COLUMNS, factors_by_weights
from mien.evaluate.protocol import Images
from mien.faces.face import Face
from mien.media.image import write_png
from mien.model import Model, load
from mien.pipeline import crops as module
from mien.types import Factors, GazeCode


def coloured(*colours: int, size: int = 40) -> list[np.ndarray]:
    return [np.full((size, size, 3), colour, np.uint8) for colour in colours]


def of(images: list[np.ndarray], **more: Any) -> Images:
    names = tuple(f"{i}.png" for i in range(len(images)))
    return Images(names, lambda row: images[row], **more)


def noise(count: int, size: int = 40) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8))


def test_a_face_crop_has_the_factors_that_embed_gives(tiny_model: Model, tmp_path: Path) -> None:
    images = noise(7)
    for i, image in enumerate(images):
        write_png(tmp_path / f"{i}.png", image)
    wanted = embed([tmp_path], model=tiny_model, detector="none", features=True)
    progress: list[tuple[int, int]] = []
    describe = factors_by_weights(
        tiny_model, batch_size=3, workers=2, on_progress=lambda *how_far: progress.append(how_far)
    )
    columns = [name for name in FACE_COLUMNS if name != "face_embedding"]
    given = describe(of(images, crop="face"), columns)
    assert given.found.all()
    assert given.detected.all()
    assert set(given.columns) == set(columns)
    for name in columns:
        expected = np.stack(list(wanted[name])).astype(np.float32)
        assert given[name].shape == expected.shape
        assert given[name].dtype == np.float32
        np.testing.assert_allclose(given[name], expected, atol=1e-5, err_msg=name)
    assert progress == [(3, 7), (6, 7), (7, 7)]


def test_the_columns_that_can_be_had_are_named(tiny_model: Model) -> None:
    columns = factors_by_weights(tiny_model).columns
    assert columns == {*FACE_COLUMNS} - {"face_embedding"}
    eyes = factors_by_weights(EyeModel()).columns  # type: ignore[arg-type]
    assert {"gaze_code", "eyes_found"} <= eyes


def test_only_what_is_asked_for_is_kept(tiny_model: Model) -> None:
    given = factors_by_weights(tiny_model)(of(noise(2), crop="face"), ["yaw_rad"])
    assert list(given.columns) == ["yaw_rad"]
    assert given["yaw_rad"].shape == (2,)


class Localizer:
    """Finds in an image as many faces as its top left pixel says: corner, middle, corner."""

    name = "fake"

    def __call__(self, image: np.ndarray) -> list[Face]:
        boxes = [(0, 0, 10, 10), (14, 16, 28, 30), (30, 30, 40, 40)]
        return [Face(box, 1.0, framing="image") for box in boxes[: int(image[0, 0, 0])]]


def test_the_face_nearest_to_the_middle(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "open_detector", lambda name: Localizer())
    images = noise(3)
    for count, image in zip((3, 0, 1), images, strict=True):
        image[0, 0] = count
    given = factors_by_weights(tiny_model, detector="haar")(of(images), ["identity"])
    assert given.found.tolist() == given.detected.tolist() == [True, False, True]
    assert np.isnan(given["identity"][1]).all()
    boxes = np.array([[14, 16, 28, 30], [0, 0, 1, 1], [0, 0, 10, 10]])
    by_box = factors_by_weights(tiny_model)(of(images, crop="box", boxes=boxes), ["identity"])
    np.testing.assert_allclose(given["identity"][[0, 2]], by_box["identity"][[0, 2]], atol=1e-5)
    assert np.abs(by_box["identity"][0] - by_box["identity"][2]).max() > 1e-3


def test_the_fallback_square_is_found_but_not_detected(
    tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "open_detector", lambda name: Localizer())
    images = noise(2)
    images[0][0, 0], images[1][0, 0] = 0, 2
    given = factors_by_weights(tiny_model)(
        of(images, fallback=(0.25, 0.25, 0.75, 0.75)), ["shape_code"]
    )
    assert given.found.tolist() == [True, True]
    assert given.detected.tolist() == [False, True]
    boxes = np.array([[10, 10, 30, 30], [14, 16, 28, 30]])
    by_box = factors_by_weights(tiny_model)(of(images, crop="box", boxes=boxes), ["shape_code"])
    np.testing.assert_allclose(given["shape_code"], by_box["shape_code"], atol=1e-5)


@dataclass(frozen=True)
class GazeSize:
    code_dim: int = 2


@dataclass(frozen=True)
class Config:
    texture_dim: int = 1
    shape_dim: int = 1
    face_embedding_dim: int = 0
    gaze: GazeSize | None = field(default_factory=GazeSize)


@dataclass
class EyeModel:
    """The code of a crop is its mean colour; below 100 it has no eyes, above 250 it breaks."""

    weights_id: str = "fake00000000"
    crop_size: int = 8
    eye_crop_size: tuple[int, int] = (20, 40)
    features_dim: int = 1
    config: Config = field(default_factory=Config)

    def encode_eyes(self, eye_crops: torch.Tensor, /) -> GazeCode:
        assert eye_crops.shape[1:] == (3, 20, 40)
        mean = eye_crops.float().mean(dim=(1, 2, 3))
        code = torch.stack([mean, -mean], dim=1)
        code[mean > 250] = float("inf")
        code[mean < 50] = float("inf")
        count = len(eye_crops)
        return GazeCode(code, mean >= 100, torch.zeros(count, 2, 2), torch.ones(count))


def eye_crops(*colours: int) -> list[np.ndarray]:
    return [np.full((20, 40, 3), colour, np.uint8) for colour in colours]


def test_eye_crops_give_gaze_and_nothing_where_no_eyes_are_seen() -> None:
    describe = factors_by_weights(EyeModel())  # type: ignore[arg-type]
    given = describe(of(eye_crops(120, 80, 10, 200), crop="eyes"), ["gaze_code", "eyes_found"])
    assert given.found.all()
    nothing = [np.nan, np.nan]
    np.testing.assert_array_equal(given["gaze_code"], [[120, -120], nothing, nothing, [200, -200]])
    np.testing.assert_array_equal(given["eyes_found"], [1, 0, 0, 1])


def test_what_cannot_be_had_is_refused(tiny_model: Model) -> None:
    faces, eyes = of(noise(1), crop="face"), of(eye_crops(120), crop="eyes")
    with pytest.raises(MienError, match="have no gaze branch"):
        factors_by_weights(tiny_model)(faces, ["gaze_code"])
    with pytest.raises(MienError, match="no column gaze_x without a calibration"):
        factors_by_weights(tiny_model)(faces, ["gaze_x"])
    describe = factors_by_weights(EyeModel())  # type: ignore[arg-type]
    with pytest.raises(MienError, match="eye-region crops show no identity"):
        describe(eyes, ["identity"])
    with pytest.raises(MienError, match=r"0\.png: no eye-region crop"):
        describe(of([np.zeros((50, 40, 3), np.uint8)], crop="eyes"), ["gaze_code"])
    with pytest.raises(
        MienError, match=r"fake00000000 give factors that are not finite for 1\.png"
    ):
        describe(of(eye_crops(120, 255), crop="eyes"), ["gaze_code"])


def test_an_image_that_cannot_be_read_is_an_error(tiny_model: Model) -> None:
    def read(row: int) -> np.ndarray:
        raise MienError(f"{row}.png is missing")

    with pytest.raises(MienError, match=r"0\.png is missing"):
        factors_by_weights(tiny_model)(Images(("0.png",), read, crop="face"), ["identity"])


def test_no_images(tiny_model: Model) -> None:
    given = factors_by_weights(tiny_model)(of([], crop="face"), ["identity", "yaw_rad"])
    assert given["identity"].shape == (0, 32)
    assert given["yaw_rad"].shape == (0,)


def test_what_needs_no_gaze_is_encoded_by_the_models_own_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[tuple[str, bool]] = []
    encode = Model.encode

    def seen(self: Model, images: torch.Tensor, *, features: bool = False) -> Factors:
        factors = encode(self, images, features=features)
        asked.append((self.engine, factors.gaze is None))
        return factors

    monkeypatch.setattr(Model, "encode", seen)
    images, columns = noise(3, size=128), ["identity", "expression", "yaw_rad", "face_embedding"]
    found = {
        engine: factors_by_weights(load(engine=engine))(of(images, crop="face"), columns)
        for engine in ("onnx", "torch")
    }
    assert asked == [("onnx", True), ("torch", True)]
    for name in columns:
        np.testing.assert_allclose(found["onnx"][name], found["torch"][name], atol=5e-4)
