"""Intervals of scores by bootstrap, over rows or over whole groups of them (people, clips)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

__all__ = ["bootstrap", "mean_interval", "proportion_interval"]

Array = NDArray[np.floating]
ROUNDS = 1000
LEVEL = 0.95


def mean_interval(
    *,
    values: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
    rounds: int = ROUNDS,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean.

    Args:
        values: one a row. [N].
        groups: rows of one group (a person) are drawn together; None: every row for itself. [N].
        rng: draws.
        rounds: number of draws.
    """
    values = np.asarray(values, dtype=np.float64)
    group = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(group.reshape(-1), weights=values)
    counts = np.bincount(group.reshape(-1)).astype(np.float64)
    chances = np.full(len(sums), 1 / len(sums))
    means = []
    for _ in range(rounds):
        picks = rng.multinomial(len(sums), chances)
        means.append((picks @ sums) / (picks @ counts))
    return _ends(np.asarray(means))


def proportion_interval(*, successes: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion, as shares."""
    z, p = 1.959964, successes / count
    middle = (p + z * z / (2 * count)) / (1 + z * z / count)
    half = z / (1 + z * z / count) * np.sqrt(p * (1 - p) / count + z * z / (4 * count * count))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    count: int,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
    rounds: int = 200,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of any statistic of rows; NaN rounds are left out.

    Args:
        statistic: rows, some of them several times => the number.
        count: of rows.
        groups: rows of one group are drawn together. [N].
        rng: draws.
        rounds: number of draws.
    """
    group = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(group.reshape(-1), kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(group.reshape(-1)))[:-1])
    found = []
    for _ in range(rounds):
        picks = rng.integers(len(parts), size=len(parts))
        found.append(statistic(np.concatenate([parts[int(pick)] for pick in picks])))
    return _ends(np.asarray(found))


def _ends(found: Array) -> tuple[float, float]:
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
