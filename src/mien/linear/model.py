"""A linear function of codes at unit spread: what every probe is in the end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from mien.probes.samples import Samples

__all__ = ["Learn", "Linear", "Spread", "standards"]

Array = NDArray[np.float64]

_LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Spread:
    """How wrong a ridge regression may be: noise, and more where no sample was near.

    The error's variance at features x is noise (1 + x' (X'X + strength I)^-1 x), X the centred
    features of the samples.
    """

    noise: float
    """Variance of what the regression missed on samples left out, their leverage taken off."""
    right: Array
    """Directions in which the samples spread more than the penalty holds. [F, r]."""
    values: Array
    """Singular values of X along them. [r]."""


@dataclass(frozen=True)
class Linear:
    """z = W' (x - mean) / scale + b."""

    mean: Array
    """Of the samples. [F]."""
    scale: Array
    """Spread of the samples times sqrt(F), so that features have length 1 on average. [F]."""
    weights: Array
    """W, one column a class; of numbers one column. [F, K]."""
    intercept: Array
    """b. [K]."""
    strength: float
    """Of the regularisation: what is added to the sum of squared errors, or to the sum of
    log-losses, is strength |W|^2 (half of it for log-losses)."""
    spread: Spread | None = None
    """Of a regression; None of a classification."""

    def features(self, codes: NDArray[np.floating]) -> Array:
        """Return codes at unit spread. [N, F] => [N, F]."""
        return (np.asarray(codes, dtype=np.float64) - self.mean) / self.scale

    def outputs(self, codes: NDArray[np.floating]) -> Array:
        """Return z. [N, F] => [N, K]."""
        return self.features(codes) @ self.weights + self.intercept

    def probabilities(self, codes: NDArray[np.floating]) -> Array:
        """Return the softmax of z. [N, F] => [N, K]."""
        logits = self.outputs(codes)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        return shares / shares.sum(axis=1, keepdims=True)

    def variance(self, codes: NDArray[np.floating]) -> Array:
        """Return the variance of a regression's error. [N, F] => [N].

        Raises:
            ValueError: if it is a classification.
        """
        if self.spread is None:
            raise ValueError("a classification has no variance")
        features = self.features(codes)
        along = (features @ self.spread.right) ** 2
        # In directions that the samples hardly took, the penalty alone holds the weights.
        beyond = np.maximum((features**2).sum(axis=1) - along.sum(axis=1), 0)
        leverage = (along / (self.spread.values**2 + self.strength)).sum(axis=1)
        return self.spread.noise * (1 + leverage + beyond / self.strength)


Learn: TypeAlias = Callable[[Samples, np.random.Generator], Linear]
"""From samples to a function of codes, every choice included; the generator makes the parts on
which the strength is chosen."""


def standards(codes: Array) -> tuple[Array, Array]:
    """Return mean and scale of codes [F], [F]; what does not vary has the scale sqrt(F). [N, F]."""
    spread = codes.std(axis=0)
    size = np.abs(codes).max(axis=0, initial=0)
    varies = spread > _LEAST_SPREAD * np.maximum(size, 1e-30)
    return codes.mean(axis=0), np.where(varies, spread, 1.0) * np.sqrt(codes.shape[1])
