"""CSV files that name faces as the table of faces does, and the rows that they name."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from mien.errors import MienError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEYS", "NamedFace", "Row", "face_key", "read_rows", "refuse_lines", "rows_of_faces"]

Row: TypeAlias = tuple[int, dict[str, str]]
"""Number of the line, and its cells by column."""

KEYS = ("path", "frame", "face_id")
"""What names a face, as in the table of faces; only the first is needed."""


@dataclass(frozen=True)
class NamedFace:
    """A face, as a file names it."""

    path: str
    frame: int | None
    """None if the file has no such column."""
    face_id: int | None
    """None if the file has no such column."""

    @property
    def name(self) -> str:
        """Return what names the face, for messages."""
        parts = ((key, getattr(self, key)) for key in KEYS[1:])
        return " ".join(
            [self.path, *(f"{key} {value}" for key, value in parts if value is not None)]
        )


def read_rows(path: Path) -> tuple[list[str], list[Row]]:
    """Return the names of a CSV file's columns, and its rows that are not empty.

    Raises:
        MienError: if it cannot be read, is no CSV in UTF-8, has a column twice or uneven rows.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, strict=True)
            columns = [name.strip() for name in next(reader, [])]
            rows = [(reader.line_num, [cell.strip() for cell in cells]) for cells in reader]
    except OSError as error:
        raise MienError(
            f"cannot read {path}: {(error.strerror or 'unreadable').lower()}"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise MienError(f"{path} is no CSV file in UTF-8: {error}") from error
    twice = [name for name in columns if columns.count(name) > 1]
    if twice:
        raise MienError(f"{path} has the column {twice[0]!r} twice")
    rows = [(line, cells) for line, cells in rows if any(cells)]
    uneven = [line for line, cells in rows if len(cells) != len(columns)]
    refuse_lines(path, uneven, f"have not {len(columns)} cells as the first line has")
    return columns, [(line, dict(zip(columns, cells, strict=True))) for line, cells in rows]


def face_key(path: Path, line: int, row: Mapping[str, str]) -> tuple[str, int | None, int | None]:
    """Return path, frame and face_id of the face that a row names.

    Raises:
        MienError: if there is no path, or another is no whole number.
    """
    if not row["path"]:
        raise MienError(
            f"{path}, line {line}: no path; name the face as in the table's column path"
        )
    numbers = []
    for name in KEYS[1:]:
        text = row.get(name)
        if text is not None and not text.isdecimal():
            raise MienError(
                f"{path}, line {line}: {name} is {text!r}, not a whole number from 0 on"
            )
        numbers.append(None if text is None else int(text))
    return row["path"], numbers[0], numbers[1]


def refuse_lines(path: Path, lines: Sequence[int], what: str) -> None:
    """Refuse lines of a file, if there are any; `what` goes on after "3 rows".

    Raises:
        MienError: there are some.
    """
    if lines:
        raise MienError(f"{path}: {len(lines)} rows {what}, first line {lines[0]}")


def rows_of_faces(faces: pd.DataFrame, named: Sequence[NamedFace], what: str) -> list[int]:
    """Return the number of each named face's row in a table of faces.

    Args:
        faces: with the columns `KEYS`.
        named: the faces.
        what: they are, in the plural, for messages: labels.

    Raises:
        MienError: if one has no row, or several.
    """
    rows_of: dict[str, list[int]] = {}
    for number, path in enumerate(faces["path"]):
        rows_of.setdefault(path, []).append(number)
    frames, ids = faces["frame"].to_numpy(), faces["face_id"].isna().to_numpy()
    face_ids = faces["face_id"].fillna(-1).to_numpy()

    def matches(row: int, face: NamedFace) -> bool:
        # Where no face is found there is no face_id: the row has nothing else.
        return face.frame in (None, frames[row]) and (
            ids[row] or face.face_id in (None, face_ids[row])
        )

    found = [[r for r in rows_of.get(t.path, []) if matches(r, t)] for t in named]
    unmatched = [t.name for t, rows in zip(named, found, strict=True) if not rows]
    if unmatched:
        example = f", where the first path is {faces['path'].iloc[0]}" if len(faces) else ""
        raise MienError(
            f"{len(unmatched)} {what} have no row in the table{example}; first {unmatched[0]}: "
            "name the faces as its columns path, frame and face_id do"
        )
    several = [t.name for t, rows in zip(named, found, strict=True) if len(rows) > 1]
    if several:
        raise MienError(
            f"{len(several)} {what} have several rows in the table, first {several[0]}: "
            "name one by the columns frame and face_id"
        )
    return [rows[0] for rows in found]
