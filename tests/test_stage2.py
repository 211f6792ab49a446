"""Neutral codes: leave-one-out targets, repeatable sampling, and that they can be learned."""

import pytest
import torch

from mien.latentface.neutral import CodeScale, NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import (
    apart_from_neutral,
    leave_one_out,
    neutral_error,
    principal,
    taken_off,
)


def test_leave_one_out_leaves_the_frame_out() -> None:
    codes = torch.tensor([[[1.0], [2.0], [6.0]]])
    torch.testing.assert_close(leave_one_out(codes), torch.tensor([[[4.0], [3.5], [1.5]]]))


def test_expressions_are_frames_minus_the_neutral_frame_or_the_mean() -> None:
    codes = torch.tensor([[[1.0], [2.0], [6.0]], [[1.0], [2.0], [6.0]]])
    found = apart_from_neutral(codes, torch.tensor([1, -1]))
    assert found[:, 0].tolist() == [-1.0, 4.0, -2.0, -1.0, 3.0]


def test_directions_are_the_strongest_about_zero() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.1, 3.0, 0.2, 1.0, 0.1])
    rows = torch.randn(400, 5, generator=generator) * spread + torch.tensor([9.0, 0, 0, 0, 0])
    found = principal(rows, 2)
    # The mean is the strongest of all, then what varies most.
    torch.testing.assert_close(found.abs(), torch.eye(5)[:, :2], atol=0.1, rtol=0)
    torch.testing.assert_close(found.T @ found, torch.eye(2))


def test_only_what_lies_along_the_directions_is_taken_off() -> None:
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(50, 6, generator=generator) + 2
    directions = torch.linalg.qr(torch.randn(6, 2, generator=generator)).Q
    found = taken_off(targets, directions)
    along = (found - targets.mean(dim=0)) @ directions
    torch.testing.assert_close(along, torch.zeros(50, 2), atol=1e-5, rtol=0)
    others = torch.eye(6) - directions @ directions.T
    torch.testing.assert_close(found @ others, targets @ others)
    torch.testing.assert_close(found.mean(dim=0), targets.mean(dim=0))


def test_scale_gives_unit_std_and_undoes_itself() -> None:
    codes = torch.randn(500, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1
    scale = CodeScale(6)
    scale.fit(codes)
    torch.testing.assert_close(scale(codes).std(dim=0), torch.ones(6))
    torch.testing.assert_close(scale.inverse(scale(codes)), codes)


@pytest.mark.parametrize("kind", ["diffusion", "regression"])
def test_neutral_is_learned_and_repeats(kind: str) -> None:
    """Codes are person + motion; the neutral of a frame must come near the person."""
    generator = torch.Generator().manual_seed(0)
    person = torch.randn(300, 1, 4, generator=generator)
    person = torch.cat([person, torch.zeros(300, 1, 4)], dim=2)
    motion = torch.randn(300, 6, 8, generator=generator) * torch.tensor([0.1] * 4 + [1.0] * 4)
    codes = person + motion
    target = leave_one_out(codes)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)
        network = (
            NeutralDiffusion(8, 32, 1, 5) if kind == "diffusion" else NeutralRegressor(8, 32, 1)
        )
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for _ in range(400):
        rows = torch.randint(300, (128,), generator=generator)
        frames = torch.randint(6, (128,), generator=generator)
        error = neutral_error(
            network,
            codes[rows, frames],
            target[rows, frames],
            weighting="constant",
            generator=generator,
        )
        optimizer.zero_grad()
        error.mean().backward()
        optimizer.step()
    with torch.no_grad():
        neutral = network(codes[:, 0])
        again = torch.cat([network(codes[i : i + 1, 0]) for i in range(20)])
    torch.testing.assert_close(neutral[:20], again, atol=1e-5, rtol=1e-5)
    before = (codes[:, 0] - person[:, 0]).square().mean()
    after = (neutral - person[:, 0]).square().mean()
    assert after < 0.35 * before
