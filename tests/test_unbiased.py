"""Neutral codes that are not drawn to the mean: what a person's frames share is not expression."""

from __future__ import annotations

import pytest
import torch

from mien.latentface.discriminant import CodeBasis
from mien.latentface.neutral import NeutralRegressor
from mien.latentface.unbiased import make_unbiased, shared_covariance

KEPT = 4


def people(count=3000, frames=5):
    """A person's own numbers are the first six of eight; all eight scatter. [C, T, 8]."""
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(count, 1, 8, generator=generator)
    own[..., 6:] = 0
    return own + 0.2 + torch.randn(count, frames, 8, generator=generator)


def guesser(drawn=0.8):
    """A network whose neutral codes are those of a frame drawn to the mean, and mixed a little."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(1)
        network = NeutralRegressor(8, 16, 1)
        torch.nn.init.normal_(network.leave.weight, std=0.05)
        torch.nn.init.normal_(network.leave.bias, std=0.05)
        network.skip.weight.data = drawn * torch.eye(8) + 0.05 * torch.randn(8, 8)
    return network


@torch.no_grad()
def parted(basis, network, codes):
    """Return identity and expression of codes [C, T, 8]. Each [C, T, 8]."""
    neutral = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    identity = basis(neutral.flatten(0, 1), KEPT).unflatten(0, codes.shape[:2])
    return identity, basis(codes.flatten(0, 1)).unflatten(0, codes.shape[:2]) - identity


@pytest.fixture
def fitted():
    codes, network, basis = people(), guesser(), CodeBasis(8)
    with torch.no_grad():
        neutral = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    basis.fit(neutral)
    return codes, neutral, basis, network


def shared(values):
    """Return by how much the frames of a person have the same, in each number. [8]."""
    centred = values - values.mean(dim=(0, 1))
    same = shared_covariance([(centred, centred)]).diagonal()
    return same / centred.square().mean(dim=(0, 1)).double()


def test_expression_no_longer_holds_what_a_persons_frames_share(fitted):
    codes, neutral, basis, network = fitted
    identity, before = parted(basis, network, codes)
    make_unbiased(
        basis, network, [(codes[:1000], neutral[:1000]), (codes[1000:], neutral[1000:])], kept=KEPT
    )
    after_identity, after = parted(basis, network, codes)
    # Identity is what it was, to rounding; the code is identity and expression.
    torch.testing.assert_close(after_identity, identity, rtol=1e-3, atol=1e-3)
    back = basis.inverse((after_identity + after).flatten(0, 1))
    torch.testing.assert_close(back, codes.flatten(0, 1), rtol=1e-3, atol=1e-3)
    assert (shared(before)[:KEPT] > 0.05).all()
    assert (shared(after)[:KEPT].abs() < 0.04).all()
    assert (shared(after)[:KEPT].abs() < 0.4 * shared(before)[:KEPT]).all()


def test_a_face_drawn_from_identity_has_what_its_people_show_on_average():
    codes, network, basis = people(), guesser(), CodeBasis(8)
    # The last number is the person's too, by half of the first, and no direction of identity.
    person = codes.mean(dim=1)[:, 0] - codes.mean()
    codes[..., 7] += 2 * person[:, None]
    with torch.no_grad():
        neutral = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
        neutral[..., 7] = 0.01 * codes[..., 6]
    basis.fit(neutral)

    def slope():
        identity, _ = parted(basis, network, codes)
        drawn = basis.inverse(identity.flatten(0, 1)).unflatten(0, codes.shape[:2])
        last = drawn[..., 7].mean(dim=1)
        return float(((last - last.mean()) * person).mean() / person.square().mean())

    before = slope()
    make_unbiased(basis, network, [(codes, neutral)], kept=KEPT)
    assert abs(before) < 0.01
    assert slope() > 0.1


def test_the_neutral_code_is_as_far_from_the_mean_as_the_person(fitted):
    codes, neutral, basis, network = fitted
    axes = basis.basis.clone()
    make_unbiased(basis, network, [(codes, neutral)], kept=KEPT)
    with torch.no_grad():
        drawn = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    mean = codes.mean(dim=1)
    coordinates = [
        ((x - x.mean(dim=0)) @ axes)[:, :KEPT]
        for x in (mean, neutral.mean(dim=1), drawn.mean(dim=1))
    ]
    slopes = [
        float((c * coordinates[0]).sum() / coordinates[0].square().sum()) for c in coordinates[1:]
    ]
    assert slopes[0] < 0.9
    assert slopes[1] == pytest.approx(1, abs=0.05)


def test_what_a_frame_has_of_its_own_is_not_drawn_too_strongly():
    codes, network, basis = people(), guesser(drawn=0.1), CodeBasis(8)
    with torch.no_grad():
        neutral = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    basis.fit(neutral)
    make_unbiased(basis, network, [(codes, neutral)], kept=KEPT)
    with torch.no_grad():
        drawn = network(codes.flatten(0, 1)).unflatten(0, codes.shape[:2])
    # Ten times as far would be needed.
    assert drawn.std() / neutral.std() < 2


def test_the_covariance_is_that_of_different_frames():
    generator = torch.Generator().manual_seed(3)
    y, x = (torch.randn(7, 4, 3, generator=generator) for _ in range(2))
    pairs = [(i, j) for i in range(4) for j in range(4) if i != j]
    expected = sum(y[:, i].T @ x[:, j] for i, j in pairs) / len(pairs) / 7
    found = shared_covariance([(y[:2], x[:2]), (y[2:], x[2:])])
    torch.testing.assert_close(found.float(), expected)


def test_neutral_codes_are_mapped():
    network, codes = guesser(), torch.randn(5, 8, generator=torch.Generator().manual_seed(4))
    change = torch.randn(8, 8, generator=torch.Generator().manual_seed(5)).double()
    with torch.no_grad():
        before = network(codes)
        network.map_codes(change)
        torch.testing.assert_close(network(codes), before @ change.float(), rtol=1e-4, atol=1e-4)
