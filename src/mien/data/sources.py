"""What was given as --data: folders, zips, tables, videos, endless streams; as pieces to crop."""

from __future__ import annotations

import lzma
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from mien.errors import MienError
from mien.faces.face import Framing
from mien.media.inputs import expand
from mien.media.kinds import kind_of, may_be_media
from mien.media.names import from_text

__all__ = [
    "LABELS_FILE",
    "ZIP_FAULTS",
    "Box",
    "Piece",
    "Sources",
    "absolute",
    "find_sources",
    "open_member",
    "place_of",
]

LABELS_FILE = "labels.parquet"
"""What `mien synth` leaves beside its clips."""
ZIP_FAULTS = (
    *(OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError, EOFError),
    *(zlib.error, lzma.LZMAError, ValueError),
)
"""What damaged, encrypted or unknown members of a zip raise."""
MAX_MEMBER = 512 << 20
"""Bytes of an unpacked file."""
_STREAM, _CLIPS, _EYES = "synth:", "clips:", "eyes:"
_BARE = {"", _STREAM, _CLIPS, _EYES, _EYES + _CLIPS, _CLIPS + _EYES}
_FAR = 1e6  # pixels


@dataclass(frozen=True)
class Box:
    """A face that a table of `mien embed` found."""

    frame: int
    """Number of the frame; 0 for an image."""
    track: int
    """Same face over frames; -1 where it is not known."""
    corners: tuple[float, float, float, float]
    """x1, y1, x2, y2 in pixels of the image."""
    turn: int = 0
    """Quarters counterclockwise by which the image has to be turned, 0 to 3."""


@dataclass(frozen=True)
class Piece:
    """One image or video that becomes crops."""

    name: str
    """How a person knows it, and part of the cache's key: without the place of its source."""
    file: Path
    """The file it is in."""
    member: str = ""
    """Its name inside a zip."""
    video: bool = False
    """Whether it is a video."""
    clip: str = ""
    """Pieces of one clip share this; empty = a still, or a video that is its own clip."""
    boxes: tuple[Box, ...] = field(default=())
    """Faces that are known; empty = to be found, or the whole image."""
    framing: Framing = "haar"
    """Whose idea of a box `boxes` are."""
    eye_crop: bool = False
    """Whether it shows only a wide eye-region crop."""
    face_crop: bool = False
    """Whether it is known to be a face crop, as what `mien synth` renders."""


@dataclass(frozen=True)
class Sources:
    """Everything that was given."""

    pieces: list[Piece]
    """In an order that does not depend on the file system."""
    streams: list[Path]
    """Head models of endless streams."""


def find_sources(
    given: Sequence[str | Path], *, eye_crops: bool | None = None, clip_pattern: str = ""
) -> Sources:
    """Return the pieces of all sources.

    A folder's images are stills, whatever its sub-folders are called, unless it has the layout
    of `mien synth` (labels.parquet beside one folder a clip) or is given as clips:FOLDER (every
    folder of images is a clip of one person). Videos are clips. A .zip holds stills. A .parquet
    is a table of `mien embed`, a synth:HEAD_MODEL an endless stream of rendered clips. eyes:SOURCE
    is a source of wide eye-region crops.

    Args:
        given: the sources.
        eye_crops: whether all images are eye-region crops; None = there may be none.
        clip_pattern: regular expression; where it is found in an image's name within its source,
            its first group names the clip. Folders of `mien synth` keep their clips.

    Raises:
        MienError: a source is missing, of no known kind, or holds nothing; the pattern is found in
            no name.
    """
    pieces: list[Piece] = []
    streams: list[Path] = []
    grouped = False
    for number, source in enumerate(given):
        text = str(source)
        if text in _BARE:  # else the current folder would be read
            raise MienError(f"a source is {text!r}, without a place; give {text}PLACE")
        if text.startswith(_STREAM):
            streams.append(_head_model(text.removeprefix(_STREAM)))
            continue
        prefixes, path = _parted(text)
        if _EYES in prefixes and eye_crops is None:
            raise MienError(f"{source}: eye-region crops have no face; leave them out")
        found = list(_one_source(path, as_clips=_CLIPS in prefixes))
        if not found:
            raise MienError(f"{source} holds no images or videos; give another folder or file")
        if clip_pattern and not (path / LABELS_FILE).is_file():
            found = [_regrouped(piece, clip_pattern) for piece in found]
            grouped = grouped or any(re.search(clip_pattern, piece.name) for piece in found)
        eye_crop = bool(eye_crops) or _EYES in prefixes
        pieces += [_renamed(replace(piece, eye_crop=eye_crop), number) for piece in found]
    if not pieces and not streams:
        raise MienError("no data; give --data a folder, .zip, .parquet, video or synth:HEAD_MODEL")
    if clip_pattern and not grouped:
        raise MienError(f"data.clip_pattern {clip_pattern!r} is found in no image's name")
    return Sources(pieces, streams)


def absolute(source: str) -> str:
    """Return a source so that it means the same in another working folder."""
    prefixes, path = _parted(source)
    return "".join(prefixes) + str(path.absolute())


def place_of(source: str) -> Path:
    """Return where a source is, without its prefixes."""
    return _parted(source)[1]


def _parted(source: str) -> tuple[list[str], Path]:
    """Return a source's prefixes and its place."""
    prefixes: list[str] = []
    while prefix := next((p for p in (_STREAM, _CLIPS, _EYES) if source.startswith(p)), ""):
        prefixes.append(prefix)
        source = source.removeprefix(prefix)
    return prefixes, Path(source)


def _one_source(path: Path, *, as_clips: bool) -> Iterator[Piece]:
    if path.suffix.lower() == ".zip" and path.is_file():
        yield from _zipped(path)
    elif path.suffix.lower() == ".parquet" and path.is_file():
        yield from _table(path)
    else:
        rendered = (path / LABELS_FILE).is_file()
        for piece in _found(path, as_clips=as_clips or rendered):
            yield replace(piece, face_crop=rendered and not piece.video)


def _head_model(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise MienError(f"{text} does not exist; give synth:HEAD_MODEL")
    return path


def _renamed(piece: Piece, number: int) -> Piece:
    # Two sources may hold files of the same name: the source's number tells them apart.
    clip = f"{number}/{piece.clip}" if piece.clip else ""
    return replace(piece, name=f"{number}/{piece.name}", clip=clip)


def _regrouped(piece: Piece, pattern: str) -> Piece:
    """Return an image in the clip that the pattern finds in its name, if it finds one."""
    match = None if piece.video else re.search(pattern, piece.name)
    return piece if match is None or not match[1] else replace(piece, clip=match[1])


def _found(path: Path, *, as_clips: bool) -> Iterator[Piece]:
    """Yield the pieces of a folder, a file or a glob."""
    for source in expand(path):
        file = Path(source.full_path)
        if source.kind == "video":
            yield Piece(source.path_label, file, video=True)
        else:
            clip = source.path_label.rpartition("/")[0] or "." if as_clips else ""
            yield Piece(source.path_label, file, clip=clip)


def open_member(archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    """Open a file in a zip for reading.

    Raises:
        MienError: it is larger than any image that is read, as its header says.
        ZIP_FAULTS: it cannot be read; reading it may raise these, too.
    """
    if archive.getinfo(member).file_size > MAX_MEMBER:
        raise MienError(f"unpacks to more than {MAX_MEMBER >> 20} MiB")
    return archive.open(member)


def _zipped(path: Path) -> Iterator[Piece]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = sorted(archive.namelist())
    except ZIP_FAULTS as error:
        raise MienError(f"cannot read {path}: {error}; it is no whole zip file") from error
    for name in names:
        base = name.rsplit("/", 1)[-1]
        # Videos inside a zip would have to be unpacked: they are counted as unreadable images.
        if may_be_media(base) and not base.startswith((".", "._")):
            yield Piece(name, path, member=name)


def _table(path: Path) -> Iterator[Piece]:
    from mien.table.boxes import read_boxes

    rows, framing = read_boxes(path)
    boxes: dict[str, list[Box]] = {}
    for row in rows:
        boxes.setdefault(row.path, []).append(Box(row.frame, row.track, row.corners, row.turn))
    for name in sorted(boxes):
        file = _beside(path, name)
        video = kind_of(file) == "video"
        known = sorted(boxes[name], key=lambda box: (box.frame, box.track, box.corners))
        yield Piece(name, file, video=video, boxes=tuple(known), framing=framing)


def _beside(table: Path, name: str) -> Path:
    """Return where a table's image is: as written, or below the table's folder."""
    name = from_text(name)
    for candidate in (Path(name), table.parent / name):
        if candidate.exists():
            return candidate
    raise MienError(
        f"{table} names {name}, which is neither here nor beside it; move the table there"
    )
