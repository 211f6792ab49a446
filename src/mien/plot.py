"""Figures with matplotlib (extra `plot`): a video over time, similarities, what faces are made of.

Every function returns a `matplotlib.figure.Figure`, which a notebook shows after `%matplotlib
inline` and `figure.savefig("x.png")` writes. Nothing is drawn on a screen by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mien.columns import CODES, FACE_FOUND
from mien.errors import MienError
from mien.extras import missing_line

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from mien.model import Model
    from mien.pipeline.analyze import AnalyzedFace

__all__ = ["factor_sheet", "similarity", "timeline"]

_NAMES = {
    "yaw": "head's yaw\n(deg, + image-left)",
    "gaze": "gaze's yaw\n(deg, + image-left)",
    "expression": "expression\n(from neutral)",
}
_MOST_NAMES = 40


def timeline(table: pd.DataFrame, video: str | None = None) -> Figure:
    """Draw yaw, gaze and expression of each track of a video over time.

    Expression is the length of the expression code: the distance from the person's neutral face.
    Gaze is there where the table was made with a calibration.

    Args:
        table: what `mien.embed` returns.
        video: its path, as in the table; None: the only one of which there are several frames.

    Raises:
        MienError: there is no such video, or several and none is named; matplotlib is missing.
    """
    from mien.table.over_time import tracks_over_time

    of_video = (table["path"] == _video(table, video)).to_numpy()
    rows = table.iloc[np.flatnonzero(of_video & table[FACE_FOUND].to_numpy(dtype=bool))]
    strength = None
    if "expression" in rows:
        strength = np.array([np.linalg.norm(code) for code in rows["expression"]])
    tracks = tracks_over_time(rows, strength)
    names = list(tracks[0].series)
    figure = _figure(8, 1.7 * len(names) + 0.6)
    axes = np.atleast_1d(figure.subplots(len(names), 1, sharex=True))
    for one, name in zip(axes, names, strict=True):
        for track in tracks:
            label = "no track" if track.number is None else f"track {track.number}"
            one.plot(track.time_s, track.series[name], ".-", linewidth=1, label=label)
        one.set_ylabel(_NAMES[name])
        one.grid(alpha=0.3)
    axes[-1].set_xlabel("time (s)")
    axes[0].legend(loc="upper right", fontsize="small")
    return figure


def similarity(
    codes: pd.DataFrame | ArrayLike,
    names: Sequence[str] | None = None,
    *,
    code: str = "face_embedding",
    mean: ArrayLike = 0.0,
) -> Figure:
    """Draw how alike faces are, each with each: cosines of their codes.

    Args:
        codes: what `mien.embed` returns, of which rows with a face are taken; or codes [N, D].
        names: of the faces; None: the table's paths, or numbers. [N].
        code: column of the table to compare by.
        mean: taken off the codes before, [D]; cosines of codes about 0 say more.

    Raises:
        MienError: the table has no such code, names do not fit, or matplotlib is missing.
    """
    import pandas as pd

    from mien.linear.similarity import centred

    if isinstance(codes, pd.DataFrame):
        (values, own), label = _codes(codes, code), f"cosine of {code}"
    else:
        values, label = np.asarray(codes, dtype=np.float64), "cosine"
        own = [str(i) for i in range(len(values))]
    if values.ndim != 2 or not len(values):
        raise MienError(f"codes must be [N, D], not {list(values.shape)}")
    shown = own if names is None else list(names)
    if len(shown) != len(values):
        raise MienError(f"{len(shown)} names are given for {len(values)} faces")
    unit = centred(values, np.asarray(mean, dtype=np.float64))
    side = min(4 + 0.22 * len(values), 14)
    figure = _figure(side + 1, side)
    axes = figure.subplots()
    image = axes.imshow(unit @ unit.T, vmin=-1, vmax=1, cmap="RdBu_r")
    figure.colorbar(image, ax=axes, label=label)
    if len(values) <= _MOST_NAMES:
        axes.set_xticks(range(len(shown)), shown, rotation=90, fontsize="small")
        axes.set_yticks(range(len(shown)), shown, fontsize="small")
    return figure


def factor_sheet(faces: Sequence[AnalyzedFace], model: Model | None = None) -> Figure:
    """Draw what faces are made of: a row a face, a column for each way to render it again.

    Args:
        faces: what `mien.analyze` returns, one or more.
        model: that read them; None loads the shipped weights.

    Raises:
        MienError: no face is given, or matplotlib is missing.
    """
    from mien.model import load
    from mien.pipeline.encode import to_batch
    from mien.views.sheet import contact_sheet, factor_columns

    if not faces:
        raise MienError("no face is given: mien.analyze found none?")
    model = model or load()
    sheet = contact_sheet(factor_columns(model, to_batch([face.crop for face in faces])))
    figure = _figure(sheet.shape[1] / 100, sheet.shape[0] / 100)
    figure.set_layout_engine("none")  # the axes fill the figure
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(sheet)
    axes.set_axis_off()
    return figure


def _figure(width: float, height: float) -> Figure:
    """Return an empty figure of so many inches."""
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise MienError(missing_line(error)) from error
    return Figure(figsize=(width, height), layout="constrained")


def _video(table: pd.DataFrame, video: str | None) -> str:
    found = table["time_s"].notna().to_numpy() & table[FACE_FOUND].to_numpy(dtype=bool)
    timed = table.iloc[np.flatnonzero(found)]
    names = [str(name) for name, rows in timed.groupby("path") if rows["time_s"].nunique() > 1]
    if not names:
        raise MienError("the table has no video with faces in several frames")
    if video is None and len(names) > 1:
        raise MienError(f"the table has {len(names)} videos; name one, such as {names[0]!r}")
    if video is not None and video not in names:
        raise MienError(f"the table has no video {video!r} with faces in several frames")
    return names[0] if video is None else video


def _codes(table: pd.DataFrame, code: str) -> tuple[NDArray[np.float64], list[str]]:
    """Return a column of codes [N, D] and the rows' paths, of rows that have one."""
    if code not in CODES or code not in table:
        raise MienError(f"the table has no code {code}")
    cells: Any = table[code]
    there = [i for i, cell in enumerate(cells) if cell is not None and np.ndim(cell)]
    if not there:
        raise MienError(f"no row of the table has a {code}")
    values = np.stack([np.asarray(cells.iloc[i], dtype=np.float64) for i in there])
    return values, [str(table["path"].iloc[i]) for i in there]
