"""Neutral codes: leave-one-out targets, repeatable sampling, and that they can be learned."""

import pytest
import torch

from mien.latentface.neutral import CodeScale, NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import leave_one_out, neutral_error


def test_leave_one_out_leaves_the_frame_out() -> None:
    codes = torch.tensor([[[1.0], [2.0], [6.0]]])
    torch.testing.assert_close(leave_one_out(codes), torch.tensor([[[4.0], [3.5], [1.5]]]))


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
