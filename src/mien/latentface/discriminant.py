"""Linear maps fitted to clips in the place of labels: a basis of the codes, and the face embedding.

Frames of a clip show one person. With W the covariance within clips and B that of the clips' means,
Fisher's discriminant finds the directions that separate clips best,

    A^T W A = I,    A^T B A = diag(l).

The basis of the codes is A S with S = diag(sqrt(l / (1 + l))): every direction has unit standard
deviation within a clip, and is then weighted by how well it separates clips. A S is invertible:
identity + expression remain the code, and what the decoders are given does not change. In the last
directions a neutral code holds what the neutral network could not separate from the person, some
pose and light: identity may leave them to expression.

They may not tell expressions, either, nor pose and light. Let e be the weights of the expression
shapes, which are known of rendered people, or pose and light as the autoencoder reads them off any
image. With c the neutral codes, C_cc, C_ee and C_ce their covariances,

    C_cc^(-1/2) C_ce C_ee^(-1/2) = U diag(rho) V^T

are their canonical correlations (Hotelling 1936), strongest first. The columns a of A, but for the
last K, are sought where

    a^T C_cc^(1/2) u_k = 0,    k = 1, ..., K:

their coordinates are not correlated with the K components of e that neutral codes tell best, and so
no linear map finds these in them (Belrose et al. 2023). The last K columns are C_cc^(1/2) u_k, made
orthonormal.

The face embedding is read off the encoder's maps before the codes, which keep what a renderer
needs; the maps separate people better once what varies within clips is taken out of them:

    face embedding = (maps - mean) A,    l_1 >= ... >= l_K.

It is compared by cosine and cannot be rendered: `identity` can. All this is our addition to the
paper, whose codes are compared as the autoencoder happened to scale them.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

__all__ = ["CodeBasis", "FaceEmbedding", "discriminant", "told_by"]

_SHRINKAGE = 0.1
"""Fraction of W's mean variance that is added to all of its directions: few clips fit too well."""
_MIN_WEIGHT = 0.05
"""No direction of the basis weighs less: the decoders still need it."""
_RIDGE = 1e-3
"""Fraction of the codes' mean variance that is added to all directions of C_cc."""
_CONSTANT = 1e-8
"""What varies less than this fraction of the strongest says nothing."""


def discriminant(within: Tensor, means: Tensor, frames: float) -> tuple[Tensor, Tensor]:
    """Return A, its directions in columns [D, D], and l, ascending [D].

    Args:
        within: W as it was measured, without shrinkage. Float64 [D, D].
        means: of the clips. Float64 [C, D].
        frames: number of frames behind each mean; the harmonic mean where they differ.
    """
    # The means of few frames scatter because frames do, too.
    between = torch.cov(means.T) - within / frames
    within = within + _SHRINKAGE * within.diagonal().mean() * torch.eye(len(within)).to(within)
    whitening = torch.linalg.cholesky(torch.linalg.inv(within))
    strength, rotation = torch.linalg.eigh(whitening.T @ between @ whitening)
    return whitening @ rotation, strength


def told_by(codes: Tensor, told: Tensor, count: int) -> Tensor:
    """Return C_cc^(1/2) u_k of what codes tell best, made orthonormal. [D, K].

    Fewer than `count` where it varies along fewer directions. Float64.

    Args:
        codes: neutral codes of frames. [M, D].
        told: e of these frames: weights of the expression shapes, or pose and light. [M, E].
        count: K.
    """
    codes, told = codes.double().cpu(), told.double().cpu()
    codes, told = codes - codes.mean(dim=0), told - told.mean(dim=0)
    variance, axes = torch.linalg.eigh(told.T @ told)
    varies = variance > _CONSTANT * variance.max()
    told = told @ axes[:, varies] / variance[varies].sqrt()
    covariance = codes.T @ codes / len(codes)
    more = _RIDGE * covariance.diagonal().mean()
    variance, axes = torch.linalg.eigh(covariance + more * torch.eye(len(covariance)).double())
    whitening, root = (axes / variance.sqrt()) @ axes.T, (axes * variance.sqrt()) @ axes.T
    found = torch.linalg.svd(whitening @ (codes.T @ told), full_matrices=False).U
    return torch.linalg.qr(root @ found[:, :count]).Q


class _Spread:
    """Sums up what varies within clips, some clips of one length at a time."""

    def __init__(self) -> None:
        self.means: list[Tensor] = []
        self._squares: Tensor | None = None
        self._frames: list[tuple[int, int]] = []

    def add(self, clips: Tensor) -> None:
        """Take up clips. [C, T, D]."""
        mean = clips.mean(dim=1, keepdim=True)
        apart = (clips - mean).flatten(0, 1)
        squares = (apart.T @ apart).double().cpu()
        self._squares = squares if self._squares is None else self._squares + squares
        self.means.append(mean[:, 0].double().cpu())
        self._frames.append((len(clips), clips.shape[1]))

    def within(self) -> Tensor:
        """Return the covariance within clips, free of bias. Float64 [D, D]."""
        assert self._squares is not None
        return self._squares / sum(clips * (frames - 1) for clips, frames in self._frames)

    @property
    def frames(self) -> float:
        """Return the harmonic mean of the clips' lengths."""
        clips = sum(clips for clips, _ in self._frames)
        return clips / sum(clips / frames for clips, frames in self._frames)


def _unit_within(clips: Iterable[Tensor], directions: Tensor) -> Tensor:
    """Return directions [D, K] of unit standard deviation within clips [C, T, D]. [D, K]."""
    spread = _Spread()
    for part in clips:
        spread.add(part @ directions)
    return directions / spread.within().diagonal().sqrt()


class CodeBasis(nn.Module):
    """An invertible linear map of codes, fixed after stage 2."""

    basis: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.register_buffer("basis", torch.eye(dim))

    @torch.no_grad()
    def fit(self, *neutral: Tensor, erased: Tensor | None = None) -> None:
        """Set the basis from neutral codes of clips.

        Args:
            neutral: the neutral network's code of each frame, of clips of one length or of some
                lengths. [C, T, D] each, C in all and T at least 2.
            erased: `told_by`; None: nothing is. Float64 [D, K].
        """
        parts = [part.double().cpu() for part in neutral]
        dim = len(self.basis)
        last = torch.empty(dim, 0).double() if erased is None else erased
        # What is orthogonal to them: the other left singular vectors.
        free = torch.linalg.svd(last, full_matrices=True).U[:, last.shape[1] :]
        spread = _Spread()
        for part in parts:
            spread.add(part @ free)
        means = torch.cat(spread.means)
        axes, strength = discriminant(spread.within(), means, spread.frames)
        strength = strength.clamp_min(0)
        weight = (strength / (1 + strength)).sqrt().clamp_min(_MIN_WEIGHT)
        found = torch.cat([_unit_within(parts, last) * _MIN_WEIGHT, free @ (axes * weight)], dim=1)
        # Codes keep their mean square, so that nothing downstream meets another scale.
        codes = torch.cat([part.flatten(0, 1) for part in parts])
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


class FaceEmbedding(nn.Module):
    """A linear map of maps, fixed after stage 2."""

    mean: Tensor
    weight: Tensor

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("weight", torch.eye(features, dim))

    @torch.no_grad()
    def fit(self, clips: Iterable[Tensor]) -> None:
        """Set the map from the maps of clips.

        Args:
            clips: parts of a set of clips, each [C, T, F]; T at least 2, and at least two clips in
                all.
        """
        spread = _Spread()
        for part in clips:
            spread.add(part.float())
        of_clips = torch.cat(spread.means)
        axes, _ = discriminant(spread.within(), of_clips, spread.frames)
        self.mean.copy_(of_clips.mean(dim=0))
        # Strongest first.
        self.weight.copy_(axes.flip(1)[:, : self.weight.shape[1]])

    def forward(self, maps: Tensor) -> Tensor:
        """Flattened maps [B, F] -> face embedding [B, K]."""
        return (maps - self.mean) @ self.weight
