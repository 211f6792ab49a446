"""Ridge regression to a number; its errors on samples left out come without fitting again.

With X the centred features, H = 1 1'/n + X (X'X + strength I)^-1 X' gives the fitted values. For a
part g of samples that is left out whole, the errors are (I - H_gg)^-1 (y - H y)_g, exactly (Allen
1974, for parts instead of single rows), and the diagonal of (I - H_gg)^-1 is 1 + leverage.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.linear.model import Linear, Spread, standards
from mien.probes.samples import Samples

__all__ = ["STRENGTHS", "regression"]

Array = NDArray[np.float64]

STRENGTHS = np.geomspace(1e-3, 1e3, 13)
"""Tried, the strongest first where two do as well."""
_PARTS = 10
_SMALLEST = 1e-9
_HELD_BY_THE_PENALTY = 0.05
"""Directions whose squared singular value is below this share of the strength need not be kept."""


def regression(samples: Samples, rng: np.random.Generator) -> Linear:
    """Return the ridge regression whose strength has the least error on parts left out.

    Args:
        samples: numbers as labels.
        rng: makes the parts.
    """
    mean, scale = standards(samples.codes)
    features = (samples.codes - mean) / scale
    left, values, rows = np.linalg.svd(features, full_matrices=False)
    kept = values > _SMALLEST * max(values.max(initial=0), 1e-30)
    left, values, right = left[:, kept], values[kept], rows[kept].T
    middle = float(samples.labels.mean())
    targets = samples.labels - middle
    part = samples.parts(_PARTS, rng)
    tried = [_left_out(left, values, targets, part, s) for s in STRENGTHS[::-1]]
    best = int(np.argmin([np.mean(residual**2) for residual, _ in tried]))
    strength, (residual, excess) = float(STRENGTHS[::-1][best]), tried[best]
    weights = right @ (values / (values**2 + strength) * (left.T @ targets))
    free = values**2 > _HELD_BY_THE_PENALTY * strength
    noise = float(np.mean(residual**2 / excess))
    # An expected error needs no more than five decimals, and the file is a third as long.
    rounded: Array = np.round(right[:, free], 5).astype(np.float64)
    spread = Spread(noise, rounded, values[free])
    return Linear(mean, scale, weights[:, None], np.array([middle]), strength, spread)


def _left_out(
    left: Array, values: Array, targets: Array, part: NDArray[np.int64], strength: float
) -> tuple[Array, Array]:
    """Return the error of each sample when its part is left out, and 1 + its leverage. [N], [N].

    Args:
        left: left singular vectors of the centred features. [N, r].
        values: singular values. [r].
        targets: less their mean. [N].
        part: number of each sample's part. [N].
        strength: of the regularisation.
    """
    shares = values**2 / (values**2 + strength)
    missed = targets - left @ (shares * (left.T @ targets))
    residual, excess = np.empty((2, len(targets)))
    for k in np.unique(part):
        rows = np.flatnonzero(part == k)
        hat = 1 / len(targets) + (left[rows] * shares) @ left[rows].T
        inverse = np.linalg.inv(np.eye(len(rows)) - hat)
        residual[rows] = inverse @ missed[rows]
        excess[rows] = np.diag(inverse)
    return residual, excess
