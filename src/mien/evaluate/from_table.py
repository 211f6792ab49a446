"""The factors of a data set's images, from a table that `mien embed` made of its folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.columns import CODES, FEATURES
from mien.errors import MienError
from mien.evaluate.protocol import FactorColumns, GetFactors, Images
from mien.media.names import to_text

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["describe_from"]

_BOX = ("x1", "y1", "x2", "y2")
_SEVERAL = -1


def describe_from(path: str | Path) -> GetFactors:
    """Return what looks the factors of images up in a table.

    An image's row is the one whose path is the image's name, or ends in "/" and its name; of
    several faces in an image the one with the largest box.

    Args:
        path: of a table that `mien embed` wrote.

    A table without the encoders' features knows nothing of them: that column is NaN.

    Raises:
        MienError: the file is missing or no table of faces; and, by what is returned: images are
            not in it, a name stands for several of them, or it has not got a column.
    """
    from mien.table.read import column_names

    path = Path(path)
    return _FromTable(path, _read_rows(path), frozenset(column_names(path)))


@dataclass(frozen=True)
class _Rows:
    """One row an image: that of its largest face."""

    paths: tuple[str, ...]
    row: NDArray[np.int64]
    """Number of each one's row in the file."""
    found: NDArray[np.bool_]


@dataclass(frozen=True)
class _FromTable:
    path: Path
    rows: _Rows
    columns: frozenset[str]
    """Names of the columns that the table has."""
    reads_pixels: bool = False

    def __call__(self, images: Images, columns: Sequence[str], /) -> FactorColumns:
        """Return the named columns of all images."""
        places = self._places([_slashed(to_text(name)) for name in images.names])
        rows = self.rows.row[places]
        found = self.rows.found[places]
        values = {name: self._column(name)[rows] for name in columns}
        return FactorColumns(found, found.copy(), values)

    def _places(self, names: Sequence[str]) -> NDArray[np.int64]:
        """Return where each name stands among the images of the table."""
        exact = {path: place for place, path in enumerate(self.rows.paths)}
        endings = {length: self._endings(length) for length in {n.count("/") for n in names}}
        places = np.empty(len(names), dtype=np.int64)
        missing: list[str] = []
        for number, name in enumerate(names):
            place = exact.get(name)
            if place is None:
                place = endings[name.count("/")].get(name)
            if place is None:
                missing.append(name)
            elif place == _SEVERAL:
                raise MienError(
                    f"{self.path} has several images called {name}; "
                    "embed the data set's folder alone"
                )
            else:
                places[number] = place
        if missing:
            raise MienError(
                f"{self.path} lacks {len(missing)} of {len(names)} images, first {missing[0]}; "
                "run mien embed on the data set's folder"
            )
        return places

    def _endings(self, slashes: int) -> dict[str, int]:
        """Return the last parts of each path, as many as a name with that many slashes has."""
        found: dict[str, int] = {}
        for place, path in enumerate(self.rows.paths):
            parts = path.rsplit("/", slashes + 1)
            if len(parts) == slashes + 2:
                ending = "/".join(parts[1:])
                found[ending] = _SEVERAL if ending in found else place
        return found

    def _column(self, name: str) -> NDArray[np.float32]:
        """Return a column of the file as it is, NaN where it is null. [N, D] or [N]."""
        from mien.table.read import open_table, read_codes, read_columns

        if name not in self.columns:
            if name == FEATURES:
                with open_table(self.path) as file:
                    return np.full(file.metadata.num_rows, np.nan, dtype=np.float32)
            raise MienError(
                f"{self.path} has no column {name}, which this protocol is about; embed again "
                "with weights that give it"
            )
        if name in CODES:
            return read_codes(self.path, name)
        return _numbers(read_columns(self.path, [name]).column(0))


def _read_rows(path: Path) -> _Rows:
    """Read where the images of a table are."""
    from mien.table.read import read_columns

    table = read_columns(path, ("path", "face_found", *_BOX))
    paths = [_slashed(str(name)) for name in table.column("path").to_pylist()]
    x1, y1, x2, y2 = (_numbers(table.column(name)).astype(np.float64) for name in _BOX)
    area = np.nan_to_num((x2 - x1) * (y2 - y1), nan=-1.0)
    found = np.asarray(table.column("face_found").to_pylist(), dtype=bool)
    best: dict[str, int] = {}
    for row, name in enumerate(paths):
        if name not in best or area[row] > area[best[name]]:
            best[name] = row
    rows = np.fromiter(best.values(), dtype=np.int64, count=len(best))
    return _Rows(tuple(best), rows, found[rows])


def _slashed(path: str) -> str:
    """Return a path with `/` whichever system it is from."""
    return path.replace("\\", "/")


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float32]:
    """Return numbers, or yes and no as 1 and 0; NaN where they are null. Float32 [N]."""
    import pyarrow as pa

    return column.cast(pa.float32()).to_numpy(zero_copy_only=False).astype(np.float32)
