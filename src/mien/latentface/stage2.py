"""Stage 2's loss: from one frame's code to the mean code of the clip's other frames.

Values are per row; the caller averages. The frame itself is left out of its target: a mean that
contains it would reward copying it.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mien.latentface.diffusion import STEPS, add_noise, loss_weight
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor

__all__ = ["leave_one_out", "neutral_error"]


def leave_one_out(codes: Tensor) -> Tensor:
    """Return for each frame the mean code of its clip's other frames. [C, T, D] -> [C, T, D]."""
    frames = codes.shape[1]
    return (codes.sum(dim=1, keepdim=True) - codes) / (frames - 1)


def neutral_error(
    network: NeutralDiffusion | NeutralRegressor,
    code: Tensor,
    target: Tensor,
    *,
    weighting: str,
    generator: torch.Generator,
) -> Tensor:
    """Return λ(t) ‖x̂_0(x_t, code, t) - x_0‖² / D for the RDM, the plain error for its control. [B].

    Args:
        network: the RDM or the regressor.
        code: z, one frame's scaled code. [B, D].
        target: x_0, the neutral code to predict. [B, D].
        weighting: λ, see `diffusion.loss_weight`.
        generator: samples the noise levels t and the noise ε.
    """
    if isinstance(network, NeutralRegressor):
        return (network(code) - target).square().mean(dim=1)
    rows = len(code)
    t = torch.randint(STEPS, (rows,), generator=generator, device=generator.device).to(code.device)
    noise = torch.randn(code.shape, generator=generator, device=generator.device).to(code.device)
    predicted = network.predict(add_noise(target, noise, t), code, t)
    return loss_weight(t, weighting) * (predicted - target).square().mean(dim=1)
