"""Parts that most results share: mean errors with intervals, tables by head yaw, small images."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.evaluate.datasets.sets import ShapeSet
from mien.evaluate.protocol import EvalContext, Images, Score, Table
from mien.linear.bootstrap import mean_interval

__all__ = ["BINS_DEG", "INTERVAL", "SIDE", "error_score", "shown", "small", "yaw_table"]

INTERVAL = 1
"""Stream of random numbers that intervals are sampled by."""
BINS_DEG = (0.0, 15.0, 30.0, 45.0, 180.0)
"""Edges of the pose bins: 0-15, 15-30, 30-45, 45+ degrees of yaw to either side."""
SIDE = 160
"""Neither side of a small image is longer. Pixels."""


def error_score(
    name: str,
    values: NDArray[np.floating],
    groups: NDArray[np.integer],
    context: EvalContext,
    *,
    unit: str = "degrees",
    main: bool = False,
) -> Score:
    """Return the mean error; rows of one group are sampled together for its interval.

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


def yaw_table(
    *, title: str, yaw_rad: NDArray[np.floating], values: dict[str, NDArray[np.floating]]
) -> Table:
    """Return the mean of each kind of value in every pose bin, NaN left out.

    Large yaw angles are where face models are weak.

    Args:
        title: of the table.
        yaw_rad: of every row, either sign. [N].
        values: by name, in the unit that is to be shown. Each [N].
    """
    # Rounded: 15 degrees in radians and back must not be 14.999.
    yaw_deg = np.degrees(np.abs(np.asarray(yaw_rad, dtype=np.float64))).round(6)
    rows = []
    for low, high in pairwise(BINS_DEG):
        inside = (yaw_deg >= low) & (yaw_deg < high)
        name = f"{low:.0f}-{high:.0f} deg" if high < 180 else f"{low:.0f}+ deg"
        means = [
            round(float(np.nanmean(kind[inside])), 4) if np.isfinite(kind[inside]).any() else None
            for kind in values.values()
        ]
        rows.append((name, int(inside.sum()), *means))
    return Table(title, ("head yaw", "images", *values), tuple(rows))


def small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return an image reduced so that neither side is longer than `SIDE`. RGB [H, W, 3]."""
    reduced = Image.fromarray(np.ascontiguousarray(image))
    reduced.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.array(reduced)


def shown(images: Images | ShapeSet, row: int) -> NDArray[np.uint8]:
    """Return an image of a set, small; grey where it cannot be read. RGB [H, W, 3]."""
    try:
        return small(images.read(row))
    except MienError:
        return np.full((SIDE, SIDE, 3), 128, dtype=np.uint8)
