"""Ridge regression to two angles; its errors on samples left out come without fitting again.

With X the centred features, H = 1 1'/n + X (X'X + strength I)^-1 X' gives the fitted values. For a
group g of samples that is left out whole, the errors are (I - H_gg)^-1 (y - H y)_g, exactly: the
predicted residual sum of squares (Allen 1974), for groups instead of single rows. With R^-1 =
(I - H_gg)^-1, the diagonal of R^-1 is 1 + leverage of each left-out sample.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Decomposition", "LeftOut", "decompose", "left_out", "leverage", "solve"]

Array = NDArray[np.float64]

_SMALLEST = 1e-9


@dataclass(frozen=True)
class Decomposition:
    """Singular values and vectors of centred features, those near zero left out."""

    left: Array
    """[N, r]."""
    values: Array
    """Largest first, all > 0. [r]."""
    right: Array
    """[F, r]."""


@dataclass(frozen=True)
class LeftOut:
    """What the regression does to samples that it was not fitted to, for each strength."""

    residual: Array
    """Truth minus prediction, as the targets. [K, N, 2]."""
    excess: Array
    """1 + leverage: by how much the error's variance exceeds the noise's. [K, N]."""


def decompose(features: Array) -> Decomposition:
    """Return the singular value decomposition of centred features. [N, F]."""
    left, values, right = np.linalg.svd(features, full_matrices=False)
    kept = values > _SMALLEST * max(values.max(initial=0), 1e-30)
    return Decomposition(left[:, kept], values[kept], right[kept].T)


def solve(parts: Decomposition, targets: Array, strength: float) -> Array:
    """Return the weights of one target. [F].

    Args:
        parts: of the features.
        targets: [N].
        strength: what is added to each squared singular value.
    """
    shrunk = parts.values / (parts.values**2 + strength)
    return parts.right @ (shrunk * (parts.left.T @ (targets - targets.mean())))


def leverage(features: Array, right: Array, values: Array, strength: float) -> Array:
    """Return x' (X'X + strength I)^-1 x of any rows, seen or not. [N].

    Args:
        features: rows x. [N, F].
        right: of the decomposition of X. [F, r].
        values: of the decomposition of X. [r].
        strength: of the regression.
    """
    along = (features @ right) ** 2
    # In directions that no sample ever took, the penalty alone holds the weights.
    beyond = np.maximum((features**2).sum(axis=1) - along.sum(axis=1), 0)
    return (along / (values**2 + strength)).sum(axis=1) + beyond / strength


def left_out(
    parts: Decomposition, targets: Array, strengths: Array, groups: NDArray[np.int64]
) -> LeftOut:
    """Return the errors on each group when the rest alone is fitted.

    Args:
        parts: of the features.
        targets: [N, 2].
        strengths: [K].
        groups: which samples are left out together, at least two groups. [N].
    """
    count = len(targets)
    base = np.hstack([np.full((count, 1), count**-0.5), parts.left])
    # The constant is not penalised: its share is 1.
    shares = parts.values**2 / (parts.values**2 + strengths[:, None])
    shares = np.hstack([np.ones((len(strengths), 1)), shares])
    fitted = np.einsum("nr,kr,rt->knt", base, shares, base.T @ targets, optimize=True)
    residual = targets - fitted
    if len(np.unique(groups)) == count:
        kept = 1 - shares @ (base**2).T
        return LeftOut(residual / kept[:, :, None], 1 / kept)
    excess = np.empty(residual.shape[:2])
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        residual[:, rows], excess[:, rows] = _release(base[rows], shares, residual[:, rows])
    return LeftOut(residual, excess)


def _release(base: Array, shares: Array, residual: Array) -> tuple[Array, Array]:
    """Return R^-1 times the residuals, and its diagonal, R = I - B diag(share) B'.

    Args:
        base: rows of the group, B. [g, r].
        shares: in (0, 1]. [K, r].
        residual: of the group. [K, g, 2].

    Returns:
        [K, g, 2] and [K, g].
    """
    size, rank = base.shape
    if size <= rank:
        inverse = np.linalg.inv(np.eye(size) - (base * shares[:, None]) @ base.T)
        return inverse @ residual, np.einsum("kgg->kg", inverse)
    # Woodbury: what is inverted is as large as the number of features, not as the group.
    inverse = np.linalg.inv(np.eye(rank) / shares[:, :, None] - base.T @ base)
    across = base @ inverse
    return residual + across @ (base.T @ residual), 1 + (across * base).sum(axis=2)
