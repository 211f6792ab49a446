"""What is known of faces: CSV files, one row a face, of any label or of where people looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.probes.face_rows import KEYS, NamedFace, Row, face_key, read_rows, refuse_lines
from mien.probes.screen import Screen

__all__ = ["KINDS", "PERSON", "Label", "Labels", "Target", "read_labels", "read_targets"]

Array = NDArray[np.float64]
Place = TypeVar("Place", int, str)

PERSON = "person"
"""The column with the name of the person, if no other is given."""
KINDS: tuple[tuple[str, ...], ...] = (
    ("gaze_yaw_deg", "gaze_pitch_deg"),
    ("gaze_yaw_rad", "gaze_pitch_rad"),
    ("gaze_x", "gaze_y", "gaze_z"),
    ("screen_x_px", "screen_y_px"),
)
"""Columns that hold where somebody looked; a file has one of these sets."""

_UNIT = 0.01


@dataclass(frozen=True)
class Label(NamedFace):
    """The label of one face."""

    text: str
    """As it stands in the file, never empty."""
    person: str | None
    """None if the file has no such column."""


@dataclass(frozen=True)
class Labels:
    """All labels of one column."""

    name: str
    """Of the column."""
    labels: tuple[Label, ...]
    person: str | None
    """Name of the column with the name of the person."""
    empty: int
    """Rows whose label is not filled in; they are left out."""


def read_labels(
    paths: Sequence[str | Path], *, label: str | None = None, person: str | None = None
) -> Labels:
    """Read labels: `path`, the label; `frame`, `face_id` and who it is if need be.

    Args:
        paths: CSV files in UTF-8, the first line of each the names of its columns; columns that
            are not asked for are ignored, rows without a label are left out.
        label: the column with the label; None: the one that is left of the first file when those
            above are taken away.
        person: the column with the name of the person; None: "person", if the first file has it.

    Raises:
        MienError: if a file cannot be read or misses a column, it is not clear which column is
            the label, a key or a person is missing, or a face is there twice.
    """
    if not paths:
        raise MienError("no labels are given; give --labels FILE.csv")
    tables = [(Path(path), *read_rows(Path(path))) for path in paths]
    first, columns, _ = tables[0]
    if person is None and label != PERSON and PERSON in columns:
        person = PERSON
    if label is None:
        label = _only_label(first, columns, person)
    if label in KEYS or label == person:
        raise MienError(f"{label} names the face or the person: it cannot be the label")
    found: list[Label] = []
    places: list[str] = []
    empty = 0
    for path, names, rows in tables:
        missing = [name for name in ("path", label, person) if name and name not in names]
        if missing:
            raise MienError(f"{path} has no column {missing[0]}: it has {', '.join(names)}")
        filled = [(line, cells) for line, cells in rows if cells[label]]
        empty += len(rows) - len(filled)
        people = _people(path, filled, person)
        for (line, cells), who in zip(filled, people, strict=True):
            found.append(Label(*face_key(path, line, cells), cells[label], who))
            places.append(f"{path}, line {line}")
    if not found:
        raise MienError(f"{first} has no label in the column {label}")
    again = _repeated(found, places)
    if again:
        place, face = again[0]
        raise MienError(
            f"{len(again)} labels are of a face that has one already, first {place}, {face.name}: "
            "give every face once, with frame and face_id if its file shows several"
        )
    return Labels(label, tuple(found), person, empty)


def _only_label(path: Path, columns: Sequence[str], person: str | None) -> str:
    """Return the one column that can be the label."""
    left = [name for name in columns if name not in KEYS and name != person]
    if len(left) != 1:
        there = f"one of {', '.join(left)}" if left else "there is none beside the face's name"
        raise MienError(f"{path}: name the column of the label with --label: {there}")
    return left[0]


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
        MienError: if the file cannot be read, columns are missing or given twice, a value is
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
    people = _people(path, rows, PERSON if PERSON in columns else None)
    targets = [
        Target(*key, (float(x), float(y), float(z)), person)
        for key, (x, y, z), person in zip(keys, directions, people, strict=True)
    ]
    again = _repeated(targets, [line for line, _ in rows])
    if again:
        line, face = again[0]
        raise MienError(
            f"{path}: {len(again)} rows name a face that another row names, first line {line}, "
            f"{face.name}: give every face once, with frame and face_id if its file shows several"
        )
    return targets


def _kind(path: Path, columns: Sequence[str]) -> tuple[str, ...]:
    """Return the one set of columns with where people looked."""
    begun = [kind for kind in KINDS if any(name in columns for name in kind)]
    if len(begun) != 1:
        sets = " | ".join(" ".join(kind) for kind in begun or KINDS)
        fault = (
            "has where people looked twice; keep one of" if begun else "needs one of the columns"
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
    impossible = (np.abs(values) > np.array([half, half / 2])).any(axis=1)
    refuse(impossible, f"exceed what yaw and pitch can be in {unit}")
    return gaze_vector(*(values * (math.pi / half)).T)


def _people(path: Path, rows: Sequence[Row], person: str | None) -> list[str | None]:
    """Return who each row is; None if there is no column for it."""
    if person is None:
        return [None] * len(rows)
    unnamed = [line for line, cells in rows if not cells[person]]
    refuse_lines(path, unnamed, f"have no {person}; name everybody, or leave the column out")
    return [cells[person] for _, cells in rows]


def _repeated(faces: Sequence[NamedFace], places: Sequence[Place]) -> list[tuple[Place, NamedFace]]:
    """Return the faces that were named before, with their places in the file."""
    first: dict[tuple[str, int | None, int | None], Place] = {}
    return [
        (place, face)
        for place, face in zip(places, faces, strict=True)
        if first.setdefault((face.path, face.frame, face.face_id), place) != place
    ]
