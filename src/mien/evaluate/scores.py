"""Parts that most results share: mean errors with intervals, tables by head yaw, small images."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.evaluate.datasets.sets import ShapeSet
from mien.evaluate.protocol import Images, Score, Table
from mien.linear.bootstrap import mean_interval

__all__ = [
    "INTERVAL",
    "MAX_MISSING",
    "SIDE",
    "mean_score",
    "missing_notes",
    "rounded",
    "shown",
    "small",
    "worst",
    "yaw_table",
]

INTERVAL = 1
"""Stream of random numbers that intervals are sampled by."""
MAX_MISSING = 0.01
"""Above this fraction of images without a face (or eyes) the others are scored apart, too."""
BINS_DEG = (0.0, 15.0, 30.0, 45.0, 180.0)
"""Edges of the pose bins: 0-15, 15-30, 30-45, 45+ degrees of yaw to either side."""
SIDE = 160
"""Neither side of a small image is longer. Pixels."""


def mean_score(
    name: str,
    values: NDArray[Any],
    groups: NDArray[np.integer] | None,
    rng: np.random.Generator,
    *,
    unit: str = "degrees",
    higher_is_better: bool = False,
    main: bool = False,
) -> Score:
    """Return the mean of what is known of some values; NaN where nothing is.

    Args:
        name: of the score.
        values: one a row; rows of NaN do not count. [N].
        groups: who or what each row belongs to: sampled together for the interval. [N].
        rng: samples the interval.
        unit: of the values.
        higher_is_better: whether it is.
        main: whether it is one of the few that the data set is known for.
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.isfinite(values)
    if not known.any():
        return Score(name, float("nan"), unit, 0, higher_is_better=higher_is_better)
    values, groups = values[known], None if groups is None else groups[known]
    ends = mean_interval(values=values, groups=groups, rng=rng)
    mean, count = float(values.mean()), len(values)
    return Score(name, mean, unit, count, *ends, higher_is_better=higher_is_better, main=main)


def worst(errors: NDArray[np.floating], count: int) -> list[int]:
    """Return the places of the largest errors, the worst first; those of -infinity are none."""
    order = np.argsort(-errors, kind="stable")[: max(0, count)]
    return [int(place) for place in order if errors[place] > -np.inf]


def missing_notes(found: NDArray[np.bool_], text: str) -> list[str]:
    """Return the text, `{}` in it the number of rows without a face; nothing where all have one."""
    lost = int((~found).sum())
    return [text.format(lost)] if lost else []


def rounded(values: Iterable[Any], digits: int = 3) -> list[float]:
    """Return numbers as they stand in a table."""
    return [round(float(value), digits) for value in values]


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
