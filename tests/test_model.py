"""The library on one page: load, encode, render, save."""

from pathlib import Path

import pytest
import torch

from mien.errors import MienError
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model, load, prepare, resolve_device
from mien.types import Factors, Pose

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
    swapped = factors[:2].with_expression(factors[2:4])
    torch.testing.assert_close(swapped.expression, factors[2:4].expression)
    torch.testing.assert_close(swapped.identity, factors[:2].identity)
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
    drawn = model.render(factors, pose=frontal, light=factors.light[:1])
    assert drawn.image.shape == (5, 3, 32, 32)
    assert drawn.mask[..., 8:24, 8:24].min() == 1
    inner = (..., slice(4, -4), slice(4, -4))
    torch.testing.assert_close(drawn.depth[inner], drawn.canonical_depth[inner], atol=1e-3, rtol=0)
    torch.testing.assert_close(
        drawn.normals[inner], drawn.canonical_normals[inner], atol=0.05, rtol=0
    )


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        (torch.zeros(3, 32, 32), "B, 3, H, W"),
        (torch.zeros(1, 1, 32, 32), "B, 3, H, W"),
        (torch.full((1, 3, 8, 8), 200.0), "divide"),
        (torch.full((1, 3, 8, 8), float("nan")), "finite"),
        (torch.zeros(1, 3, 8, 8, dtype=torch.int64), "uint8"),
    ],
)
def test_bad_batches_are_refused(bad: torch.Tensor, says: str) -> None:
    with pytest.raises(MienError, match=says):
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
