"""Ridge regression on standardised features: every strength from one decomposition.

With X = U S V' the centred features and Y the centred targets, the weights of a strength a are

    W = (X'X + a I)^-1 X'Y = V S / (S^2 + a) U'Y

and H = 1 1'/n + X (X'X + a I)^-1 X' gives the fitted values. For a part g of the rows that is left
out whole, the errors are (I - H_gg)^-1 (y - H y)_g, exactly: the predicted residual sum of squares
(Allen 1974), for parts instead of single rows. The diagonal of (I - H_gg)^-1 is 1 + leverage.

scikit-learn's `Ridge` fits one strength at a time and its `RidgeCV` leaves out single rows only, so
this is ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.linear.model import ErrorVariance, Linear, scaled, standards

__all__ = ["STRENGTHS", "LeftOut", "Ridge", "best_on", "leave_one_out_predict", "regression"]

Array = NDArray[np.float64]
Floats = NDArray[np.floating]
Rows = NDArray[np.int64]

STRENGTHS = np.geomspace(1e-3, 1e3, 13)
"""Of `regression`; of equals the strongest is taken."""
_SMALLEST = 1e-9
"""Singular values below this fraction of the largest are rounding errors."""
_HELD_BY_THE_PENALTY = 0.05
"""Directions whose squared singular value is below this fraction of the strength need not be kept:
there the penalty alone holds the weights."""


@dataclass(frozen=True)
class LeftOut:
    """Errors on rows that the regression was not fitted to, for each strength."""

    residual: Array
    """Truth minus prediction. [K, N, T]."""
    excess: Array
    """1 + leverage: by how much the error's variance exceeds the noise's. [K, N]."""


@dataclass(frozen=True)
class Ridge:
    """Ridge regressions of all strengths."""

    mean: Array
    """Of the features. [F]."""
    std: Array
    """Their standard deviation; 1 where they do not vary. [F]."""
    rows: Array
    """X, the standardised features. [N, F]."""
    values: Array
    """Singular values of X, largest first, all > 0. [r]."""
    right: Array
    """Right singular vectors, V. [F, r]."""
    targets: Array
    """Y before it is centred. [N, T]."""
    along: Array
    """S U'Y. [r, T]."""

    @staticmethod
    def fit(features: Floats, targets: Floats, *, standardise: bool = True) -> Ridge:
        """Decompose what is learned from.

        Args:
            features: [N, F].
            targets: [N, T].
            standardise: whether features are brought to mean 0 and standard deviation 1 first,
                NaN to 0; otherwise their means are 0 already.
        """
        size = features.shape[1]
        mean, std = standards(features) if standardise else (np.zeros(size), np.ones(size))
        rows = scaled(features, mean, std) if standardise else np.asarray(features, np.float64)
        # Of many rows the triangle of a QR decomposition has the same S and V, and is small.
        small = np.linalg.qr(rows, mode="r") if len(rows) > 2 * size else rows
        _, values, right = np.linalg.svd(small, full_matrices=False)
        kept = values > _SMALLEST * max(values.max(initial=0), 1e-30)
        right = right[kept].T
        targets = np.asarray(targets, dtype=np.float64)
        along = right.T @ (rows.T @ (targets - targets.mean(axis=0)))
        return Ridge(mean, std, rows, values[kept], right, targets, along)

    def weights(self, strength: float | Array) -> Array:
        """Return W, of one strength or of one for each target. [F, T]."""
        penalty = np.broadcast_to(strength, self.along.shape[1:])
        return self.right @ (self.along / (self.values[:, None] ** 2 + penalty))

    def predict(self, features: Floats, strength: float | Array) -> Array:
        """Return the targets of any rows. [M, F] => [M, T].

        Args:
            features: NaN stands for the mean. [M, F].
            strength: added to each squared singular value; one, or one for each target.
        """
        moved = scaled(features, self.mean, self.std)
        return moved @ self.weights(strength) + self.targets.mean(axis=0)

    def left_out(self, strengths: Array, part: NDArray[np.integer]) -> LeftOut:
        """Return the errors on each part when the rest alone is fitted.

        Args:
            strengths: [K].
            part: which rows are left out together, at least two parts. [N].
        """
        count = len(self.rows)
        left = self.rows @ (self.right / self.values)
        base = np.hstack([np.full((count, 1), count**-0.5), left])
        # The constant is not penalised: it is kept whole.
        kept = self.values**2 / (self.values**2 + strengths[:, None])
        kept = np.hstack([np.ones((len(strengths), 1)), kept])
        fitted = np.einsum("nr,kr,rt->knt", base, kept, base.T @ self.targets, optimize=True)
        residual = self.targets - fitted
        if len(np.unique(part)) == count:
            free = 1 - kept @ (base**2).T
            return LeftOut(residual / free[:, :, None], 1 / free)
        excess = np.empty(residual.shape[:2])
        for number in np.unique(part):
            rows = np.flatnonzero(part == number)
            residual[:, rows], excess[:, rows] = _release(base[rows], kept, residual[:, rows])
        return LeftOut(residual, excess)


def best_on(
    features: Floats,
    targets: Floats,
    split: tuple[Rows, Rows],
    strengths: Array,
    loss: Callable[[Array, Array], float | Floats],
) -> NDArray[np.int64]:
    """Return the place of the strength with the least loss on held-out rows; of equals the first.

    Args:
        features: [N, F].
        targets: [N, T].
        split: rows to fit to, and rows to choose by.
        strengths: [K].
        loss: predictions and truth of the held-out rows, each [M, T] => one number, or one for each
            target [T].

    Returns:
        A number, or one for each target. [] or [T].
    """
    fit, held = split
    ridge = Ridge.fit(features[fit], targets[fit])
    truth = np.asarray(targets[held], dtype=np.float64)
    losses = [loss(ridge.predict(features[held], float(a)), truth) for a in strengths]
    return np.argmin(np.asarray(losses), axis=0)


def leave_one_out_predict(
    *, train: Floats, targets: Floats, test: Floats, strengths: Array
) -> Array:
    """Return the targets of the test rows; each target's strength is chosen leaving one row out.

    Args:
        train: features. [N, F].
        targets: [N, T].
        test: features. [M, F].
        strengths: to choose from. [K].

    Returns:
        [M, T].
    """
    ridge = Ridge.fit(train, targets)
    residual = ridge.left_out(strengths, np.arange(len(train))).residual
    best = (residual**2).mean(axis=1).argmin(axis=0)
    return ridge.predict(test, strengths[best])


def regression(codes: Floats, targets: Array, part: NDArray[np.integer]) -> Linear:
    """Return the regression to one number whose strength has the least error on parts left out.

    Args:
        codes: [N, F].
        targets: [N].
        part: which rows are left out together, at least two parts. [N].
    """
    mean, std = standards(codes)
    scale = std * np.sqrt(codes.shape[1])
    ridge = Ridge.fit((codes - mean) / scale, targets[:, None], standardise=False)
    strongest_first = STRENGTHS[::-1]
    found = ridge.left_out(strongest_first, part)
    best = int((found.residual[:, :, 0] ** 2).mean(axis=1).argmin())
    strength = float(strongest_first[best])
    free = ridge.values**2 > _HELD_BY_THE_PENALTY * strength
    noise = float(np.mean(found.residual[best, :, 0] ** 2 / found.excess[best]))
    # An expected error needs no more than five decimals, and the file is a third as long.
    rounded: Array = np.round(ridge.right[:, free], 5).astype(np.float64)
    error_variance = ErrorVariance(noise, rounded, ridge.values[free])
    middle = np.array([float(targets.mean())])
    return Linear(mean, scale, ridge.weights(strength), middle, strength, error_variance)


def _release(base: Array, kept: Array, residual: Array) -> tuple[Array, Array]:
    """Return R^-1 times the residuals, and its diagonal, R = I - B diag(kept) B'.

    Args:
        base: rows of the part, B. [g, r].
        kept: fraction of each direction that the penalty leaves, in (0, 1]. [K, r].
        residual: of the part. [K, g, T].

    Returns:
        [K, g, T] and [K, g].
    """
    size, rank = base.shape
    if size <= rank:
        inverse = np.linalg.inv(np.eye(size) - (base * kept[:, None]) @ base.T)
        return inverse @ residual, np.einsum("kgg->kg", inverse)
    # Woodbury: what is inverted is as large as the number of features, not as the part.
    inverse = np.linalg.inv(np.eye(rank) / kept[:, :, None] - base.T @ base)
    across = base @ inverse
    return residual + across @ (base.T @ residual), 1 + (across * base).sum(axis=2)
