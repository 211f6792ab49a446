"""The mean of errors as a score, with its interval."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.protocol import EvalContext, Score
from mien.linear.bootstrap import mean_interval

__all__ = ["INTERVAL", "error_score"]

INTERVAL = 1
"""Stream of random numbers that intervals are drawn by."""


def error_score(
    name: str,
    values: NDArray[np.floating],
    groups: NDArray[np.integer],
    context: EvalContext,
    *,
    unit: str = "degrees",
    main: bool = False,
) -> Score:
    """Return the mean error; rows of one group are drawn together for its interval.

    Args:
        name: of the score.
        values: one a row. [N].
        groups: who or what each row belongs to. [N].
        context: gives the generator.
        unit: of the values.
        main: whether it is one of the few that the data set is known for.
    """
    low, high = mean_interval(values=values, groups=groups, rng=context.rng(INTERVAL))
    mean, count = float(values.mean()), len(values)
    return Score(name, mean, unit, count, low, high, higher_is_better=False, main=main)
