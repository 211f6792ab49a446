"""The library with a gaze branch: all factors in one pass, eye-region crops, gaze redirection."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mien.errors import MienError
from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model, load

SMALL = GazeConfig(code_dim=4, dim=32, heads=2, stem_width=8)


@pytest.fixture
def model() -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        sizes = ModelConfig(image_size=32, texture_dim=8, shape_dim=8, width=8, feature_dim=16)
        return Model(LatentFace(sizes), gaze=EMIB(SMALL))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def test_all_factors_come_in_one_pass(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    assert model.crop_size == 224
    assert factors.gaze is not None
    assert factors.gaze.code.shape == (3, 4)
    assert factors.gaze.eyes_found.dtype == torch.bool
    assert factors.gaze.eyes.shape == (3, 2, 2)
    first = factors[:2].gaze
    assert first is not None
    assert len(first) == 2
    joined = type(factors).cat([factors[:1], factors[1:]])
    assert joined.gaze is not None
    assert torch.equal(joined.gaze.code, factors.gaze.code)


def test_a_face_is_read_alike_alone_and_in_a_batch(model: Model, images: torch.Tensor) -> None:
    together, alone = model.encode(images).gaze, model.encode(images[1:2]).gaze
    assert together is not None
    assert alone is not None
    assert torch.allclose(together.code[1], alone.code[0], atol=1e-5)


def test_without_a_branch_there_is_no_gaze(model: Model, images: torch.Tensor) -> None:
    plain = Model(model.network)
    assert plain.encode(images).gaze is None
    assert plain.config.gaze is None
    assert plain.crop_size == 32
    with pytest.raises(MienError, match="no gaze branch"):
        plain.encode_eyes(images)
    with pytest.raises(MienError, match="no gaze branch"):
        plain.redirect_gaze(images, torch.zeros(1, 4))


def test_eye_crops_of_any_size_are_read(model: Model) -> None:
    eye_crops = torch.rand(2, 3, 96, 200, generator=torch.Generator().manual_seed(1))
    gaze = model.encode_eyes(eye_crops)
    assert gaze.code.shape == (2, 4)
    large = torch.nn.functional.interpolate(eye_crops, scale_factor=2.0)
    assert model.encode_eyes(large).code.shape == (2, 4)
    assert model.eye_crop_size == (96, 200)


def test_saved_weights_hold_both_methods(
    model: Model, images: torch.Tensor, tmp_path: Path
) -> None:
    model.save(tmp_path / "weights")
    again = load(tmp_path / "weights")
    assert again.config == model.config
    one, other = model.encode(images), again.encode(images)
    assert torch.equal(one.identity, other.identity)
    assert one.gaze is not None
    assert other.gaze is not None
    assert torch.equal(one.gaze.code, other.gaze.code)


def test_redirected_gaze_changes_the_eyes_alone(model: Model, images: torch.Tensor) -> None:
    gaze = model.encode(images).gaze
    assert gaze is not None
    rendered = model.redirect_gaze(
        images, torch.randn(1, 4, generator=torch.Generator().manual_seed(2))
    )
    assert rendered.shape == images.shape
    changed = (rendered - images).abs().sum(dim=1) > 1e-6
    assert changed.any()
    rows, columns = torch.meshgrid(torch.arange(224), torch.arange(224), indexing="ij")
    for i in range(3):
        near = torch.zeros(224, 224, dtype=torch.bool)
        for x, y in (gaze.eyes[i] * 224 - 0.5).tolist():
            near |= ((columns - x).abs() <= 32) & ((rows - y).abs() <= 24)
        assert not (changed[i] & ~near).any()


def test_empty_batches_are_read_and_redirected(model: Model) -> None:
    gaze = model.encode(torch.zeros(0, 3, 64, 64)).gaze
    assert gaze is not None
    assert gaze.code.shape == (0, 4)
    assert gaze.eyes_found.dtype == torch.bool
    assert model.encode_eyes(torch.zeros(0, 3, 96, 200)).eyes.shape == (0, 2, 2)
    assert model.redirect_gaze(torch.zeros(0, 3, 64, 64), torch.zeros(1, 4)).shape[0] == 0


@pytest.mark.parametrize(
    ("codes", "message"),
    [
        (torch.zeros(3, 5), r"must be \[3, 4\] or one row for all, not \[3, 5\]"),
        (torch.zeros(2, 4), r"not \[2, 4\]"),
        (torch.full((1, 4), float("nan")), "NaN"),
    ],
)
def test_codes_that_do_not_fit_are_refused(model: Model, images, codes, message) -> None:
    with pytest.raises(MienError, match=message):
        model.redirect_gaze(images, codes)
