"""What changes in a video: yaw, gaze and expression of each of its tracks over time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Track", "tracks_over_time"]

_ANGLES = {"yaw": "yaw_rad", "gaze": "gaze_yaw_rad"}


@dataclass(frozen=True, eq=False)
class Track:
    """One face of a video, its rows in the order of time."""

    number: int | None
    """As in the table; None: rows without a track."""
    rows: NDArray[np.int64]
    """Places in the frame that was given. [T]."""
    time_s: NDArray[np.float64]
    """Seconds from the video's start. [T]."""
    series: dict[str, NDArray[np.float64]]
    """`yaw` and `gaze`, degrees, + towards image-left; `expression`. NaN: not known. Each [T]."""


def tracks_over_time(
    video: pd.DataFrame, expression: NDArray[np.floating] | None
) -> tuple[Track, ...]:
    """Return the tracks of one video by their numbers, without series of which nothing is known.

    Args:
        video: rows of a table of faces, all of one video.
        expression: how far each face is from its person's neutral one: the length of the
            expression code, NaN where there is no face; None: not known. [N].
    """
    series = {
        name: np.rad2deg(video[column].to_numpy(dtype=np.float64, na_value=np.nan))
        for name, column in _ANGLES.items()
        if column in video
    }
    if expression is not None:
        series["expression"] = np.asarray(expression, dtype=np.float64)
    known = {name: one for name, one in series.items() if np.isfinite(one).any()}
    numbers = video["track_id"].to_numpy(dtype=np.float64, na_value=-1)
    times = video["time_s"].to_numpy(dtype=np.float64)
    found = []
    for number in np.unique(numbers):
        rows = np.flatnonzero(numbers == number)
        rows = rows[np.argsort(times[rows], kind="stable")]
        of = {name: one[rows] for name, one in known.items()}
        found.append(Track(None if number < 0 else int(number), rows, times[rows], of))
    return tuple(found)
