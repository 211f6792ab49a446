"""Denoising diffusion on vectors: noise levels and the DDIM sampler; no networks here.

x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε, with ᾱ_t = Π (1 - β_s) and β linear from 1e-4 to 0.02 over 1,000
steps (Ho et al. 2020). Networks predict x_0, as LatentFace's do.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["STEPS", "add_noise", "alpha_bar", "ddim_sample", "ddim_timesteps", "loss_weight"]

STEPS = 1000
"""Number of noise levels in training."""


def alpha_bar(device: torch.device | str | None = None) -> Tensor:
    """Return ᾱ_t for t = 0 .. STEPS - 1. [STEPS]."""
    beta = torch.linspace(1e-4, 0.02, STEPS, dtype=torch.float32, device=device)
    return (1 - beta).cumprod(dim=0)


def add_noise(clean: Tensor, noise: Tensor, t: Tensor) -> Tensor:
    """Return x_t = √ᾱ_t x_0 + √(1 - ᾱ_t) ε. [B, D].

    Args:
        clean: x_0. [B, D].
        noise: ε, unit normal. [B, D].
        t: noise level of each row, 0 .. STEPS - 1. int64 [B].
    """
    level = alpha_bar(clean.device)[t][:, None]
    return level.sqrt() * clean + (1 - level).sqrt() * noise


def loss_weight(t: Tensor, weighting: str, gamma: float = 5.0) -> Tensor:
    """Return the weight of each row's x_0 error. [B].

    `constant` is 1; `min_snr` is min(SNR, γ) / γ (Hang et al. 2023, for x_0 prediction);
    `snr` is the unclipped SNR = ᾱ / (1 - ᾱ), which puts nearly all weight on t near 0;
    `max_snr` is max(SNR, 1), clipped at γ.
    """
    level = alpha_bar(t.device)[t]
    snr = level / (1 - level)
    if weighting == "constant":
        return torch.ones_like(snr)
    if weighting == "min_snr":
        return snr.clamp(max=gamma) / gamma
    if weighting == "snr":
        return snr
    if weighting == "max_snr":
        return snr.clamp(min=1.0, max=gamma)
    raise ValueError(f"weighting is constant, min_snr, snr or max_snr, not {weighting!r}")


def ddim_timesteps(steps: int) -> list[int]:
    """Return the noise levels visited, from noisy to clean: 800, 600, 400, 200, 0 for five."""
    stride = STEPS // steps
    return [stride * i for i in reversed(range(steps))]


def ddim_sample(predict: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int) -> Tensor:
    """Return x_0 by deterministic DDIM (Song et al. 2021, eq. 12 with σ = 0).

    x_prev = √ᾱ_prev x̂_0 + √(1 - ᾱ_prev) ε̂, with ε̂ = (x_t - √ᾱ_t x̂_0) / √(1 - ᾱ_t).

    Args:
        predict: (x_t [B, D], t int64 [B]) -> x̂_0 [B, D].
        noise: the starting x_T; the caller owns the seed. [B, D].
        steps: number of network calls.
    """
    levels = alpha_bar(noise.device)
    times = ddim_timesteps(steps)
    x = noise
    for t, previous in zip(times, [*times[1:], None], strict=True):
        clean = predict(x, torch.full((len(x),), t, device=x.device))
        if previous is None:
            return clean
        epsilon = (x - levels[t].sqrt() * clean) / (1 - levels[t]).sqrt()
        x = levels[previous].sqrt() * clean + (1 - levels[previous]).sqrt() * epsilon
    return x
