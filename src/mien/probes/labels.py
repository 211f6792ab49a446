"""Labels of faces: CSV files, one row a face, any column as label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mien.errors import MienError
from mien.probes.face_rows import KEYS, NamedFace, face_key, read_rows, refuse_lines

__all__ = ["PERSON", "Label", "Labels", "read_labels"]

PERSON = "person"
"""The column that says who it is, if no other is named."""


@dataclass(frozen=True)
class Label(NamedFace):
    """What somebody says of one face."""

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
    """Name of the column that says who it is."""
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
        person: the column that says who it is; None: "person", if the first file has it.

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
        if person is not None:
            unnamed = [line for line, cells in filled if not cells[person]]
            refuse_lines(path, unnamed, f"say no {person}; name everybody, or leave the column out")
        for line, cells in filled:
            who = None if person is None else cells[person]
            found.append(Label(*face_key(path, line, cells), cells[label], who))
            places.append(f"{path}, line {line}")
    if not found:
        raise MienError(f"{first} has no label in the column {label}")
    _refuse_repeated(found, places)
    return Labels(label, tuple(found), person, empty)


def _only_label(path: Path, columns: Sequence[str], person: str | None) -> str:
    """Return the one column that can be the label."""
    left = [name for name in columns if name not in KEYS and name != person]
    if len(left) != 1:
        there = f"one of {', '.join(left)}" if left else "there is none beside the face's name"
        raise MienError(f"{path}: say which column is the label with --label: {there}")
    return left[0]


def _refuse_repeated(labels: Sequence[Label], places: Sequence[str]) -> None:
    first: dict[tuple[str, int | None, int | None], str] = {}
    again = [
        (place, label.name)
        for place, label in zip(places, labels, strict=True)
        if first.setdefault((label.path, label.frame, label.face_id), place) != place
    ]
    if again:
        place, name = again[0]
        raise MienError(
            f"{len(again)} labels are of a face that has one already, first {place}, {name}: give "
            "every face once, with frame and face_id if its file shows several"
        )
