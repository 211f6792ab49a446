"""Where people looked: a CSV file, one row a face, as directions in the camera frame."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.probes.face_rows import NamedFace, Row, face_key, read_rows, refuse_lines
from mien.probes.screen import Screen

__all__ = ["KINDS", "Target", "read_targets"]

Array = NDArray[np.float64]
KINDS: tuple[tuple[str, ...], ...] = (
    ("gaze_yaw_deg", "gaze_pitch_deg"),
    ("gaze_yaw_rad", "gaze_pitch_rad"),
    ("gaze_x", "gaze_y", "gaze_z"),
    ("screen_x_px", "screen_y_px"),
)
"""Columns that say where somebody looked; a file has one of these sets."""

_UNIT = 0.01


@dataclass(frozen=True)
class Target(NamedFace):
    """Where one face looked."""

    direction: tuple[float, float, float]
    """Unit vector, camera frame: x right, y down, z away."""
    person: str | None
    """None if the file has no such column."""


def read_targets(path: str | Path, screen: Screen | None = None) -> list[Target]:
    """Read targets: `path`, one of the sets of `KINDS`; `frame`, `face_id`, `person` if need be.

    Args:
        path: CSV in UTF-8, its first line the names of the columns; others are ignored.
        screen: for `screen_x_px` and `screen_y_px`.

    Raises:
        MienError: if the file cannot be read, columns are missing or say it twice, a value is
            missing or impossible, a face is there twice, or a screen is missing or not needed.
    """
    path = Path(path)
    columns, rows = read_rows(path)
    if "path" not in columns:
        raise MienError(
            f"{path} has no column path: its first line must name the columns, with commas"
        )
    kind = _kind(path, columns)
    if (kind == KINDS[3]) != (screen is not None):
        need = "need the screen's geometry: give --screen" if screen is None else "need no --screen"
        raise MienError(f"{path}: targets as {' and '.join(kind)} {need}")
    if not rows:
        raise MienError(f"{path} holds no targets")
    directions = _directions(path, rows, kind, screen)
    keys = [face_key(path, line, cells) for line, cells in rows]
    people = _people(path, columns, rows)
    targets = [
        Target(*key, (float(x), float(y), float(z)), person)
        for key, (x, y, z), person in zip(keys, directions, people, strict=True)
    ]
    _refuse_repeated(path, targets, [line for line, _ in rows])
    return targets


def _kind(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the one set of columns that says where people looked."""
    begun = [kind for kind in KINDS if any(name in columns for name in kind)]
    if len(begun) != 1:
        sets = " | ".join(" ".join(kind) for kind in begun or KINDS)
        fault = (
            "says twice where people looked; keep one of" if begun else "needs one of the columns"
        )
        raise MienError(f"{path} {fault}: {sets}")
    missing = [name for name in begun[0] if name not in columns]
    if missing:
        raise MienError(f"{path} has no column {missing[0]} beside {' '.join(begun[0])}")
    return begun[0]


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _directions(
    path: Path, rows: Sequence[Row], kind: tuple[str, ...], screen: Screen | None
) -> Array:
    """Return unit vectors of all rows. [N, 3]."""
    values = np.array([[_number(cells[name]) for name in kind] for _, cells in rows])

    def refuse(wrong: Any, what: str) -> None:
        refuse_lines(path, [rows[int(i)][0] for i in np.flatnonzero(wrong)], what)

    refuse(~np.isfinite(values).all(axis=1), f"have no number in {' or '.join(kind)}")
    if screen is not None:
        return screen.directions(values)
    if kind == KINDS[2]:
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        refuse(np.abs(lengths[:, 0] - 1) > _UNIT, "are no unit vectors (more than 1 % off)")
        return values / lengths
    half, unit = (180.0, "degrees") if kind == KINDS[0] else (math.pi, "radians; are they degrees?")
    beyond = (np.abs(values) > np.array([half, half / 2])).any(axis=1)
    refuse(beyond, f"are beyond what yaw and pitch can be in {unit}")
    return gaze_vector(*(values * (math.pi / half)).T)


def _people(path: Path, columns: Sequence[str], rows: Sequence[Row]) -> list[str | None]:
    if "person" not in columns:
        return [None] * len(rows)
    unnamed = [line for line, cells in rows if not cells["person"]]
    refuse_lines(path, unnamed, "say no person; name everybody, or leave the column out")
    return [cells["person"] for _, cells in rows]


def _refuse_repeated(path: Path, targets: Sequence[Target], lines: Sequence[int]) -> None:
    first: dict[tuple[str, int | None, int | None], int] = {}
    again = [
        (line, target.name)
        for line, target in zip(lines, targets, strict=True)
        if first.setdefault((target.path, target.frame, target.face_id), line) != line
    ]
    if again:
        line, name = again[0]
        raise MienError(
            f"{path}: {len(again)} rows name a face that another row names, first line {line}, "
            f"{name}: give every face once, with frame and face_id if its file shows several"
        )
