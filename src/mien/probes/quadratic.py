"""What the regression sees: codes and head pose at unit spread, and products of the strongest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Basis", "make_basis", "strongest"]

Array = NDArray[np.float64]

_LEAST_SPREAD = 1e-9


@dataclass(frozen=True)
class Basis:
    """The features of one calibration: each has mean 0 and spread 1 over its samples."""

    mean: Array
    """Of code and pose. [f]."""
    scale: Array
    """Spread of code and pose; 1 where they do not vary. [f]."""
    directions: Array
    """What is multiplied: directions in standardised code and pose. [f, m], m = 0: no products."""
    product_mean: Array
    """[m (m + 1) / 2]."""
    product_scale: Array
    """[m (m + 1) / 2]."""

    @property
    def size(self) -> int:
        """Return the number of features."""
        return len(self.mean) + len(self.product_mean)

    def features(self, inputs: Array) -> Array:
        """Return the features. [N, f] => [N, f + m (m + 1) / 2].

        Args:
            inputs: code, then head pose if it is used. [N, f].
        """
        linear = (inputs - self.mean) / self.scale
        products = _products(linear @ self.directions)
        return np.hstack([linear, (products - self.product_mean) / self.product_scale])


def make_basis(inputs: Array, directions: Array | None = None) -> Basis:
    """Return the features of these samples.

    Args:
        inputs: code, then head pose if it is used. [N, f].
        directions: in standardised inputs: what is squared and multiplied with each other; None
            for features that are linear. [f, m].
    """
    mean, scale = inputs.mean(axis=0), _spread(inputs)
    chosen = np.zeros((len(mean), 0)) if directions is None else directions
    products = _products((inputs - mean) / scale @ chosen)
    return Basis(mean, scale, chosen, products.mean(axis=0), _spread(products))


def strongest(basis: Basis, inputs: Array, weights: Array, *, code_dim: int, more: int) -> Array:
    """Return the directions whose products are worth trying. [f, 2 + pose + more].

    First those in the code that a linear regression follows, one for each angle; then each angle
    of the head pose on its own: what the head does to the gaze must not depend on how much of the
    spread it makes up; then leading principal components of the code.

    Args:
        basis: linear features.
        inputs: code, then head pose if it is used. [N, f].
        weights: of the linear regression. [f, 2].
        code_dim: length of the code.
        more: number of principal components.
    """
    size = len(basis.mean)
    followed = np.where(np.arange(size)[:, None] < code_dim, weights, 0.0)
    followed /= np.maximum(np.linalg.norm(followed, axis=0), 1e-30)
    code = basis.features(inputs)[:, :code_dim]
    rows = np.linalg.svd(code, full_matrices=False)[2][:more]
    # The sign of a component is arbitrary; its products must not depend on the machine.
    signs = np.sign(rows[np.arange(len(rows)), np.abs(rows).argmax(axis=1)])
    components = np.zeros((size, len(rows)))
    components[:code_dim] = (rows * signs[:, None]).T
    return np.hstack([followed, np.eye(size)[:, code_dim:], components])


def _products(values: Array) -> Array:
    """Return all squares and products of two columns. [N, m] => [N, m (m + 1) / 2]."""
    first, second = np.triu_indices(values.shape[1])
    return values[:, first] * values[:, second]


def _spread(values: Array) -> Array:
    scale = values.std(axis=0)
    size = np.abs(values).max(axis=0, initial=0)
    return np.where(scale > _LEAST_SPREAD * np.maximum(size, 1e-30), scale, 1.0)
