"""CSV files that name faces as the table of faces does, and the rows that they name."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from mien.errors import MienError
from mien.media.bounded import MIB, read_text
from mien.media.spreadsheet import plain_cell

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["KEYS", "FaceFile", "NamedFace", "Row", "number_of", "refuse_repeated", "rows_of_faces"]

Row: TypeAlias = tuple[int, dict[str, str]]
"""Number of the line, and its cells by column."""

KEYS = ("path", "frame", "face_id")
"""What names a face, as in the table of faces; only the first is needed."""
_LARGEST = 1024 * MIB
_DIGITS = 18


@dataclass(frozen=True)
class NamedFace:
    """A face, as a file names it."""

    path: str
    frame: int | None
    """None if the file has no such column."""
    face_id: int | None
    """None if the file has no such column."""
    person: str | None
    """None if the file has no such column."""

    @property
    def name(self) -> str:
        """Return what names the face, for messages."""
        parts = ((key, getattr(self, key)) for key in KEYS[1:])
        return " ".join(
            [self.path, *(f"{key} {value}" for key, value in parts if value is not None)]
        )


@dataclass(frozen=True)
class FaceFile:
    """A CSV file with a row a face."""

    path: Path
    columns: tuple[str, ...]
    """All that there are."""
    rows: tuple[Row, ...]
    """Those that are not empty, with the columns that were chosen."""

    @staticmethod
    def read(
        path: str | Path, choose: Callable[[Path, tuple[str, ...]], Collection[str]]
    ) -> FaceFile:
        """Read some columns of a file.

        Args:
            path: the file.
            choose: path and names of all columns => names of those that are kept: a file may have
                a hundred thousand.

        Raises:
            MienError: if it cannot be read, is no CSV in UTF-8, has a column twice or uneven rows.
        """
        path = Path(path)
        rows: list[Row] = []
        uneven: list[bool] = []
        try:
            reader = csv.reader(
                io.StringIO(read_text(path, limit=_LARGEST), newline=""), strict=True
            )
            columns = tuple(name.strip() for name in next(reader, []))
            name, count = Counter(columns).most_common(1)[0] if columns else ("", 0)
            if count > 1:
                raise MienError(f"{path} has the column {name[:100]!r} twice")
            chosen = set(choose(path, columns))
            places = [(place, name) for place, name in enumerate(columns) if name in chosen]
            for cells in reader:
                if any(not cell.isspace() for cell in cells if cell):
                    uneven.append(len(cells) != len(columns))
                    there = [(p, name) for p, name in places if p < len(cells)]
                    rows.append(
                        (reader.line_num, {n: plain_cell(cells[p].strip()) for p, n in there})
                    )
        except csv.Error as error:
            raise MienError(f"{path} is no CSV file in UTF-8: {error}") from error
        found = FaceFile(path, columns, tuple(rows))
        found.refuse(uneven, f"have not {len(columns)} cells as the first line has")
        return found

    def refuse(self, wrong: Iterable[bool], what: str) -> None:
        """Refuse rows, if there are any; `what` goes on after "3 rows".

        Raises:
            MienError: there are some.
        """
        lines = [line for (line, _), bad in zip(self.rows, wrong, strict=True) if bad]
        if lines:
            raise MienError(f"{self.path}: {len(lines)} rows {what}, first line {lines[0]}")

    def faces(self, person: str | None) -> list[NamedFace]:
        """Return the face that each row names.

        Args:
            person: the column with who it is; None if there is none.

        Raises:
            MienError: if a path or a person is missing, or another key is no whole number.
        """
        found = [self._face(line, cells, person) for line, cells in self.rows]
        unnamed = [face.person == "" for face in found]
        self.refuse(unnamed, f"have no {person}; name everybody, or leave the column out")
        return found

    def _face(self, line: int, cells: dict[str, str], person: str | None) -> NamedFace:
        if not cells["path"]:
            raise MienError(
                f"{self.path}, line {line}: no path; name the face as in the table's column path"
            )
        numbers = []
        for name in KEYS[1:]:
            text = cells.get(name)
            if text is not None and not (text.isdecimal() and len(text) <= _DIGITS):
                raise MienError(
                    f"{self.path}, line {line}: {name} is {text[:100]!r}, not a whole number from "
                    "0 on"
                )
            numbers.append(None if text is None else int(text))
        frame, face_id = numbers
        return NamedFace(cells["path"], frame, face_id, cells[person] if person else None)


def number_of(text: str) -> float | None:
    """Return the number that a text is; None if it is none."""
    try:
        return float(text)
    except ValueError:
        return None


def refuse_repeated(faces: Sequence[NamedFace], places: Sequence[str]) -> None:
    """Refuse faces that were named before.

    Args:
        faces: of all files.
        places: file and line of each.

    Raises:
        MienError: there are some.
    """
    first: dict[tuple[str, int | None, int | None], str] = {}
    again = [
        (place, face)
        for place, face in zip(places, faces, strict=True)
        if first.setdefault((face.path, face.frame, face.face_id), place) != place
    ]
    if again:
        place, face = again[0]
        raise MienError(
            f"{len(again)} rows name a face that another row names, first {place}, {face.name}: "
            "give every face once, with frame and face_id if its file shows several"
        )


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
    face_ids = faces["face_id"].to_numpy(dtype=np.float64, na_value=-1)

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
