"""Stage 2: a frame's code to its clip's neutral code; identity = neutral, expression = rest.

The representation diffusion model (RDM) samples neutral ~ p(neutral | code); the control regresses
E[neutral | code]. Both are residual MLPs on vectors: a U-Net on 1x1 maps would be the same
function with two thirds of its parameters never touched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.latentface.diffusion import STEPS, ddim_sample

__all__ = ["CodeScale", "NeutralDiffusion", "NeutralRegressor", "starting_noise"]


class CodeScale(nn.Module):
    """Shift and scale of raw codes to mean 0 and standard deviation 1, fixed after stage 1."""

    mean: Tensor
    std: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(dim))
        self.register_buffer("std", torch.ones(dim))

    @torch.no_grad()
    def fit(self, codes: Tensor) -> None:
        """Set mean and standard deviation from raw codes. [N, D]."""
        self.mean.copy_(codes.mean(dim=0))
        # Entries that hardly vary are left small rather than amplified.
        std = codes.std(dim=0)
        self.std.copy_(std.clamp_min(0.05 * float(std.mean()) + 1e-6))

    def forward(self, raw: Tensor) -> Tensor:
        """Raw codes => unit standard deviation. [B, D]."""
        return (raw - self.mean) / self.std

    def inverse(self, code: Tensor) -> Tensor:
        """Unit standard deviation => raw codes, as the decoders read them. [B, D]."""
        return code * self.std + self.mean


def starting_noise(dim: int, seed: int = 0) -> Tensor:
    """Return x_T, the same for every row, so that sampling repeats in any batch. [1, D]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, dim, generator=generator)


class _Block(nn.Module):
    """x + MLP(norm(x) (1 + scale) + shift), scale and shift from the noise level."""

    def __init__(self, width: int, time_dim: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, width)
        self.modulate = nn.Linear(time_dim, 2 * width) if time_dim else None
        nn.init.zeros_(self.second.weight)
        nn.init.zeros_(self.second.bias)

    def forward(self, x: Tensor, time: Tensor | None) -> Tensor:
        h = self.norm(x)
        if self.modulate is not None and time is not None:
            scale, shift = self.modulate(time).chunk(2, dim=1)
            h = h * (1 + scale) + shift
        return x + self.second(F.silu(self.first(h)))


class _Residual(nn.Module):
    """Blocks beside a linear map of the code, which is all there is of it at the start."""

    def __init__(self, given: int, dim: int, width: int, blocks: int, time_dim: int) -> None:
        super().__init__()
        self.enter = nn.Linear(given, width)
        self.blocks = nn.ModuleList(_Block(width, time_dim) for _ in range(blocks))
        self.leave = nn.Linear(width, dim)
        self.skip = nn.Linear(dim, dim, bias=False)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)
        nn.init.eye_(self.skip.weight)

    def _mapped(self, given: Tensor, code: Tensor, time: Tensor | None) -> Tensor:
        h = self.enter(given)
        for block in self.blocks:
            h = block(h, time)
        return self.skip(code) + self.leave(h)


class NeutralRegressor(_Residual):
    """The control: E[neutral | code] in one call."""

    def __init__(self, dim: int, width: int, blocks: int) -> None:
        super().__init__(dim, dim, width, blocks, 0)

    def forward(self, code: Tensor) -> Tensor:
        """Code [B, D] -> neutral code [B, D]."""
        return self._mapped(code, code, None)

    @torch.no_grad()
    def map_codes(self, change: Tensor) -> None:
        """Let neutral codes be what they are now times a matrix: n <- n M.

        Args:
            change: M. [D, D].
        """
        for values in (self.skip.weight, self.leave.weight):
            values.copy_(change.T.to(values) @ values)
        self.leave.bias.copy_(self.leave.bias @ change.to(self.leave.bias))


class NeutralDiffusion(_Residual):
    """The RDM: samples the neutral code, given one frame's code (LatentFace section 3)."""

    noise: Tensor

    def __init__(self, dim: int, width: int, blocks: int, steps: int) -> None:
        super().__init__(2 * dim, dim, width, blocks, 64)
        self.steps = steps
        self.register_buffer("noise", starting_noise(dim), persistent=False)

    def predict(self, noisy: Tensor, code: Tensor, t: Tensor) -> Tensor:
        """x_t [B, D], the frame's code [B, D], t int64 [B] -> x̂_0, the neutral code [B, D]."""
        frequency = torch.exp(torch.arange(32, device=t.device) * (-math.log(1e4) / 32))
        phase = t[:, None] / STEPS * 1000 * frequency
        time = torch.cat([phase.sin(), phase.cos()], dim=1)
        return self._mapped(torch.cat([noisy, code], dim=1), code, time)

    def forward(self, code: Tensor) -> Tensor:
        """Code [B, D] -> neutral code by DDIM from the fixed noise. [B, D]."""
        noise = self.noise.expand(len(code), -1).to(code.dtype)
        return ddim_sample(lambda x, t: self.predict(x, code, t), noise, self.steps)
