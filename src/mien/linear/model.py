"""A linear function of standardised codes, and the standardisation that all fits share."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ErrorVariance", "Linear", "leverage", "scaled", "standards", "without_unknown"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ErrorVariance:
    """How wrong a ridge regression may be: noise, and more where no sample was near.

    The error's variance at features x is noise (1 + x' (X'X + strength I)^-1 x), X the centred
    features of the samples.
    """

    noise: float
    """Variance of the residuals on samples left out, their leverage taken off."""
    right: Array
    """Right singular vectors of X whose squared singular values exceed the penalty. [F, r]."""
    values: Array
    """Singular values of X along them. [r]."""


@dataclass(frozen=True)
class Linear:
    """z = W' (x - mean) / scale + b."""

    mean: Array
    """Of the samples. [F]."""
    scale: Array
    """Standard deviation of the samples times sqrt(F): features have length 1 on average. [F]."""
    weights: Array
    """W, one column a class; of numbers one column. [F, K]."""
    intercept: Array
    """b. [K]."""
    strength: float
    """Of the regularisation: what is added to the sum of squared errors, or to the sum of
    log-losses, is strength |W|^2 (half of it for log-losses)."""
    spread: ErrorVariance | None = None
    """Of a regression, under the name it has in files; None of a classification."""

    def features(self, codes: NDArray[np.floating]) -> Array:
        """Return standardised codes. [N, F] => [N, F]."""
        return (np.asarray(codes, dtype=np.float64) - self.mean) / self.scale

    def outputs(self, codes: NDArray[np.floating]) -> Array:
        """Return z. [N, F] => [N, K]."""
        return self.features(codes) @ self.weights + self.intercept

    def probabilities(self, codes: NDArray[np.floating]) -> Array:
        """Return the softmax of z. [N, F] => [N, K]."""
        logits = self.outputs(codes)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        return odds / odds.sum(axis=1, keepdims=True)

    def variance(self, codes: NDArray[np.floating]) -> Array:
        """Return the variance of a regression's error. [N, F] => [N].

        Raises:
            ValueError: if it is a classification.
        """
        if self.spread is None:
            raise ValueError("a classification has no variance")
        error = self.spread
        away = leverage(self.features(codes), error.right, error.values, self.strength)
        return error.noise * (1 + away)


def leverage(features: Array, right: Array, values: Array, strength: float) -> Array:
    """Return x' (X'X + strength I)^-1 x of any rows, seen or not. [N].

    Args:
        features: rows x. [N, F].
        right: right singular vectors of X, the centred features that were fitted. [F, r].
        values: its singular values. [r].
        strength: of the regularisation.
    """
    along = (features @ right) ** 2
    # In directions that no sample ever took, the penalty alone holds the weights.
    rest = np.maximum((features**2).sum(axis=1) - along.sum(axis=1), 0)
    return (along / (values**2 + strength)).sum(axis=1) + rest / strength


def standards(codes: NDArray[np.floating]) -> tuple[Array, Array]:
    """Return mean and standard deviation of columns, 1 where a column does not vary. [F], [F].

    Args:
        codes: NaN does not count; a column of NaN alone has mean 0. [N, F].
    """
    # Here, because `mien embed` applies models without fitting any: it need not wait for it.
    from sklearn.preprocessing import StandardScaler

    if not codes.shape[1]:
        return np.zeros(0), np.ones(0)
    scaler = StandardScaler().fit(np.asarray(without_unknown(codes), dtype=np.float64))
    return np.asarray(scaler.mean_), np.asarray(scaler.scale_)


def without_unknown(codes: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return codes with columns of NaN alone made 0: no mean can be taken of them. [N, F]."""
    return np.where(np.isfinite(codes).any(axis=0), codes, 0.0)


def scaled(codes: NDArray[np.floating], mean: Array, std: Array) -> Array:
    """Return codes less the mean, over the standard deviation; NaN becomes 0. [N, F]."""
    return np.nan_to_num((np.asarray(codes, dtype=np.float64) - mean) / std)
