"""A table of faces to be looked at: points, neighbours, and the images of its own rows only."""

from __future__ import annotations

import io
import math
import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.columns import FACE_FOUND, FEATURES
from mien.errors import MienError
from mien.faces.crop import crop_face
from mien.faces.face import Face, Framing
from mien.media.kinds import kind_of
from mien.media.names import from_text, to_text
from mien.pipeline.read import read_media
from mien.serve.errors import ApiError
from mien.table.over_time import tracks_over_time
from mien.table.read import FaceTable, read_table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MAX_POINTS", "Explorer"]

MAX_POINTS = 100_000
"""Faces of a table that are shown; of more, so many evenly chosen ones."""
_COMPONENTS = 3
_FIT_ROWS = 20_000
_MAX_CLASSES = 1000
_SIDE = 160
_CORNERS = ("x1", "y1", "x2", "y2")
_FRAMINGS: dict[str, Framing] = {"haar": "haar", "yunet": "yunet", "image": "image"}
_MAX_VIDEOS = 1000
_SCENE = 640
_MAX_FRAME = 20_000
"""Frames of a video that are read to reach the one of a row."""


class Explorer:
    """The faces of one table, held in memory."""

    def __init__(self, table: FaceTable, folder: Path) -> None:
        """Take a table.

        Args:
            table: of faces.
            folder: below which the table's relative paths lie.

        Raises:
            MienError: it has no face, or no column of codes.
        """
        found = np.flatnonzero(np.asarray(table.frame[FACE_FOUND], dtype=bool))
        if not len(found):
            raise MienError(f"{to_text(table.path)} has no row with a face")
        self.total = len(found)
        if len(found) > MAX_POINTS:
            found = found[np.linspace(0, len(found) - 1, MAX_POINTS).round().astype(int)]
        self._table, self._rows, self._folder = table, found, folder
        self._frame = table.frame.iloc[found]
        self.factors = tuple(n for n in table.code_names if n != FEATURES)
        self._codes: dict[str, NDArray[np.float32]] = {}
        self._components: dict[str, NDArray[np.float32]] = {}
        self._lengths: NDArray[np.float64] | None = None
        self._lock = threading.Lock()
        self._videos = _videos(self._frame)

    @staticmethod
    def open(path: Path, folder: Path | None) -> Explorer:
        """Read a table; its images lie below `folder`, by default below the table's own.

        Raises:
            MienError: it is none that can be read, or the folder is none.
        """
        if folder is not None and not folder.is_dir():
            raise MienError(f"{to_text(folder)} is no folder; --images names that of the images")
        return Explorer(read_table(path), (folder or path.parent).resolve())

    def about(self) -> dict[str, Any]:
        """Return name, numbers of rows, axes that may be asked for and factors."""
        numbers, classes = [], []
        for name in self._frame.columns:
            kind = self._frame[name].dtype.kind
            if kind in "fiu":
                numbers.append(str(name))
            elif kind in "bOSU":
                classes.append(str(name))
        components = [f"{f} PC{i + 1}" for f in self.factors for i in range(_COMPONENTS)]
        return {
            "name": to_text(self._table.path.name),
            "faces": self.total,
            "shown": len(self._rows),
            "limit": MAX_POINTS,
            "numbers": [*components, *numbers],
            "classes": classes,
            "factors": list(self.factors),
            "videos": [{"name": name, "faces": len(rows)} for name, rows in self._videos.items()],
        }

    def column(self, name: str) -> dict[str, Any]:
        """Return a column's values, or places along a principal component; null: not known.

        Raises:
            ApiError: there is no such column.
        """
        factor, _, component = name.rpartition(" PC")
        if factor in self.factors and component in ("1", "2", "3"):
            return _numbers(self._principal(factor)[:, int(component) - 1])
        if name not in self._frame.columns:
            raise ApiError("invalid", "there is no such column in the table")
        values = self._frame[name]
        if values.dtype.kind in "fiu":
            return _numbers(values.to_numpy(dtype=np.float64, na_value=np.nan))
        text = values.astype("string").fillna("(none)").to_numpy(dtype=object)
        classes, index = np.unique(text.astype(str), return_inverse=True)
        if len(classes) > _MAX_CLASSES:
            raise ApiError("invalid", f"this column has more than {_MAX_CLASSES} different texts")
        return {"kind": "classes", "classes": classes.tolist(), "values": index.tolist()}

    def row(self, number: int) -> dict[str, Any]:
        """Return what the table says of a row, without codes.

        Raises:
            ApiError: there is no such row.
        """
        self._check(number)
        import pandas as pd  # slow to import

        cells = {}
        for name, value in self._frame.iloc[number].items():
            cells[str(name)] = None if pd.isna(value) else _plain(value)
        return {"row": int(self._rows[number]), "cells": cells}

    def neighbours(self, number: int, factor: str, count: int) -> dict[str, Any]:
        """Return the rows most alike by a factor: cosine of codes less the table's mean.

        Raises:
            ApiError: there is no such row or factor, or the row has no such code.
        """
        self._check(number)
        codes = self._unit(factor)
        if not codes[number].any():
            raise ApiError("invalid", f"this row has no {factor}")
        similarity = codes @ codes[number]
        similarity[number] = -np.inf
        similarity[~codes.any(axis=1)] = -np.inf
        best = np.argsort(-similarity, kind="stable")[:count]
        best = best[np.isfinite(similarity[best])]
        near = [{"point": int(i), "similarity": round(float(similarity[i]), 4)} for i in best]
        return {"neighbours": near}

    def image(self, number: int) -> bytes:
        """Return the face of a row, cut out of its image or video again. JPEG.

        Raises:
            ApiError: there is no such row, or its image is not there or cannot be read.
        """
        pixels, box = self._seen(number)
        framing = str(self._frame.iloc[number].get("framing", "image"))
        return _jpeg(Image.fromarray(_cut(pixels, box, framing)))

    def _seen(self, number: int) -> tuple[NDArray[np.uint8], list[float]]:
        """Return a row's image and the face's box in it; raises as `image` does."""
        self._check(number)
        cells = self._frame.iloc[number]
        path = self._file(str(cells["path"]))
        try:
            pixels, scale = _pixels(path, int(cells.get("frame", 0) or 0))
        except MienError as error:
            raise ApiError("no_image", "the image of this row cannot be read") from error
        return pixels, [float(cells.get(name, math.nan)) / scale for name in _CORNERS]

    def _strength(self) -> NDArray[np.float64]:
        """Return how far each face is from the neutral one; NaN without a code. [N]."""
        with self._lock:
            lengths = self._lengths
            if lengths is None:
                codes = self._table.codes("expression")[self._rows]
                lengths = self._lengths = np.linalg.norm(codes.astype(np.float64), axis=1)
            return lengths

    def scene(self, number: int) -> bytes:
        """Return the whole image of a row, at most 640 pixels wide and high, its box drawn. JPEG.

        Raises:
            ApiError: there is no such row, or its image is not there or cannot be read.
        """
        pixels, box = self._seen(number)
        shown = Image.fromarray(pixels)
        shown.thumbnail((_SCENE, _SCENE))
        small = shown.width / pixels.shape[1]
        if all(map(math.isfinite, box)):
            corners = [min(max(value * small, -_SCENE), 2 * _SCENE) for value in box]
            if corners[0] < corners[2] and corners[1] < corners[3]:
                ImageDraw.Draw(shown).rectangle(corners, outline="#ffd23f", width=2)
        return _jpeg(shown)

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
        rows = list(self._videos.values())[number]
        strength = self._strength()[rows] if "expression" in self.factors else None
        tracks = tracks_over_time(self._frame.iloc[rows], strength)
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

    def columns(self, names: Sequence[str]) -> tuple[NDArray[np.float32], tuple[int, ...]]:
        """Return codes of the rows shown, side by side, NaN where there are none.

        Args:
            names: of `factors`.

        Returns:
            The codes [N, F], and the length of each.
        """
        parts = [self._table.codes(name)[self._rows] for name in names]
        return np.concatenate(parts, axis=1), tuple(part.shape[1] for part in parts)

    def rows(self, points: Sequence[int]) -> pd.DataFrame:
        """Return rows of the table, without codes.

        Raises:
            ApiError: there is no such row.
        """
        for number in points:
            self._check(number)
        return self._frame.iloc[list(points)]

    @property
    def model_id(self) -> str:
        """Return which weights made the codes; "" if it is not known."""
        return "" if self._table.info is None else self._table.info.model_id

    def missing(self) -> int:
        """Return how many of the rows shown have no image file at its place."""
        there: dict[str, bool] = {}
        for name in self._frame["path"].astype(str).unique():
            try:
                self._file(name)
                there[name] = True
            except ApiError:
                there[name] = False
        return int((~self._frame["path"].astype(str).map(there)).sum())

    def _file(self, label: str) -> Path:
        """Return where the file of a row is: below the folder, or where the table says whole."""
        name = from_text(label)
        path = Path(name) if Path(name).is_absolute() else self._folder / name
        whole = Path(os.path.normpath(path))
        inside = Path(name).is_absolute() or whole.is_relative_to(self._folder)
        if not inside or not whole.is_file() or kind_of(whole) is None:
            raise ApiError("no_image", "the image of this row is not there; see --images")
        return whole

    def _check(self, number: int) -> None:
        if not 0 <= number < len(self._rows):
            raise ApiError("invalid", f"row: there are {len(self._rows)}, counted from 0")

    def _code(self, factor: str) -> NDArray[np.float32]:
        if factor not in self.factors:
            raise ApiError("invalid", f"by: one of {', '.join(self.factors)}")
        with self._lock:
            if factor not in self._codes:
                codes = self._table.codes(factor)[self._rows]
                good = np.asarray(np.isfinite(codes).all(axis=1))
                codes = codes - (codes[good].mean(axis=0) if good.any() else 0)
                self._codes[factor] = np.where(good[:, None], codes, np.float32(0))
            return self._codes[factor]

    def _unit(self, factor: str) -> NDArray[np.float32]:
        codes = self._code(factor)
        return codes / np.maximum(np.linalg.norm(codes, axis=1, keepdims=True), 1e-12)

    def _principal(self, factor: str) -> NDArray[np.float32]:
        """Return places along the first principal components; NaN without a code. [N, 3]."""
        codes = self._code(factor)
        with self._lock:
            if factor not in self._components:
                step = max(1, math.ceil(len(codes) / _FIT_ROWS))
                some = codes[::step].astype(np.float64)
                _, vectors = np.linalg.eigh(some.T @ some)
                axes = vectors[:, ::-1][:, :_COMPONENTS]
                # A component's sign means nothing: its largest part is made positive.
                axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])])
                places = np.full((len(codes), _COMPONENTS), np.nan, np.float32)
                places[:, : axes.shape[1]] = codes @ axes.astype(np.float32)
                places[~codes.any(axis=1)] = np.nan
                self._components[factor] = places
            return self._components[factor]


def _videos(frame: pd.DataFrame) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each video of which several frames are in the table, by its name."""
    if not {"time_s", "track_id"} <= set(frame.columns):
        return {}
    timed = np.flatnonzero(frame["time_s"].notna().to_numpy())
    some = frame.iloc[timed]
    places = some.groupby("path", sort=True).indices
    frames = some.groupby("path")["time_s"].nunique()
    several = [name for name in places if frames[name] > 1][:_MAX_VIDEOS]
    return {to_text(str(name)): timed[places[name]] for name in several}


def _numbers(values: NDArray[Any]) -> dict[str, Any]:
    return {"kind": "numbers", "values": _known(values)}


def _known(values: NDArray[Any]) -> list[float | None]:
    return [float(f"{value:.6g}") if math.isfinite(value) else None for value in values.tolist()]


def _jpeg(shown: Image.Image) -> bytes:
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=88)
    return file.getvalue()


def _plain(value: Any) -> str | float | bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(f"{float(value):.6g}")
    return str(value)[:300]


def _pixels(path: Path, number: int) -> tuple[NDArray[np.uint8], int]:
    """Return an image or one frame of a video, and how much it was reduced; raises MienError."""
    if number > _MAX_FRAME:
        raise MienError(f"frame {number} is too far into the video")
    for frame in read_media(path):
        if frame.index >= number:
            if frame.pixels is None:
                break
            return frame.pixels, frame.scale
    raise MienError("the frame cannot be decoded")


def _cut(pixels: NDArray[np.uint8], box: list[float], framing: str) -> NDArray[np.uint8]:
    """Return the square around a face, small; raises ApiError where its box is none."""
    x1, y1, x2, y2 = box
    most = 4 * max(pixels.shape[:2])
    if not (0 < x2 - x1 < most and 0 < y2 - y1 < most and max(map(abs, box)) < most):
        raise ApiError("no_image", "the box of this row does not fit its image")
    face = Face((x1, y1, x2, y2), 1.0, framing=_FRAMINGS.get(framing, "image"))
    return crop_face(pixels, face, _SIDE)
