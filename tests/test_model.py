"""The library on one page: load, encode, render, save."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mien.errors import MienError
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model, load, prepare, resolve_device
from mien.types import Factors, Light, Pose

SMALL = ModelConfig(
    image_size=32, width=16, feature_dim=64, texture_dim=16, shape_dim=16, neutral_width=32
)


@pytest.fixture(scope="module")
def model() -> Model:
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        return Model(LatentFace(SMALL))


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(5, 3, 40, 40, generator=torch.Generator().manual_seed(0))


def test_batch_of_one_is_row_of_many_and_repeats(model: Model, images: torch.Tensor) -> None:
    together = model.encode(images)
    apart = Factors.cat([model.encode(images[i : i + 1]) for i in range(len(images))])
    for name in ("identity", "expression", "texture_code", "shape_code"):
        torch.testing.assert_close(
            getattr(together, name), getattr(apart, name), atol=1e-5, rtol=1e-4
        )
    torch.testing.assert_close(together.pose.rotation, apart.pose.rotation)
    torch.testing.assert_close(model.encode(images).identity, together.identity, atol=0, rtol=0)


def test_identity_and_expression_make_the_codes(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    sums = factors.identity + factors.expression
    torch.testing.assert_close(sums, torch.cat([factors.texture_code, factors.shape_code], dim=1))
    assert factors.neutral().expression.abs().max() == 0
    transferred = factors[:2].with_expression(factors[2:4])
    torch.testing.assert_close(transferred.expression, factors[2:4].expression)
    torch.testing.assert_close(transferred.identity, factors[:2].identity)
    torch.testing.assert_close(
        factors.with_expression(factors[:1]).expression[4], factors.expression[0]
    )


def test_uint8_and_float_agree(model: Model) -> None:
    pixels = torch.randint(
        0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    torch.testing.assert_close(
        model.encode(pixels).identity, model.encode(pixels.float() / 255).identity
    )


def test_render_takes_another_pose_and_light(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    frontal = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    rendered = model.render(factors, pose=frontal, light=factors.light[:1])
    assert rendered.image.shape == (5, 3, 32, 32)
    assert rendered.mask[..., 8:24, 8:24].min() == 1
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(
        rendered.depth[inner], rendered.canonical_depth[inner], atol=1e-3, rtol=0
    )
    torch.testing.assert_close(
        rendered.normals[inner], rendered.canonical_normals[inner], atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.zeros(3, 32, 32), "B, 3, H, W"),
        (torch.zeros(1, 1, 32, 32), "B, 3, H, W"),
        (torch.full((1, 3, 8, 8), 200.0), "divide"),
        (torch.full((1, 3, 8, 8), float("nan")), "finite"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "uint8"),
        (torch.zeros(1, 3, 0, 8), "show nothing"),
        (torch.zeros(1, 3, 8, 8).numpy(), "not ndarray"),
    ],
)
def test_bad_batches_are_refused(bad: torch.Tensor, message: str) -> None:
    with pytest.raises(MienError, match=message):
        prepare(bad, (32, 32))


def test_save_and_load_give_the_same_model(
    model: Model, images: torch.Tensor, tmp_path: Path
) -> None:
    model.save(tmp_path / "weights")
    again = load(tmp_path / "weights")
    assert again.config == model.config
    assert len(again.weights_id) == 12
    torch.testing.assert_close(again.encode(images).identity, model.encode(images).identity)


def test_a_missing_device_is_an_error() -> None:
    with pytest.raises(MienError, match="no such device"):
        resolve_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(MienError, match="no CUDA"):
            resolve_device("cuda")


def test_an_empty_batch_gives_empty_factors_and_images(model: Model) -> None:
    factors = model.encode(torch.zeros(0, 3, 40, 40), features=True)
    assert len(factors) == len(factors.pose) == len(factors.light) == 0
    assert factors.identity.shape == (0, 32)
    assert factors.features is not None
    assert factors.features.shape == (0, model.features_dim)
    assert model.render(factors).image.shape == (0, 3, 32, 32)


NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"neutral_texture": torch.zeros(5, 8)}, r"neutral_texture .*\[5, 16\].*not \[5, 8\]"),
        ({"expression_shape": torch.zeros(4, 16)}, r"expression_shape .*not \[4, 16\]"),
        ({"neutral_shape": torch.full((5, 16), NAN)}, "neutral_shape .* NaN"),
        ({"light": Light(torch.full((5,), NAN), torch.ones(5), torch.ones(5, 3))}, "light.ambient"),
        ({"pose": Pose(torch.eye(3).expand(5, 3, 3), torch.full((5, 3), NAN))}, "pose.translation"),
    ],
)
def test_factors_that_cannot_be_rendered_are_refused(model: Model, images, change, message) -> None:
    factors = replace(model.encode(images), **change)
    for use in (model.render, model.canonical):
        with pytest.raises(MienError, match=message):
            use(factors)


def test_poses_and_lights_that_do_not_fit_are_refused(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    with pytest.raises(MienError, match=r"pose.rotation must be \[5, 3, 3\] or one row"):
        model.render(factors, pose=factors.pose[:2])
    with pytest.raises(MienError, match=r"light.ambient must be \[5\] or one row"):
        model.render(factors, light=factors.light[:2])


def test_the_text_of_a_batch_is_its_shapes(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    assert "neutral_texture=[5, 16]" in repr(factors)
    assert "pose=Pose(rotation=[5, 3, 3], translation=[5, 3])" in repr(factors)
    assert max(len(repr(thing)) for thing in (factors, factors.pose, model)) < 400
    assert repr(model).startswith("Model(not saved, 32 px, codes 16 + 16, no gaze branch")


def test_a_number_chooses_a_row_and_keeps_the_batch(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    assert torch.equal(factors[1].identity, factors[1:2].identity)
    assert torch.equal(factors[-1].pose.rotation, factors[4:].pose.rotation)
    assert len(list(iter(factors))) == 5
    with pytest.raises(IndexError):
        factors[5]


def test_images_in_memory_and_on_disk_are_encoded_alike(model: Model, tmp_path: Path) -> None:
    pixels = torch.randint(
        0, 256, (2, 32, 32, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    ).numpy()
    expected = model.encode(torch.from_numpy(pixels).permute(0, 3, 1, 2)).identity
    paths = [tmp_path / "0.png", str(tmp_path / "1.png")]
    for path, image in zip(paths, pixels, strict=True):
        Image.fromarray(image).save(path)
    for given in (pixels, list(pixels), [Image.fromarray(image) for image in pixels], paths):
        torch.testing.assert_close(model.encode(given).identity, expected)
    with (tmp_path / "0.png").open("rb") as file:
        torch.testing.assert_close(model.encode(file).identity, expected[:1])
    for one in (pixels[0], Image.fromarray(pixels[0]), paths[0]):
        torch.testing.assert_close(model.encode(one).identity, expected[:1])
    assert model.encode([]).identity.shape == (0, 32)
    larger = model.encode([pixels[0], np.zeros((50, 40, 3), np.uint8)])
    torch.testing.assert_close(larger.identity[:1], expected[:1])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([np.zeros((8, 8), np.uint8)], r"image 0 is uint8 \[8, 8\]: give uint8 RGB"),
        (np.zeros((8, 8, 3), np.float32), r"image 0 is float32 \[8, 8, 3\]"),
        (np.zeros((1, 3, 8, 8), np.uint8), r"image 0 is uint8 \[3, 8, 8\]"),
        (["none.png"], "none.png"),
        ([3], "image 0 is int; give a path"),
        (None, "image 0 is NoneType; give a path"),
    ],
)
def test_what_is_no_image_is_named(model: Model, given, message: str) -> None:
    with pytest.raises(MienError, match=message):
        model.encode(given)


@pytest.mark.parametrize(
    "name", ["meta", "xla", "vulkan", "hpu", "cpu:7", "cuda:-1", "CPU", "", "cuda:x", "mps:1"]
)
def test_devices_that_nothing_here_runs_on_are_refused(name: str) -> None:
    with pytest.raises(MienError, match="no such device; use cpu, cuda, cuda:0 or mps"):
        resolve_device(name)


def test_expressions_that_do_not_fit_are_refused(model: Model, images: torch.Tensor) -> None:
    factors = model.encode(images)
    with pytest.raises(MienError, match=r"expression_texture must be \[5, 16\] or one row"):
        factors.with_expression(factors[:2])
    other = replace(factors, expression_shape=torch.zeros(5, 8))
    with pytest.raises(MienError, match=r"not \[5, 8\]; take the expression"):
        factors.with_expression(other)


def test_an_empty_batch_reaches_no_network(model: Model, monkeypatch) -> None:
    seen = []
    real = model.network.forward
    monkeypatch.setattr(
        model.network, "forward", lambda x, **more: seen.append(len(x)) or real(x, **more)
    )
    factors = model.encode(torch.zeros(0, 3, 40, 40))
    assert model.canonical(factors).albedo.shape == (0, 3, 32, 32)
    assert model.render(factors).image.shape == (0, 3, 32, 32)
    assert 0 not in seen
    assert repr(model.canonical(factors)).startswith("Canonical(albedo=[0, 3, 32, 32]")
