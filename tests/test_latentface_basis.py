"""The basis of codes: verification by cosine gains, the faces that codes stand for are kept."""

from typing import Any

import numpy as np
import pytest
import torch
from benchmarks.same_person import verification_auc

from mien.latentface.config import ModelConfig
from mien.latentface.discriminant import CodeBasis, told_by
from mien.latentface.latentface import LatentFace


def _clips(count: int = 200, frames: int = 6) -> torch.Tensor:
    """People in the first four numbers, and larger in the others what frames do. [C, T, 8]."""
    generator = torch.Generator().manual_seed(0)
    person = torch.randn(count, 1, 8, generator=generator)
    person[..., 4:] = 0
    motion = torch.randn(count, frames, 8, generator=generator)
    motion[..., :4] *= 0.3
    motion[..., 4:] *= 5
    return person + motion


def _auc(codes: torch.Tensor) -> float:
    person = np.repeat(np.arange(len(codes)), codes.shape[1])
    rng = np.random.default_rng(0)
    return verification_auc(codes=codes.flatten(0, 1).numpy(), person=person, rng=rng)


def test_people_are_told_apart_in_the_basis() -> None:
    codes = _clips()
    basis = CodeBasis(8)
    basis.fit(codes[:100])
    others = codes[100:]
    assert _auc(others) < 0.65
    assert _auc(basis(others)) > _auc(others[..., :4]) - 0.02
    assert _auc(basis(others)) > 0.9
    # The strongest directions stand first and are those of the person.
    weight = basis.basis.abs()
    assert weight[:4, :4].sum() > 20 * weight[4:, :4].sum()


def _told(codes: torch.Tensor, expression: torch.Tensor) -> float:
    """Return the share of an expression's variance that a linear map finds in codes."""
    codes, expression = (x - x.mean(dim=0) for x in (codes.double(), expression.double()))
    found = torch.linalg.lstsq(codes, expression).solution
    rest = expression - codes @ found
    return float(1 - rest.square().sum() / expression.square().sum())


def test_what_is_erased_no_linear_map_finds_in_the_directions_that_are_kept() -> None:
    codes, generator = _clips(), torch.Generator().manual_seed(2)
    expression = torch.randn(*codes.shape[:2], 3, generator=generator)
    expression[..., 2] = 0  # a shape that nobody ever shows
    # What is told stands in the person's own numbers.
    codes[..., :2] += expression[..., :2]
    shown = codes.flatten(0, 1), expression.flatten(0, 1)[:, :2]
    erased = told_by(shown[0], expression.flatten(0, 1), 3)
    assert erased.shape == (8, 2)
    torch.testing.assert_close(erased.T @ erased, torch.eye(2).double())
    plain, without = CodeBasis(8), CodeBasis(8)
    plain.fit(codes)
    without.fit(codes, erased=erased)
    kept = without(shown[0], 4)
    assert _told(plain(shown[0], 4)[:, :4], shown[1]) > 0.3
    assert _told(kept[:, :4], shown[1]) < 1e-4
    assert _told(without(shown[0]), shown[1]) > 0.3
    torch.testing.assert_close(without.inverse(without(shown[0])), shown[0], rtol=1e-3, atol=1e-3)
    # People's other numbers still tell them apart.
    assert _auc(without(shown[0], 2).unflatten(0, codes.shape[:2])) > 0.8
    size = without(shown[0]).square().mean()
    torch.testing.assert_close(size, shown[0].square().mean(), rtol=1e-4, atol=0)


def test_codes_keep_their_size_and_come_back() -> None:
    codes = _clips()
    basis = CodeBasis(8)
    torch.testing.assert_close(basis(codes[0]), codes[0])
    basis.fit(codes)
    mapped = basis(codes.flatten(0, 1))
    torch.testing.assert_close(mapped.square().mean(), codes.square().mean(), rtol=1e-4, atol=0)
    torch.testing.assert_close(basis.inverse(mapped), codes.flatten(0, 1), rtol=1e-3, atol=1e-3)


def test_a_basis_changes_codes_and_not_faces() -> None:
    sizes: dict[str, Any] = {
        "image_size": 32,
        "texture_dim": 8,
        "shape_dim": 8,
        "width": 8,
        "feature_dim": 32,
    }
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        plain = LatentFace(ModelConfig(neutral="regression", **sizes))
        based = LatentFace(ModelConfig(neutral="regression", basis="clips", **sizes))
    based.load_state_dict(plain.state_dict(), strict=False)
    assert based.texture_basis is not None
    assert based.shape_basis is not None
    based.texture_basis.fit(_clips())
    based.shape_basis.fit(_clips() + 0.3)
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, other = plain(images), based(images)
        assert not torch.allclose(one.identity, other.identity, atol=1e-3)
        torch.testing.assert_close(
            other.texture_code, other.neutral_texture + other.expression_texture
        )
        for name in ("albedo", "depth"):
            before, after = (
                getattr(m.canonical(f), name) for m, f in ((plain, one), (based, other))
            )
            torch.testing.assert_close(before, after, rtol=1e-3, atol=1e-4)


def test_identity_leaves_weak_directions_to_expression() -> None:
    sizes: dict[str, Any] = {"image_size": 32, "width": 8, "feature_dim": 32}
    sizes |= {"texture_dim": 8, "shape_dim": 8, "neutral": "regression", "basis": "clips"}
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        whole = LatentFace(ModelConfig(**sizes))
        part = LatentFace(ModelConfig(identity_directions=3, **sizes))
    for model in (whole, part):
        for basis in (model.texture_basis, model.shape_basis):
            assert basis is not None
            basis.fit(_clips())
    part.load_state_dict(whole.state_dict())
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        one, other = whole(images), part(images)
        torch.testing.assert_close(other.neutral_texture[:, :3], one.neutral_texture[:, :3])
        assert not other.neutral_texture[:, 3:].any()
        assert not other.neutral_shape[:, 3:].any()
        assert one.neutral_texture[:, 3:].abs().sum() > 0
        # Together they are the code as before: the same face is rendered.
        torch.testing.assert_close(other.texture_code, one.texture_code)
        torch.testing.assert_close(other.shape_code, one.shape_code)


@pytest.mark.parametrize("wrong", [{"identity_directions": 4}, {"identity_directions": -1}])
def test_directions_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="identity_directions"):
        ModelConfig(**wrong)


def test_an_unknown_basis_is_refused() -> None:
    unknown: Any = "nose"
    with pytest.raises(ValueError, match="basis"):
        ModelConfig(basis=unknown)
