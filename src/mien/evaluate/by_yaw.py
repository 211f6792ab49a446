"""Scores by how far the head is turned: large turns are where face models are weak."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.protocol import Table

__all__ = ["BINS_DEG", "yaw_table"]

BINS_DEG = (0.0, 15.0, 30.0, 45.0, 180.0)
"""Edges of the bins: 0-15, 15-30, 30-45, 45+ degrees to either side."""


def yaw_table(
    *, title: str, yaw_rad: NDArray[np.floating], values: dict[str, NDArray[np.floating]]
) -> Table:
    """Return the mean of each kind of value in every bin, NaN left out.

    Args:
        title: of the table.
        yaw_rad: of every row, either sign. [N].
        values: by name, in the unit that is to be shown. Each [N].
    """
    # Rounded: 15 degrees in radians and back must not be 14.999.
    turn = np.degrees(np.abs(np.asarray(yaw_rad, dtype=np.float64))).round(6)
    rows = []
    for low, high in pairwise(BINS_DEG):
        inside = (turn >= low) & (turn < high)
        name = f"{low:.0f}-{high:.0f} deg" if high < 180 else f"{low:.0f}+ deg"
        means = [
            round(float(np.nanmean(kind[inside])), 4) if np.isfinite(kind[inside]).any() else None
            for kind in values.values()
        ]
        rows.append((name, int(inside.sum()), *means))
    return Table(title, ("head turned", "images", *values), tuple(rows))
