"""The codes of the rows of a table that are shown: read when asked for, two bytes a number.

A code is kept less the mean of all, in float32 as long as that is small, else in float16 (numbers
are scaled to its range first: off by 1/2048 of themselves at most). Of several factors those asked
for last are kept.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.columns import CODES, EYES_FOUND, FACE_FOUND, FEATURES, NEED_EYES
from mien.errors import MienError
from mien.serve.errors import ApiError
from mien.serve.table_rows import TableRows
from mien.table.read import code_matrix, column_names, iterate_columns, valid_rows

__all__ = ["TableCodes"]

_BATCH = 8192
_SAMPLE_ROWS = 20_000
_WHOLE_BYTES = 1 << 28
"""Up to so much a factor is kept in float32."""
_MOST_BYTES = 5 << 29
"""What all factors together may take, unless one alone takes more."""
_PRINCIPAL = 3

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Factor:
    """One column of codes."""

    codes: NDArray[np.floating[Any]]
    """Less their mean, times a scale; 0 where there is none. [N, D]."""
    there: NDArray[np.bool_]
    """Rows with a code. [N]."""
    lengths: Floats
    """Of the codes as they are kept. [N]."""
    scale: float

    def chunks(self) -> Iterator[tuple[int, Floats]]:
        """Yield the first row of each part, and its codes in float32."""
        for start in range(0, len(self.codes), _BATCH):
            yield start, np.asarray(self.codes[start : start + _BATCH], dtype=np.float32)


class TableCodes:
    """Columns of codes of one table, of the rows that are shown."""

    def __init__(self, rows: TableRows) -> None:
        there = column_names(rows.path)
        self.names = tuple(name for name in CODES if name in there and name != FEATURES)
        self._checks = {
            name: [
                check
                for check in (FACE_FOUND, *((EYES_FOUND,) if name in NEED_EYES else ()))
                if check in there
            ]
            for name in self.names
        }
        self._rows = rows
        self._kept: OrderedDict[str, _Factor] = OrderedDict()
        self._principal: dict[str, Floats] = {}
        self._lock = threading.Lock()

    def check(self, name: str) -> None:
        """See that there is such a factor.

        Raises:
            ApiError: there is not.
        """
        if name not in self.names:
            has = f"one of {', '.join(self.names)}" if self.names else "the table has no codes"
            raise ApiError("invalid", f"factor: {has}")

    def batches(self, names: Sequence[str]) -> Iterator[tuple[slice, Floats]]:
        """Yield codes of the rows shown as they are in the file, side by side, NaN: none.

        Yields:
            Which rows, and their codes [B, F].

        Raises:
            ApiError: the table has changed, or its codes cannot be read.
        """
        self._rows.check_unchanged()
        checks = dict.fromkeys(check for name in names for check in self._checks[name])
        places, start = self._rows.places, 0
        try:
            for batch in iterate_columns(self._rows.path, [*names, *checks], rows=_BATCH):
                first, last = np.searchsorted(places, (start, start + batch.num_rows))
                within = places[first:last] - start
                start += batch.num_rows
                if len(within):
                    parts = [
                        code_matrix(batch.column(n), valid_rows(batch, n), what=n) for n in names
                    ]
                    yield slice(first, last), np.concatenate(parts, axis=1)[within]
        except MienError as error:
            raise ApiError("invalid", str(error)) from error
        self._rows.check_unchanged()

    def principal(self, name: str) -> Floats:
        """Return places along the first principal components; NaN without a code. [N, 3].

        Raises:
            ApiError: there is no such factor, or it cannot be read.
        """
        if name not in self._principal:
            found = self.components(name, _PRINCIPAL)
            places = np.full((len(found), _PRINCIPAL), np.nan, np.float32)
            places[:, : found.shape[1]] = found
            self._principal[name] = places
        return self._principal[name]

    def components(self, name: str, count: int) -> Floats:
        """Return places along principal components of up to 20,000 rows. [N, at most count].

        Raises:
            ApiError: there is no such factor, or it cannot be read.
        """
        factor = self._factor(name)
        step = max(1, math.ceil(len(factor.codes) / _SAMPLE_ROWS))
        some = factor.codes[::step].astype(np.float64)
        if not some.shape[1]:
            return np.empty((len(factor.codes), 0), np.float32)
        _, vectors = np.linalg.eigh(some.T @ some)
        axes = vectors[:, ::-1][:, :count]
        # A component's sign means nothing: its largest part is made positive.
        axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
        axes = (axes / factor.scale).astype(np.float32)
        places = np.empty((len(factor.codes), axes.shape[1]), np.float32)
        for start, chunk in factor.chunks():
            places[start : start + len(chunk)] = chunk @ axes
        places[~factor.there] = np.nan
        return places

    def nearest(
        self, point: int, name: str, count: int, among: NDArray[np.bool_] | None
    ) -> list[tuple[int, float]]:
        """Return the rows most alike and their cosines (codes less the table's mean), best first.

        Args:
            point: row that others are compared with.
            name: of the factor.
            count: how many at most.
            among: rows that may be found; None: all. [N].

        Raises:
            ApiError: there is no such factor, or the row has none.
        """
        factor = self._factor(name)
        if not factor.lengths[point]:
            raise ApiError("invalid", f"this row has no {name}")
        query = factor.codes[point].astype(np.float32) / factor.lengths[point]
        cosines = np.empty(len(factor.codes), np.float32)
        for start, chunk in factor.chunks():
            np.dot(chunk, query, out=cosines[start : start + len(chunk)])
        good = factor.lengths > 0 if among is None else (factor.lengths > 0) & among
        with np.errstate(divide="ignore", invalid="ignore"):
            cosines = np.where(good, cosines / factor.lengths, -np.inf)
        cosines[point] = -np.inf
        if len(cosines) > count:
            least = np.partition(cosines, -count)[-count]
            candidates = np.flatnonzero(cosines >= least)
        else:
            candidates = np.arange(len(cosines))
        best = candidates[np.argsort(-cosines[candidates], kind="stable")][:count]
        return [(int(i), float(cosines[i])) for i in best if np.isfinite(cosines[i])]

    def _factor(self, name: str) -> _Factor:
        self.check(name)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = self._read(name)
            self._kept.move_to_end(name)
            while len(self._kept) > 1 and self._bytes() > _MOST_BYTES:
                self._kept.popitem(last=False)
            return self._kept[name]

    def _bytes(self) -> int:
        return sum(factor.codes.nbytes for factor in self._kept.values())

    def _read(self, name: str) -> _Factor:
        """Read a column once; the mean, which is known at the end only, is corrected then."""
        count = len(self._rows)
        codes = np.zeros((count, 0), np.float32)
        good = np.zeros(count, bool)
        about, scale, total = np.zeros(0, np.float32), 1.0, np.zeros(0)
        for rows, part in self.batches([name]):
            if not part.shape[1]:
                continue  # lists of no fixed length, all of them null
            there = np.asarray(np.isfinite(part).all(axis=1))
            if not codes.shape[1] and there.any():
                about = part[there].mean(axis=0)
                spread = float(np.sqrt(np.mean(np.square(part[there] - about))))
                whole = count * part.shape[1] * 4 <= _WHOLE_BYTES
                scale = 1.0 if whole or spread == 0 else 1 / spread
                kind = np.float32 if whole else np.float16
                codes, total = np.zeros((count, part.shape[1]), kind), np.zeros(part.shape[1])
            if there.any():
                shifted = np.clip((part[there] - about) * scale, -6e4, 6e4)
                codes[rows][there] = shifted
                good[rows] = there
                total += shifted.sum(axis=0, dtype=np.float64)
        return _centred(codes, good, total / max(int(good.sum()), 1), scale)


def _centred(
    codes: NDArray[np.floating[Any]],
    good: NDArray[np.bool_],
    mean: NDArray[np.float64],
    scale: float,
) -> _Factor:
    """Take the mean off the codes, in place."""
    lengths = np.zeros(len(codes), np.float32)
    for start in range(0, len(codes), _BATCH):
        part = slice(start, start + _BATCH)
        less = codes[part].astype(np.float32) - mean.astype(np.float32)
        less[~good[part]] = 0
        codes[part] = less
        lengths[part] = np.linalg.norm(codes[part].astype(np.float32), axis=1)
    return _Factor(codes, good, lengths, scale)
