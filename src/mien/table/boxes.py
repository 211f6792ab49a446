"""The boxes of a table of faces, for who cuts the faces out again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa

from mien.columns import FACE_FOUND
from mien.errors import MienError
from mien.faces.face import Framing
from mien.table.read import column_names, read_columns

__all__ = ["FaceBox", "quarters", "read_boxes"]

_CORNERS = ("x1", "y1", "x2", "y2")
_FRAMINGS = {"none": "image", "haar": "haar", "yunet": "yunet", "mien": "yunet", "image": "image"}
"""Detector, or framing => framing."""
_FARTHEST_PX = 1e6
_TURN = "turn_deg"


@dataclass(frozen=True)
class FaceBox:
    """Where one face is."""

    path: str
    """Of its image or video, as in the table."""
    frame: int
    """Number of the frame; 0 for an image."""
    track: int
    """Same face over frames; -1 where it is not known."""
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the image."""
    turn: int = 0
    """Quarters counterclockwise by which the image has to be turned, 0 to 3."""


def read_boxes(path: str | Path) -> tuple[Iterator[FaceBox], Framing]:
    """Return the faces of a table, in its order, and whose idea of a face their boxes are.

    Raises:
        MienError: the file is no table of faces; a box is not one, or beyond a million pixels; or
            the table does not say how its boxes frame a face, or says several ways.
    """
    path = Path(path)
    there = column_names(path)
    names = ("path", "frame", "track_id", FACE_FOUND, *_CORNERS)
    more = [name for name in ("framing", _TURN) if name in there]
    table = read_columns(path, [*names, *more])
    found = table.filter(table.column(FACE_FOUND))
    framing = _framing(path, found)
    corners = np.stack(
        [found.column(name).to_numpy().astype(np.float64) for name in _CORNERS], axis=1
    )
    sizes = corners[:, 2:] - corners[:, :2]
    good = (sizes > 0).all(axis=1) & (np.abs(corners) <= _FARTHEST_PX).all(axis=1)
    if not good.all():
        row = int(np.argmin(good))
        shown = ", ".join(f"{x:.6g}" for x in corners[row])
        raise MienError(
            f"{path}: {int((~good).sum())} boxes are none, first that of "
            f"{found.column('path')[row].as_py()}: {shown}"
        )
    values = zip(
        found.column("path").to_pylist(),
        found.column("frame").to_pylist(),
        found.column("track_id").to_pylist(),
        corners.tolist(),
        quarters(path, found),
        strict=True,
    )
    rows = (
        FaceBox(name, frame, -1 if track is None else track, (x1, y1, x2, y2), turn)
        for name, frame, track, (x1, y1, x2, y2), turn in values
    )
    return rows, framing


def quarters(path: Path, found: pa.Table) -> list[int]:
    """Return the turns of the faces in quarters; none in a table from before they were noted."""
    if _TURN not in found.column_names:
        return [0] * len(found)
    # A number that is missing is NaN where pandas has written it.
    turns = [
        0 if turn is None or turn != turn else turn for turn in found.column(_TURN).to_pylist()
    ]
    odd = next((turn for turn in turns if turn not in (0, 90, 180, 270)), None)
    if odd is not None:
        raise MienError(f"{path}: a turn of {odd} degrees is none of 0, 90, 180, 270: embed again")
    return [int(turn) // 90 for turn in turns]


def _framing(path: Path, found: pa.Table) -> Framing:
    """Return how boxes are framed: by the column; in a table from before, by its metadata."""
    if "framing" in found.column_names:
        kinds = set(found.column("framing").drop_null().to_pylist())
    else:
        detector = (found.schema.metadata or {}).get(b"mien.detector", b"")
        kinds = {detector.decode(errors="replace")} - {""}
    if not len(found):
        return "haar"
    if len(kinds) != 1 or not kinds <= set(_FRAMINGS):
        says = ", ".join(sorted(kinds)) or "nothing"
        raise MienError(
            f"{path} says {says[:100]} of how its boxes frame a face, not one of haar, yunet, "
            "image: embed again, or keep the column framing"
        )
    return cast(Framing, _FRAMINGS[kinds.pop()])
