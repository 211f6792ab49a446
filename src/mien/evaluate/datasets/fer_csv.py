"""The pixels and labels of fer2013.csv: 35,887 grey images of 48 x 48 as text.

Columns emotion (0 to 6), pixels (2,304 numbers with spaces between) and Usage (Training, PublicTest
or PrivateTest); in icml_face_data.csv the same with other order and spaces before the names.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree

__all__ = ["CSV_NAMES", "FerCsv", "read_fer_csv"]

CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
USAGES = ("Training", "PublicTest", "PrivateTest")
SIDE = 48


@dataclass(frozen=True)
class FerCsv:
    """Rows of the file, in its order."""

    emotion: NDArray[np.int64]
    """0 to 6: angry, disgust, fear, happy, sad, surprise, neutral. [N]."""
    usage: NDArray[np.str_]
    """One of `USAGES`. [N]."""
    pixels: NDArray[np.uint8]
    """Grey. [N, 48, 48]."""

    def image(self, row: int) -> NDArray[np.uint8]:
        """Return an image as RGB [48, 48, 3]."""
        return np.repeat(self.pixels[row][:, :, None], 3, axis=2)


def read_fer_csv(tree: Tree, name: str) -> FerCsv:
    """Read the file.

    Args:
        tree: where it stands.
        name: its path.

    Raises:
        MienError: a column is missing, or a line is not as it should be.
    """
    rows = csv.reader(io.StringIO(tree.read_text(name)))
    header = [column.strip() for column in next(rows, [])]
    missing = [column for column in ("emotion", "pixels", "Usage") if column not in header]
    if missing:
        raise MienError(
            f"{tree}/{name} has no column {missing[0]}; the whole file with all 35,887 rows is "
            "wanted, not one of its parts"
        )
    places = [header.index(column) for column in ("emotion", "pixels", "Usage")]
    emotion, usage, pixels = [], [], []
    for row in rows:
        if row:
            number, values, use = _row(row, places, f"{tree}/{name}, line {rows.line_num}")
            emotion.append(number)
            pixels.append(values)
            usage.append(use)
    if not emotion:
        raise MienError(f"{tree}/{name} has no rows; copy it again")
    return FerCsv(np.asarray(emotion, np.int64), np.asarray(usage), np.stack(pixels))


def _row(row: list[str], places: list[int], where: str) -> tuple[int, NDArray[np.uint8], str]:
    try:
        emotion, text, usage = (row[place].strip() for place in places)
        values = np.array(text.split(), dtype=np.int64)
        number = int(emotion)
    except (IndexError, ValueError) as error:
        raise MienError(f"{where} is not a row of FER-2013: {error}") from error
    if values.size != SIDE * SIDE or values.min() < 0 or values.max() > 255:
        raise MienError(f"{where} has {values.size} pixels of 0 to 255; {SIDE * SIDE} are wanted")
    if not 0 <= number <= 6 or usage not in USAGES:
        raise MienError(f"{where} has emotion {number} and usage {usage}, which FER-2013 has not")
    return number, values.astype(np.uint8).reshape(SIDE, SIDE), usage
