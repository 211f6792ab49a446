"""What is known of faces: CSV files, one row a face, of any label or of where people looked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.probes.face_rows import KEYS, FaceFile, NamedFace, number_of, refuse_repeated
from mien.probes.screen import Screen

__all__ = ["KINDS", "PERSON", "Label", "Labels", "Target", "read_labels", "read_targets"]

Array = NDArray[np.float64]

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
_SHOWN = 20
"""Names of columns in a message."""


@dataclass(frozen=True)
class Label(NamedFace):
    """The label of one face."""

    text: str
    """As it stands in the file, never empty."""


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
    name = label

    def choose(path: Path, columns: tuple[str, ...]) -> tuple[str, ...]:
        nonlocal name, person
        if person is None and name != PERSON and PERSON in columns and path == Path(paths[0]):
            person = PERSON
        name = _only_label(path, columns, person) if name is None else name
        if not name:
            raise MienError(f"{path}: the column of the label has no name; give it one")
        if name in KEYS or name == person:
            raise MienError(f"{name} names the face or the person: it cannot be the label")
        return (*KEYS, name, *([person] if person else []))

    files = [FaceFile.read(path, choose) for path in paths]
    assert name is not None
    found: list[Label] = []
    places: list[str] = []
    for file in files:
        missing = [
            column for column in ("path", name, person) if column not in (*file.columns, None)
        ]
        if missing:
            raise MienError(f"{file.path} has no column {missing[0]}: it has {_some(file.columns)}")
        filled = replace(file, rows=tuple(row for row in file.rows if row[1][name]))
        for (line, cells), face in zip(filled.rows, filled.faces(person), strict=True):
            found.append(Label(**asdict(face), text=cells[name]))
            places.append(f"{file.path}, line {line}")
    if not found:
        raise MienError(f"{files[0].path} has no label in the column {name}")
    refuse_repeated(found, places)
    empty = sum(len(file.rows) for file in files) - len(found)
    return Labels(name, tuple(found), person, empty)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
    return ", ".join(name[:40] for name in names[:_SHOWN]) + more


def _only_label(path: Path, columns: Sequence[str], person: str | None) -> str:
    """Return the one column that can be the label."""
    left = [name for name in columns if name not in KEYS and name != person]
    if len(left) != 1:
        there = f"one of {_some(left)}" if left else "there is none beside the face's name"
        raise MienError(f"{path}: name the column of the label with --label: {there}")
    return left[0]


@dataclass(frozen=True)
class Target(NamedFace):
    """Where one face looked."""

    direction: tuple[float, float, float]
    """Unit vector, camera frame: x right, y down, z away."""


def read_targets(path: str | Path, screen: Screen | None = None) -> list[Target]:
    """Read targets: `path`, one of the sets of `KINDS`; `frame`, `face_id`, `person` if need be.

    Args:
        path: CSV in UTF-8, its first line the names of the columns; others are ignored.
        screen: for `screen_x_px` and `screen_y_px`.

    Raises:
        MienError: if the file cannot be read, columns are missing or given twice, a value is
            missing or impossible, a face is there twice, or a screen is missing or not needed.
    """
    wanted = {*KEYS, PERSON, *(name for kind in KINDS for name in kind)}
    file = FaceFile.read(path, lambda _, columns: wanted.intersection(columns))
    if "path" not in file.columns:
        raise MienError(
            f"{path} has no column path: its first line must name the columns, with commas"
        )
    kind = _kind(file)
    if (kind == KINDS[3]) != (screen is not None):
        need = "need the screen's geometry: give --screen" if screen is None else "need no --screen"
        raise MienError(f"{path}: targets as {' and '.join(kind)} {need}")
    if not file.rows:
        raise MienError(f"{path} holds no targets")
    directions = _directions(file, kind, screen).tolist()
    faces = file.faces(PERSON if PERSON in file.columns else None)
    refuse_repeated(faces, [f"{path}, line {line}" for line, _ in file.rows])
    return [
        Target(**asdict(face), direction=(x, y, z))
        for face, (x, y, z) in zip(faces, directions, strict=True)
    ]


def _kind(file: FaceFile) -> tuple[str, ...]:
    """Return the one set of columns with where people looked."""
    begun = [kind for kind in KINDS if any(name in file.columns for name in kind)]
    if len(begun) != 1:
        sets = " | ".join(" ".join(kind) for kind in begun or KINDS)
        fault = (
            "has where people looked twice; keep one of" if begun else "needs one of the columns"
        )
        raise MienError(f"{file.path} {fault}: {sets}")
    missing = [name for name in begun[0] if name not in file.columns]
    if missing:
        raise MienError(f"{file.path} has no column {missing[0]} beside {' '.join(begun[0])}")
    return begun[0]


def _directions(file: FaceFile, kind: tuple[str, ...], screen: Screen | None) -> Array:
    """Return unit vectors of all rows. [N, 3]."""
    texts = [[number_of(cells[name]) for name in kind] for _, cells in file.rows]
    values = np.array(texts, dtype=np.float64)  # what is no number becomes NaN
    file.refuse(
        np.asarray(~np.isfinite(values).all(axis=1)), f"have no number in {' or '.join(kind)}"
    )
    if screen is not None:
        return screen.directions(values)
    if kind == KINDS[2]:
        lengths = np.linalg.norm(values, axis=1, keepdims=True)
        file.refuse(
            np.asarray(np.abs(lengths[:, 0] - 1) > _UNIT), "are no unit vectors (more than 1 % off)"
        )
        return values / lengths
    half, unit = (180.0, "degrees") if kind == KINDS[0] else (math.pi, "radians; are they degrees?")
    impossible = (np.abs(values) > np.array([half, half / 2])).any(axis=1)
    file.refuse(np.asarray(impossible), f"exceed what yaw and pitch can be in {unit}")
    return gaze_vector(*(values * (math.pi / half)).T)
