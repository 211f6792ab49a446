"""Stage 2's loss: from one frame's code to the mean code of the clip's other frames.

Values are per row; the caller averages. The frame itself is left out of its target: a mean that
contains it would reward copying it.

What a person smiles in a photograph they smile in all its turned views, and the mean smiles with
them. Rendered people know better: with z_n the code of the frame of a clip that shows the least
expression, their frames differ by

    d = z - z_n.

Let E hold the first K principal directions of all d in its columns, E^T E = I: the strongest of
sum d d^T, about zero, for the mean expression is one, too. With m the mean of all photographs'
targets, a photograph's target x_0 becomes

    x_0' = x_0 - E E^T (x_0 - m),

and to its code, whose target stays, the expression of somebody else is added: z' = z + s d with s
uniform between bounds. This is our addition to the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mien.latentface.diffusion import STEPS, add_noise, loss_weight
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor

__all__ = ["apart_from_neutral", "leave_one_out", "neutral_error", "principal", "taken_off"]


def leave_one_out(codes: Tensor) -> Tensor:
    """Return for each frame the mean code of its clip's other frames. [C, T, D] -> [C, T, D]."""
    frames = codes.shape[1]
    return (codes.sum(dim=1, keepdim=True) - codes) / (frames - 1)


def apart_from_neutral(codes: Tensor, neutral: Tensor) -> Tensor:
    """Return d of the frames of clips, but for the neutral ones. [N, D].

    Args:
        codes: scaled. [C, T, D].
        neutral: the number of each clip's neutral frame; -1 where it is not known: the clip's mean
            stands in, and all frames are kept. [C].
    """
    neutral = neutral.to(codes.device)
    known = neutral >= 0
    rows = torch.arange(len(codes), device=codes.device)
    base = torch.where(known[:, None], codes[rows, neutral.clamp_min(0)], codes.mean(dim=1))
    frame = torch.arange(codes.shape[1], device=codes.device)
    kept = frame != neutral[:, None]
    return (codes - base[:, None])[kept]


def principal(differences: Tensor, count: int) -> Tensor:
    """Return E, the strongest directions of differences [N, D], in columns. [D, K].

    Args:
        differences: d. [N, D].
        count: K, at most D.
    """
    rows = differences.double()
    found = torch.linalg.eigh(rows.T @ rows).eigenvectors.flip(1)
    return found[:, :count].to(differences.dtype)


def taken_off(targets: Tensor, directions: Tensor) -> Tensor:
    """Return x_0' of targets [N, D], whose mean is m.

    Args:
        targets: x_0 of photographs. [N, D].
        directions: E. [D, K].
    """
    return targets - (targets - targets.mean(dim=0)) @ directions @ directions.T


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
