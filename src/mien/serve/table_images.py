"""The images of the rows of a table: of these files alone, a row's face or its whole image."""

from __future__ import annotations

import io
import math
import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mien.errors import MienError
from mien.faces.crop import crop_face
from mien.faces.face import Face, Framing
from mien.media.kinds import kind_of, may_be_media
from mien.media.names import from_text
from mien.pipeline.read import read_media
from mien.serve.errors import ApiError
from mien.serve.table_rows import TableRows

__all__ = ["TableImages"]

_SIDE = 160
_CORNERS = ("x1", "y1", "x2", "y2")
_FRAMINGS: dict[str, Framing] = {"haar": "haar", "yunet": "yunet", "image": "image"}
_SCENE = 640
_MAX_FRAME = 20_000
"""Frames of a video that are read to reach the one of a row."""


class TableImages:
    """Finds and cuts the images of rows."""

    def __init__(self, rows: TableRows, folder: Path) -> None:
        """Take the rows, and the folder below which their relative paths lie."""
        self._rows, self._folder = rows, folder

    def face(self, point: int) -> bytes:
        """Return the face of a row, cut out of its image or video again. JPEG.

        Raises:
            ApiError: its image is not there or cannot be read.
        """
        pixels, box, framing = self._seen(point)
        return _jpeg(Image.fromarray(_cut(pixels, box, framing)))

    def scene(self, point: int) -> bytes:
        """Return the whole image of a row, at most 640 pixels wide and high, its box drawn. JPEG.

        Raises:
            ApiError: its image is not there or cannot be read.
        """
        pixels, box, _ = self._seen(point)
        shown = Image.fromarray(pixels)
        shown.thumbnail((_SCENE, _SCENE))
        small = shown.width / pixels.shape[1]
        if all(map(math.isfinite, box)):
            corners = [min(max(value * small, -_SCENE), 2 * _SCENE) for value in box]
            if corners[0] < corners[2] and corners[1] < corners[3]:
                ImageDraw.Draw(shown).rectangle(corners, outline="#ffd23f", width=2)
        return _jpeg(shown)

    def there(self) -> NDArray[np.bool_]:
        """Return which rows have an image file at its place; folders are listed, no file is opened.

        What is named like no image or video is opened all the same: its first bytes may say so.
        [N].
        """
        classes = self._rows.values("path").combine_chunks().dictionary_encode()
        listed: dict[str, frozenset[str]] = {}
        found = np.array([self._is_there(name, listed) for name in classes.dictionary.to_pylist()])
        return found[classes.indices.to_numpy()]

    def _is_there(self, label: str, listed: dict[str, frozenset[str]]) -> bool:
        whole = self._place(label)
        if whole is None:
            return False
        folder, name = os.path.split(whole)
        if folder not in listed:
            listed[folder] = _files(folder)
        return name in listed[folder] and (may_be_media(name) or kind_of(whole) is not None)

    def _seen(self, point: int) -> tuple[NDArray[np.uint8], list[float], str]:
        """Return a row's image, the face's box in it, and whose idea of a face the box is."""
        cells = self._rows.row(point)
        path = self._file(str(self._rows.values("path")[point].as_py()))
        try:
            pixels, scale = _pixels(path, int(cells.get("frame") or 0))
        except MienError as error:
            raise ApiError("no_image", "the image of this row cannot be read") from error
        corners = [cells.get(name) for name in _CORNERS]
        box = [math.nan if c is None else float(c) / scale for c in corners]
        return pixels, box, str(cells.get("framing"))

    def _place(self, label: str) -> str | None:
        """Return where the file of a row is: below the folder, or where the table says whole."""
        # Of a million names: no Path is made of them.
        name = from_text(label)
        if os.path.isabs(name):  # noqa: PTH117
            return os.path.normpath(name)
        folder = str(self._folder)
        whole = os.path.normpath(os.path.join(folder, name))  # noqa: PTH118
        inside = whole.startswith(folder.rstrip(os.sep) + os.sep)
        return whole if inside else None

    def _file(self, label: str) -> Path:
        whole = self._place(label)
        if whole is None or not Path(whole).is_file() or kind_of(whole) is None:
            raise ApiError("no_image", "the image of this row is not there; see --images")
        return Path(whole)


def _files(folder: str) -> frozenset[str]:
    try:
        with os.scandir(folder) as entries:
            return frozenset(entry.name for entry in entries if entry.is_file())
    except OSError:
        return frozenset()


def _jpeg(shown: Image.Image) -> bytes:
    file = io.BytesIO()
    shown.save(file, "JPEG", quality=88)
    return file.getvalue()


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
