"""Boxes that another tool, or mien before, found: a table in place of a detector.

A CSV or Parquet file with a row per face. Columns: `path` (or image, file, input), `frame` of a
video (0 where it is missing), and the box as x1, y1, x2, y2, as x, y, w, h (or width, height), or
under py-feat's names (FaceRectX ...); in pixels of the image. Landmarks are not read.

The boxes of most detectors frame a face as YuNet's do, from the middle of the forehead to the chin;
a table of mien says in its column `framing` how its boxes do.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.face import Box, Face, Framing
from mien.media.names import to_text
from mien.table.boxes import quarters

__all__ = ["KnownFaces", "is_box_file", "read_known_faces"]

_SUFFIXES = (".csv", ".parquet")
_PATHS = ("path", "image", "file", "filename", "input")
_CORNERS = (("x1", "y1", "x2", "y2"),)
_EXTENTS = (
    ("x", "y", "w", "h"),
    ("x", "y", "width", "height"),
    ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"),
)
_FRAMINGS = ("haar", "yunet", "image")
_FARTHEST_PX = 1e6
_MOST_BYTES = 4 << 30
_LAST_FRAME = 2**53
_YES, _NO = ("true", "1", "1.0"), ("false", "0", "0.0", "none", "nan")


@dataclass(frozen=True, eq=False)
class KnownFaces:
    """The faces of a file; safe to share between threads."""

    name: str
    """`boxes-` and the start of the file's SHA-256."""
    path: Path
    faces: Mapping[tuple[str, int], Sequence[Face]]
    """Name of the image and frame => its faces, in the file's order."""

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:  # noqa: ARG002
        """Refuse: without its name, an image is not to be found in a file.

        Raises:
            MienError: always.
        """
        raise MienError(
            f"boxes can be taken from a file ({self.path}) by mien embed alone; name a detector"
        )

    def of(self, label: str, full_path: str, frame: int) -> list[Face]:
        """Return the faces of an image or of a frame of a video, in its pixels.

        Args:
            label: what the image is called in the table of faces.
            full_path: where it is. The file may name it so, relative to the file's own folder, or
                by its mere name.
            frame: number of the frame; 0 for an image.
        """
        names = self._names(label, full_path)
        found = next((self.faces[name, frame] for name in names if (name, frame) in self.faces), ())
        return sorted(found, key=lambda face: (*face.box, -face.score))

    def refuse_strangers(self, inputs: Iterable[tuple[str, str]]) -> None:
        """Refuse inputs of which none is named in the file: its names are of another kind.

        Args:
            inputs: label and full path of each, as for `of`.

        Raises:
            MienError: so.
        """
        known = {name for name, _ in self.faces}
        if known and not any(known.intersection(self._names(*each)) for each in inputs):
            first = next(iter(self.faces))[0]
            raise MienError(
                f"{self.path} names none of the inputs, but {first[:100]!r}; give names as mien "
                "embed does in the column path, relative to the file, or the last part alone"
            )

    def _names(self, label: str, full_path: str) -> tuple[str, ...]:
        """Return how the file may call an input."""
        here = os.path.abspath(full_path)  # noqa: PTH100 - links are names of their own
        beside = os.path.relpath(here, self.path.resolve().parent)
        every = (full_path, here, beside, Path(here).name)
        return (label, *map(to_text, every))


def is_box_file(detector: str) -> bool:
    """Return whether the name of a detector is that of a file of boxes."""
    return detector.lower().endswith(_SUFFIXES)


def read_known_faces(path: str | Path) -> KnownFaces:
    """Read a file of boxes.

    Raises:
        MienError: no such file, no such table, columns are missing, or a box is none.
    """
    path = Path(path)
    table = _read(path)
    names = _names(path, table)
    frames = _frames(path, table)
    boxes = _boxes(path, table)
    scores = _numbers(path, table, "det_score") if "det_score" in table.column_names else None
    if scores is not None and np.isinf(scores).any():
        raise MienError(f"{path}: the column det_score holds infinity")
    framings, turns = _framings(path, table), quarters(path, table)
    faces: dict[tuple[str, int], list[Face]] = {}
    for row in np.flatnonzero(_there(path, table)).tolist():
        box = boxes[row]
        if not (np.abs(box) <= _FARTHEST_PX).all() or (box[2:] <= box[:2]).any():
            raise MienError(f"{path}: row {row + 1} has no box: {[float(f'{v:.6g}') for v in box]}")
        key = names[row], frames[row]
        score = 1.0 if scores is None else float(np.nan_to_num(scores[row], nan=1.0))
        corners = cast(Box, tuple(box.tolist()))
        faces.setdefault(key, []).append(
            Face(corners, score, framing=framings[row], turn=turns[row])
        )
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return KnownFaces(f"boxes-{digest[:12]}", path, faces)


def _read(path: Path) -> pa.Table:
    if not path.is_file():
        raise MienError(f"no file {path} of boxes; see to its name")
    if path.stat().st_size > _MOST_BYTES:
        raise MienError(f"{path} is larger than {_MOST_BYTES >> 30} GiB; it is not read")
    wanted = {*_PATHS, "frame", "det_score", "framing", "face_found", "turn_deg"}
    wanted |= {name for names in (*_CORNERS, *_EXTENTS) for name in names}
    try:
        if path.suffix.lower() == ".csv":
            every = pacsv.open_csv(path).schema.names
            kept = [name for name in every if name in wanted]
            options = pacsv.ConvertOptions(
                include_columns=kept,
                strings_can_be_null=True,
                column_types=dict.fromkeys((*_PATHS, "framing"), pa.string()),
            )
            table = pacsv.read_csv(path, convert_options=options)
        else:
            with pq.ParquetFile(path) as file:
                kept = [name for name in file.schema_arrow.names if name in wanted]
                table = file.read(columns=kept)
    except (pa.ArrowException, OSError, ValueError) as error:
        cause = " ".join(str(error).split())[:200]
        raise MienError(f"cannot read {path} as a table of boxes: {cause}") from error
    if len(set(table.column_names)) < table.num_columns:
        raise MienError(f"{path} has two columns of one name")
    return table


def _names(path: Path, table: pa.Table) -> list[str]:
    """Return the names of the images. [N]."""
    name = next((each for each in _PATHS if each in table.column_names), None)
    if name is None:
        raise MienError(f"{path} has no column {_PATHS[0]} (or {', '.join(_PATHS[1:])})")
    return _texts(path, table, name, null="")


def _frames(path: Path, table: pa.Table) -> list[int]:
    """Return the numbers of the frames; 0 where there is none. [N]."""
    if "frame" not in table.column_names:
        return [0] * len(table)
    numbers = np.nan_to_num(_numbers(path, table, "frame"), posinf=-1)
    bad = (numbers < 0) | (numbers > _LAST_FRAME) | (numbers != numbers.round())
    if bad.any():
        row = int(bad.argmax())
        raise MienError(f"{path}: row {row + 1} has frame {table['frame'][row]}, not 0, 1, 2, ...")
    return numbers.astype(np.int64).tolist()


def _texts(path: Path, table: pa.Table, name: str, *, null: str) -> list[str]:
    kind = table.schema.field(name).type
    inner = kind.value_type if pa.types.is_dictionary(kind) else kind
    text = "string" in str(inner) and not pa.types.is_nested(inner)
    if not text and not pa.types.is_null(inner):
        raise MienError(f"{path}: the column {name} holds {str(kind)[:100]}, not texts")
    return [null if value is None else value for value in table.column(name).to_pylist()]


def _numbers(path: Path, table: pa.Table, name: str) -> NDArray[np.float64]:
    column = table.column(name)
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if not (pa.types.is_integer(column.type) or pa.types.is_floating(column.type)):
        if column.null_count == len(column):
            return np.full(len(column), np.nan)
        raise MienError(f"{path}: the column {name} holds {str(kind)[:100]}, not numbers")
    try:
        return column.cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise MienError(f"{path}: the column {name} holds numbers beyond all bounds") from error


def _boxes(path: Path, table: pa.Table) -> NDArray[np.float64]:
    """Return x1, y1, x2, y2. [N, 4]."""
    there = set(table.column_names)
    numbers = partial(_numbers, path, table)
    for names in _CORNERS:
        if there.issuperset(names):
            return np.stack([numbers(name) for name in names], axis=1)
    for names in _EXTENTS:
        if there.issuperset(names):
            x, y, width, height = (numbers(name) for name in names)
            return np.stack([x, y, x + width, y + height], axis=1)
    forms = "; ".join(", ".join(names) for names in (*_CORNERS, *_EXTENTS))
    raise MienError(f"{path} has no boxes; a box is four columns of one of these forms: {forms}")


def _there(path: Path, table: pa.Table) -> NDArray[np.bool_]:
    """Return which rows are faces: all but those that a table of mien calls none."""
    if "face_found" not in table.column_names:
        return np.ones(len(table), bool)
    found = []
    for row, value in enumerate(table["face_found"].to_pylist(), start=1):
        text = str(value).lower()
        if text not in _YES + _NO:
            raise MienError(f"{path}: row {row} has face_found {text[:40]}, not true or false")
        found.append(text in _YES)
    return np.array(found, bool)


def _framings(path: Path, table: pa.Table) -> list[Framing]:
    if "framing" not in table.column_names:
        return ["yunet"] * len(table)
    found = [value or "yunet" for value in _texts(path, table, "framing", null="yunet")]
    unknown = set(found) - set(_FRAMINGS)
    if unknown:
        raise MienError(
            f"{path}: framing {str(unknown.pop())[:40]} is unknown; there are "
            + ", ".join(_FRAMINGS)
        )
    return cast("list[Framing]", found)
