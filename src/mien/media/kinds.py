"""Tell images from videos: by what a file holds where that is known, else by its name."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Literal

__all__ = ["HEAD_BYTES", "Kind", "kind_from", "kind_of", "may_be_media"]

Kind = Literal["image", "video"]

_IMAGES = frozenset(
    (
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".bmp", ".dib", ".tif"),
        *(".tiff", ".gif", ".ppm", ".pgm", ".pbm", ".pnm", ".jp2", ".j2k", ".avif", ".heic"),
        ".heif",
    )
)
_VIDEOS = frozenset(
    (
        *(".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".asf"),
        *(".flv", ".3gp", ".3g2", ".ogv", ".vob", ".mxf", ".mjpg", ".mjpeg", ".y4m"),
    )
)
# Names that other things bear as well (TypeScript): a video only if it looks like one.
_PERHAPS_VIDEOS = frozenset((".ts", ".mts", ".m2ts"))
HEAD_BYTES = 256
"""How much of a file tells what it is."""
_MARKS = ((0, 188), (4, 192))
_IMAGE_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a"),
    b"\x00\x00\x00\x0cjP  \r\n\x87\n",
)
_VIDEO_STARTS = (
    *(b"\x1a\x45\xdf\xa3", b"FLV\x01", b"\x00\x00\x01\xba", b"0&\xb2u\x8ef\xcf\x11"),
    b"YUV4MPEG2 ",
)
_RIFF: dict[bytes, Kind] = {b"WEBP": "image", b"AVI ": "video"}
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
_SOUND_BRANDS = (b"M4A ", b"M4B ", b"M4P ")


def may_be_media(name: str) -> bool:
    """Return whether a name ends as images and videos do; no file is opened."""
    return Path(name).suffix.lower() in _IMAGES | _VIDEOS


def kind_of(path: str | Path) -> Kind | None:
    """Return what the file is, or None if it is neither an image nor a video.

    What the first bytes say goes before what the name says; a broken image thus stays an image
    by its name, and is refused where it is read. A file that cannot be opened, and what is no
    ordinary file (a pipe, a device), goes by its name. An animated GIF is an image.
    """
    head = b""
    with contextlib.suppress(OSError, ValueError):
        if Path(path).is_file():  # opening a pipe would wait for its other end
            with Path(path).open("rb") as file:
                head = file.read(HEAD_BYTES)
    return kind_from(path, head)


def kind_from(name: str | Path, head: bytes = b"") -> Kind | None:
    """Return what a file of this name is whose first bytes these are; b"": they are not known."""
    suffix = Path(name).suffix.lower()
    seen = _kind_of_bytes(head)
    if seen is not None or suffix in _PERHAPS_VIDEOS:
        return seen
    if suffix in _IMAGES:
        return "image"
    return "video" if suffix in _VIDEOS else None


def _kind_of_bytes(head: bytes) -> Kind | None:
    if head.startswith(_IMAGE_STARTS):
        return "image"
    if head.startswith(_VIDEO_STARTS) or _is_transport_stream(head):
        return "video"
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[4:8] != b"ftyp" or head[8:12] in _SOUND_BRANDS:
        return None
    return "image" if head[8:12] in _STILL_BRANDS else "video"


def _is_transport_stream(head: bytes) -> bool:
    """Return whether MPEG's mark begins each packet of 188 bytes, or of 4 + 188 with times."""
    return any(head[at : at + 1] + head[at + step : at + step + 1] == b"GG" for at, step in _MARKS)
