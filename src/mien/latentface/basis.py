"""A basis of codes in which face embedding is cosine: what varies within clips counts for little.

Frames of a clip show one person. With W the covariance of neutral codes within clips and B that of
the clips' means, in the basis

    A = W^(-1/2) V S,    W^(-1/2) B W^(-T/2) = V diag(l) V^T,    S = diag(sqrt(l / (1 + l)))

every direction has unit spread within a clip, and is then weighed by how well it tells clips apart
(Fisher's discriminant, with clips in the place of labels). A is invertible: identity + expression
remain the code, and what the decoders are given does not change. In the last directions a neutral
code holds what the neutral network could not part from the person, a little turn and light:
identity may leave them to expression. All this is our addition to the paper, whose codes are
compared as the autoencoder happened to scale them.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mien.latentface.discriminant import discriminant

__all__ = ["CodeBasis"]

_LEAST = 0.05
"""No direction is weighed less: the decoders still need it."""


class CodeBasis(nn.Module):
    """An invertible linear map of codes, fixed after stage 2."""

    basis: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("basis", torch.eye(dim))

    @torch.no_grad()
    def fit(self, neutral: Tensor) -> None:
        """Set the basis from neutral codes of clips.

        Args:
            neutral: what the neutral network says of each frame. [C, T, D], C and T at least 2.
        """
        codes = neutral.double()
        clips, frames, _ = codes.shape
        means = codes.mean(dim=1)
        apart = (codes - means[:, None]).flatten(0, 1)
        within = apart.T @ apart / (clips * (frames - 1))
        axes, strength = discriminant(within, means, frames)
        strength = strength.clamp_min(0)
        weight = (strength / (1 + strength)).sqrt().clamp_min(_LEAST)
        found = axes * weight
        # Codes keep their mean square, so that nothing downstream meets another scale.
        size = (codes @ found).square().mean().sqrt() / codes.square().mean().sqrt()
        # Strongest first.
        self.basis.copy_((found / size).flip(1))

    def forward(self, codes: Tensor, kept: int | None = None) -> Tensor:
        """Scaled codes => the same in this basis. [B, D].

        Args:
            codes: [B, D].
            kept: set all but this many directions to 0, the strongest excepted; None keeps all.
        """
        mapped = codes @ self.basis
        if kept is None:
            return mapped
        return torch.cat([mapped[:, :kept], torch.zeros_like(mapped[:, kept:])], dim=1)

    def inverse(self, codes: Tensor) -> Tensor:
        """Codes in this basis => scaled codes. [B, D]."""
        return torch.linalg.solve(self.basis, codes, left=False)
