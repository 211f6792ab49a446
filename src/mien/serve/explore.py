"""A table of faces to be looked at: points, neighbours, filters, images of its own rows only."""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.names import to_text
from mien.serve.errors import ApiError
from mien.serve.packed import packed
from mien.serve.table_codes import TableCodes
from mien.serve.table_filter import Filters
from mien.serve.table_images import TableImages
from mien.serve.table_rows import Kind, TableRows, existing
from mien.serve.umap_job import UmapJobs, umap_missing
from mien.table.over_time import tracks_over_time

__all__ = ["IMAGE_THERE", "MAX_POINTS", "Explorer"]

pc: Any = pyarrow.compute  # most of whose functions are made when it is imported

MAX_POINTS = 1_000_000
"""Faces of a table that are shown; of more, so many evenly chosen ones."""
IMAGE_THERE = "(image is there)"
"""Column of yes and no that the page is given besides those of the table."""
_CLASSES = 10
"""Values of a column of text that have a colour of their own."""
_LISTED = 100
"""Values of a column of text that a filter offers."""
_MAX_VIDEOS = 1000
_PLACES = {" PC": 3, " UMAP": 2}
"""Kinds of places that a factor gives, and along how many axes."""


class Explorer:
    """The faces of one table, held in memory."""

    def __init__(self, rows: TableRows, folder: Path) -> None:
        """Take the rows of a table, and the folder below which its relative paths lie."""
        self.rows = rows
        self.codes = TableCodes(rows)
        self.factors = self.codes.names
        self.images = TableImages(rows, folder)
        self.filters = Filters(self._values, len(rows))
        self._umaps = UmapJobs(self.codes.components, self._placed)
        self._umap: dict[str, NDArray[np.float32]] = {}
        self._lengths: NDArray[np.float64] | None = None
        self._lock = threading.Lock()
        self._videos = rows.videos(_MAX_VIDEOS)

    @staticmethod
    def open(path: Path, folder: Path | None) -> Explorer:
        """Read a table; its images lie below `folder`, by default below the table's own.

        Raises:
            MienError: it is none that can be read, or the folder is none.
        """
        if folder is not None and not folder.is_dir():
            raise MienError(f"{to_text(folder)} is no folder; --images names that of the images")
        return Explorer(TableRows(path, MAX_POINTS), (folder or path.parent).resolve())

    def close(self) -> None:
        """End what is computed in the background."""
        self._umaps.close()

    def about(self) -> dict[str, Any]:
        """Return name, numbers of rows, columns with what they hold, factors and videos."""
        return {
            "name": to_text(self.rows.path.name),
            "faces": self.rows.total,
            "without_face": self.rows.without,
            "shown": len(self.rows),
            "limit": MAX_POINTS,
            "columns": [{"name": name, "kind": kind} for name, kind in self._kinds().items()],
            "factors": list(self.factors),
            "videos": [{"name": to_text(name), "faces": n} for name, n in self._videos.items()],
            "umap_missing": umap_missing(),
        }

    def column(self, name: str) -> bytes:
        """Return a column as `packed`: float32, NaN where not known; or uint8, numbers of classes.

        Of classes: those of `classes`, then one for all `others`; 255: not known.

        Raises:
            ApiError: there is no such column, or its factor cannot be read.
        """
        kind = self._kind(name)
        if kind == "number":
            with np.errstate(over="ignore"):
                numbers = self._numbers(name).astype(np.float32)
            numbers[~np.isfinite(numbers)] = np.nan
            return packed({"kind": "numbers", "missing": int(np.isnan(numbers).sum())}, numbers)
        found = self.rows.classes(name, _CLASSES)
        about = {
            "kind": "classes",
            "classes": found.names,
            "counts": found.counts,
            "others": found.others,
            "other_rows": found.other_rows,
            "missing": found.missing,
        }
        return packed(about, found.index)

    def values(self, name: str) -> dict[str, Any]:
        """Return what a filter of a column offers: range or most frequent values, rows without any.

        Raises:
            ApiError: there is no such column, or its factor cannot be read.
        """
        kind = self._kind(name)
        if kind == "number":
            numbers = self._numbers(name)
            known = numbers[np.isfinite(numbers)]
            low, high = (float(known.min()), float(known.max())) if len(known) else (None, None)
            about = {"low": low, "high": high, "missing": len(numbers) - len(known)}
            return {"kind": kind, **about}
        found = self.rows.classes(name, _LISTED)
        listed = sorted(zip(found.counts, found.names, strict=True), key=lambda one: -one[0])
        return {
            "kind": kind,
            "values": [{"value": value, "rows": rows} for rows, value in listed],
            "others": found.others,
            "missing": found.missing,
        }

    def matching(self, filters: Sequence[Any]) -> bytes:
        """Return which rows match all filters as `packed`: a bit each, a byte's lowest first.

        Raises:
            ApiError: a filter's column is not there, or holds something else.
        """
        found = self.filters.matching(filters)
        return packed({"rows": int(found.sum())}, np.packbits(found, bitorder="little"))

    def row(self, point: int) -> dict[str, Any]:
        """Return what the table says of a row, without codes.

        Raises:
            ApiError: there is no such row.
        """
        self._check(point)
        return {"row": int(self.rows.places[point]), "cells": self.rows.row(point)}

    def neighbours(
        self, point: int, factor: str, count: int, filters: Sequence[Any] = ()
    ) -> dict[str, Any]:
        """Return the rows most alike by a factor: cosine of codes less the table's mean.

        Args:
            point: number of the row.
            factor: of `factors`.
            count: how many at most.
            filters: that they must match.

        Raises:
            ApiError: there is no such row or factor, or the row has no such code.
        """
        self._check(point)
        among = self.filters.matching(filters) if filters else None
        found = self.codes.nearest(point, factor, count, among)
        near = [{"point": i, "similarity": round(cosine, 4)} for i, cosine in found]
        return {"neighbours": near}

    def image(self, point: int) -> bytes:
        """Return the face of a row as `TableImages.face`; raises ApiError as it and `row`."""
        self._check(point)
        return self.images.face(point)

    def scene(self, point: int) -> bytes:
        """Return the image of a row as `TableImages.scene`; raises ApiError as it and `row`."""
        self._check(point)
        return self.images.scene(point)

    def missing(self) -> int:
        """Return how many rows have no image at its place; the column IMAGE_THERE says which."""
        with self._lock:
            if IMAGE_THERE not in self.rows.kinds:
                self.rows.add(IMAGE_THERE, self.images.there())
        there = self.rows.values(IMAGE_THERE)
        return len(there) - int(pc.sum(there).as_py() or 0)

    def add(self, name: str, values: NDArray[Any]) -> None:
        """Add a column of numbers or texts, or replace one that was added."""
        self.rows.add(name, values)
        self.filters.forget()

    def umap_of(self, factor: str) -> UmapJobs:
        """Return what computes UMAP; its places become columns `<factor> UMAP1` and `UMAP2`.

        Raises:
            ApiError: there is no such factor.
        """
        self.codes.check(factor)
        return self._umaps

    def timeline(self, number: int) -> dict[str, Any]:
        """Return what changes in a video: its tracks with a value for each of their rows.

        Yaw of the head and of the gaze in degrees, + towards image-left; `expression` is how far
        the face is from its person's neutral face: the length of the expression code. A value that
        is not known is null; a series of which none is known is left out.

        Args:
            number: of `about()["videos"]`.

        Raises:
            ApiError: there is no such video.
        """
        if number >= len(self._videos):
            raise ApiError("invalid", f"video: there are {len(self._videos)}, counted from 0")
        rows = self.rows.timed(list(self._videos)[number])
        strength = self._strength()[rows] if "expression" in self.factors else None
        tracks = tracks_over_time(self.rows.frame(rows), strength)
        found = [
            {
                "track": track.number,
                "points": rows[track.rows].tolist(),
                "time_s": _known(track.time_s),
                "series": {name: _known(one) for name, one in track.series.items()},
            }
            for track in tracks
        ]
        return {"series": list(tracks[0].series), "tracks": found}

    @property
    def model_id(self) -> str:
        """Return which weights made the codes; "" if it is not known."""
        return "" if self.rows.info is None else self.rows.info.model_id

    def _strength(self) -> NDArray[np.float64]:
        """Return how far each face is from the neutral one; NaN without a code. [N]."""
        with self._lock:
            if self._lengths is None:
                lengths = np.full(len(self.rows), np.nan)
                for rows, codes in self.codes.batches(["expression"]):
                    lengths[rows] = np.linalg.norm(codes.astype(np.float64), axis=1)
                self._lengths = lengths
            return self._lengths

    def _placed(self, factor: str, places: NDArray[np.float32]) -> None:
        self._umap[factor] = places
        self.filters.forget()

    def _kinds(self) -> dict[str, Kind]:
        """Return all columns that may be asked for: places by factors, then those of the table."""
        found: dict[str, Kind] = {}
        for factor in self.factors:
            for between, axes in _PLACES.items():
                if between == " PC" or factor in self._umap:
                    found.update({f"{factor}{between}{i + 1}": "number" for i in range(axes)})
        return {**found, **self.rows.kinds}

    def _kind(self, name: str) -> Kind:
        kind = self._kinds().get(name)
        if kind is None:
            raise ApiError("invalid", "there is no such column in the table")
        return kind

    def _numbers(self, name: str) -> NDArray[Any]:
        """Return a column of numbers, or places along an axis, NaN where not known. [N]."""
        for between in _PLACES:
            factor, _, axis = name.rpartition(between)
            if factor in self.factors and name not in self.rows.kinds:
                places = self.codes.principal(factor) if between == " PC" else self._umap[factor]
                return places[:, int(axis) - 1]
        return self.rows.numbers(name)

    def _values(self, name: str) -> tuple[Kind, pa.ChunkedArray | pa.Array]:
        kind = self._kind(name)
        if name in self.rows.kinds:
            return kind, self.rows.values(name)
        return kind, pa.array(self._numbers(name))

    def _check(self, point: int) -> None:
        existing([point], len(self.rows))


def _known(values: NDArray[Any]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]
