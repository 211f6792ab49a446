"""What `mien view` was given: images and frames of videos that the page opens, and one table."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from PIL import Image

from mien.errors import MienError
from mien.media.bounded import read_bytes
from mien.media.inputs import Source, expand
from mien.media.names import to_text
from mien.media.video import read_frames
from mien.serve.errors import ApiError
from mien.serve.explore import Explorer

__all__ = ["MAX_INPUTS", "Shown"]

MAX_INPUTS = 200
"""Images and videos that are offered."""
MAX_FRAMES = 60
"""Frames of a video that are offered: two a second, from its start."""
_FPS = 2.0
_PLAIN = {b"\xff\xd8": "image/jpeg", b"\x89P": "image/png", b"RI": "image/webp"}


@dataclass(frozen=True, eq=False)
class Shown:
    """Images, videos and a table that the page opens by their numbers, never by a path."""

    sources: tuple[Source, ...] = ()
    table: Explorer | None = None

    @staticmethod
    def open(given: Sequence[Path], folder: Path | None, *, max_bytes: int) -> Shown:
        """Check what was given.

        Args:
            given: images, videos, folders, and at most one Parquet table.
            folder: of the table's images.
            max_bytes: of an image.

        Raises:
            MienError: something is missing or of no use, or there are too many.
        """
        tables = [path for path in given if path.suffix.lower() in (".parquet", ".pq")]
        others = [path for path in given if path not in tables]
        if len(tables) > 1:
            raise MienError("give one table at a time")
        if folder is not None and not tables:
            raise MienError("--images goes with a table (faces.parquet)")
        sources = tuple(islice(expand(others), MAX_INPUTS + 1)) if others else ()
        if len(sources) > MAX_INPUTS:
            raise MienError(
                f"more than {MAX_INPUTS} images and videos; give fewer, or a table (mien embed)"
            )
        for source in sources:
            if source.kind != "video":
                read_bytes(source.full_path, limit=max_bytes)
        return Shown(sources, Explorer.open(tables[0], folder) if tables else None)

    def about(self) -> dict[str, Any]:
        """Return names and kinds of the inputs, and whether there is a table."""
        inputs = [{"name": to_text(s.path_label), "kind": s.kind} for s in self.sources]
        return {"inputs": inputs, "table": self.table is not None}

    def close(self) -> None:
        """End what is computed in the background."""
        if self.table is not None:
            self.table.close()

    def explorer(self) -> Explorer:
        """Return the table.

        Raises:
            ApiError: none was given.
        """
        if self.table is None:
            raise ApiError("unknown_path", "no table was given: mien view faces.parquet")
        return self.table

    def image(self, number: int, frame: int, *, max_bytes: int) -> tuple[bytes, str]:
        """Return an image's file, or a frame of a video as JPEG, and its content type.

        Raises:
            ApiError: there is no such one, or it cannot be read.
        """
        if number >= len(self.sources):
            raise ApiError("no_image", "there is no such input")
        source = self.sources[number]
        try:
            if source.kind == "video":
                return _frame(source.full_path, frame), "image/jpeg"
            data = read_bytes(source.full_path, limit=max_bytes)
        except MienError as error:
            raise ApiError("no_image", str(error)) from error
        return data, _PLAIN.get(data[:2], "application/octet-stream")


def _frame(path: str, number: int) -> bytes:
    """Return one of the frames that are two a second. JPEG."""
    for at, frame in enumerate(islice(read_frames(path, fps=_FPS), MAX_FRAMES)):
        if at == number and frame.pixels is not None:
            file = io.BytesIO()
            Image.fromarray(frame.pixels).save(file, "JPEG", quality=95)
            return file.getvalue()
    raise ApiError("no_image", f"the video has no frame {number} (two a second are counted)")
