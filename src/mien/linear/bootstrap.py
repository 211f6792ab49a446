"""Intervals of scores by bootstrap, over rows or over whole groups of them (people, clips).

`scipy.stats.bootstrap` resamples single rows: it cannot keep a person's rows together, and
intervals that ignore people are too narrow. So these are ours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

__all__ = ["bootstrap", "bootstrap_each", "mean_interval", "proportion_interval"]

Array = NDArray[np.floating]
TRIALS = 1000
LEVEL = 0.95


def mean_interval(
    *,
    values: Array,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
    trials: int = TRIALS,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of the mean.

    Args:
        values: one a row. [N].
        groups: rows of one group (a person) are resampled together; None: every row for itself.
            [N].
        rng: resamples.
        trials: number of resamples.
    """
    values = np.asarray(values, dtype=np.float64)
    group = np.arange(len(values)) if groups is None else np.unique(groups, return_inverse=True)[1]
    sums = np.bincount(group.reshape(-1), weights=values)
    counts = np.bincount(group.reshape(-1)).astype(np.float64)
    chances = np.full(len(sums), 1 / len(sums))
    means = []
    for _ in range(trials):
        picks = rng.multinomial(len(sums), chances)
        means.append((picks @ sums) / (picks @ counts))
    return _ends(np.asarray(means))


def proportion_interval(*, successes: int, count: int) -> tuple[float, float]:
    """Return Wilson's 95 % interval of a proportion, as fractions."""
    interval = binomtest(successes, count).proportion_ci(LEVEL, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap(
    statistic: Callable[[NDArray[np.int64]], float],
    *,
    count: int,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
    trials: int = 200,
) -> tuple[float, float]:
    """Return the 95 % percentile interval of any statistic of rows; as `bootstrap_each`."""
    each = bootstrap_each(
        lambda rows: [statistic(rows)], count=count, groups=groups, rng=rng, trials=trials
    )
    return each[0]


def bootstrap_each(
    statistic: Callable[[NDArray[np.int64]], Sequence[float]],
    *,
    count: int,
    groups: NDArray[np.integer] | None = None,
    rng: np.random.Generator,
    trials: int = 200,
) -> list[tuple[float, float]]:
    """Return the 95 % percentile intervals of several numbers, all of the same samples.

    Args:
        statistic: rows, some of them several times => the numbers; NaN does not count.
        count: of rows.
        groups: rows of one group are resampled together. [N].
        rng: resamples.
        trials: number of resamples.
    """
    group = np.arange(count) if groups is None else np.unique(groups, return_inverse=True)[1]
    order = np.argsort(group.reshape(-1), kind="stable")
    parts = np.split(order, np.cumsum(np.bincount(group.reshape(-1)))[:-1])
    found = []
    for _ in range(trials):
        picks = rng.integers(len(parts), size=len(parts))
        found.append(statistic(np.concatenate([parts[int(pick)] for pick in picks])))
    return [_ends(each) for each in np.asarray(found, dtype=np.float64).T]


def _ends(found: Array) -> tuple[float, float]:
    found = found[np.isfinite(found)]
    if not len(found):
        return float("nan"), float("nan")
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
