"""All crops of a run in one memory-mapped file, made once and found again by content.

PACK/crops.u8 holds uint8 [N, P, P, 3]; items.parquet names each crop and its clip; pack.json tells
sizes and what was skipped. The folder's name is a hash of every file's content and of every option
that changes a crop, so a cache can be shared between runs and never be stale.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mien.data.options import DataOptions
from mien.data.reading import Crop, Cutter
from mien.data.sources import Piece, find_sources
from mien.errors import MienError
from mien.faces.detect import open_detector

__all__ = [
    "Pack",
    "Progress",
    "Skipped",
    "content_key",
    "fill_folder",
    "open_pack",
    "pack",
    "plain_text",
    "read_crops",
    "wanted",
]

FORMAT = 1
_WHOLE = 64 << 20  # files up to this size are hashed whole, larger ones in 64 places
_SPOT = 1 << 20
_STALE_S = 3600

Crops = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class Pack:
    """Crops that are ready to be drawn from."""

    crops: Crops
    """Memory-mapped RGB. uint8 [N, P, P, 3], P = S + 2 room."""
    clip: Numbers
    """Clip of each crop from 0, -1 for stills. int64 [N]."""
    key: str
    """Hash of content and options."""
    skipped: dict[str, int]
    """How many pieces were left out, by reason."""

    def __len__(self) -> int:
        return len(self.crops)


@dataclass(frozen=True)
class Skipped:
    """What was left out, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    """How many."""
    examples: dict[str, str] = field(default_factory=dict)
    """The first of each."""

    def add(self, reason: str, name: str) -> None:
        """Count one more."""
        self.reasons[reason] += 1
        self.examples.setdefault(reason, name)

    def lines(self) -> Iterator[str]:
        """Yield a line for a person for each reason, the commonest first."""
        for reason, count in self.reasons.most_common():
            yield f"skipped {count:,}: {reason} (such as {self.examples[reason]})"

    def summary(self) -> str:
        """Return all reasons in a few words."""
        return ", ".join(f"{n} {reason}" for reason, n in self.reasons.items()) or "nothing given"


@dataclass(frozen=True)
class _Written:
    names: list[str] = field(default_factory=list)
    clips: list[str] = field(default_factory=list)
    skipped: Skipped = field(default_factory=Skipped)


def pack(
    given: Sequence[str | Path],
    cache: Path,
    *,
    image_size: int,
    options: DataOptions,
    say: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of the packed crops of all sources, made if it is not there.

    Args:
        given: sources as find_sources takes them; endless streams are left out.
        cache: folder that packs are kept in.
        image_size: S, side of the face crop. Pixels.
        options: detector, margin, frames of videos, what to exclude.
        say: told how far it is and what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    pieces = find_sources(given).pieces
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    room = round(image_size * options.margin)
    # Files are read on several threads: OpenCV's own would only get in their way.
    detector = open_detector(options.detector, threads=1)
    cutter = Cutter(image_size, room, detector, options.every)
    told = (FORMAT, cutter.side, cutter.room, cutter.detector.name, cutter.every)
    target = Path(cache) / content_key(told, pieces, excluded)

    def fill(folder: Path) -> None:
        if cutter.detector.name == "none":
            say("every image is taken for a face crop (data.detector=none)")
        with (folder / "crops.u8").open("wb") as file:
            written = _write(Progress(pieces, say), cutter, excluded, file)
        _describe(folder, written, cutter)
        _report(written, say)

    return fill_folder(target, fill)


def fill_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make the folder of a pack whole or not at all; one that is there is left as it is.

    Args:
        target: its folder, named by `content_key`.
        fill: writes pack.json and *.u8 into the folder that it is given.

    Raises:
        MienError: the cache cannot be written.
    """
    if (target / "pack.json").is_file():
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _sweep(target)
        temporary.mkdir(parents=True)
        fill(temporary)
        temporary.replace(target)
    except OSError as error:
        if (target / "pack.json").is_file():  # another run was faster
            return target
        raise MienError(
            f"cannot write the cache {target}: {error.strerror}; free the disk"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def open_pack(folder: Path) -> Pack:
    """Return a pack for reading.

    Raises:
        MienError: it is not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        told = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        shape = (told["count"], told["side"], told["side"], 3)
        crops = np.memmap(folder / "crops.u8", dtype=np.uint8, mode="r", shape=shape)
        names = pq.read_table(folder / "items.parquet", columns=["clip"])["clip"].to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise MienError(f"the cache {folder} is damaged ({error}); delete it") from error
    numbers = {name: i for i, name in enumerate(sorted({name for name in names if name}))}
    clip = np.array([numbers.get(name, -1) for name in names], dtype=np.int64)
    return Pack(crops, clip, folder.name, dict(told["skipped"]))


class Progress:
    """Pieces one after another, telling how far it is every few seconds."""

    def __init__(self, pieces: Sequence[Piece], say: Callable[[str], None]) -> None:
        self.pieces, self._say = pieces, say
        self._start = self._told = time.monotonic()

    def tell(self, done: int) -> None:
        now = time.monotonic()
        if now - self._told > 15:
            self._told = now
            left = (now - self._start) / done * (len(self.pieces) - done)
            self._say(f"packing: {done:,} of {len(self.pieces):,} files, {left:.0f} s left")


def wanted(
    progress: Progress, cutter: Cutter, excluded: Sequence[Piece], skipped: Skipped
) -> Iterator[Crop]:
    """Yield the crops of pieces, but for those whose pixels are those of an excluded piece."""
    unwanted = {_pixels_hash(crop) for crop in read_crops(excluded, cutter)}
    for crop in read_crops(progress.pieces, cutter, skipped, progress):
        if unwanted and _pixels_hash(crop) in unwanted:
            skipped.add("excluded", crop.name)
        else:
            yield crop


def _write(
    progress: Progress, cutter: Cutter, excluded: Sequence[Piece], file: BinaryIO
) -> _Written:
    written = _Written()
    for crop in wanted(progress, cutter, excluded, written.skipped):
        file.write(crop.pixels.tobytes())
        written.names.append(crop.name)
        written.clips.append(crop.clip)
    if not written.names:
        reasons = written.skipped.summary()
        raise MienError(f"no usable image in the data ({reasons}); give others")
    return written


def read_crops(
    pieces: Sequence[Piece],
    cutter: Cutter,
    skipped: Skipped | None = None,
    progress: Progress | None = None,
) -> Iterator[Crop]:
    """Yield the crops in the order of the pieces; a bad piece is counted and left out."""
    workers = os.cpu_count() or 1
    waiting: deque[tuple[Piece, Future[list[Crop]]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            todo = iter(pieces)
            for done in range(1, len(pieces) + 1):
                while len(waiting) < 8 * workers and (piece := next(todo, None)) is not None:
                    waiting.append((piece, pool.submit(cutter.crops, piece)))
                piece, future = waiting.popleft()
                try:
                    yield from future.result()
                except MienError as error:
                    if skipped is not None:
                        skipped.add(str(error), piece.name)
                if progress is not None:
                    progress.tell(done)
        finally:
            for _, future in waiting:
                future.cancel()


def _sweep(target: Path) -> None:
    """Remove what killed runs left of this pack; one that is being written is younger."""
    for folder in target.parent.glob(f".{target.name}.*"):
        written = max((file.stat().st_mtime for file in folder.glob("*.u8")), default=0.0)
        if time.time() - written > _STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _describe(folder: Path, written: _Written, cutter: Cutter) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, clips = plain_text(written.names), plain_text(written.clips)
    pq.write_table(pa.table({"name": names, "clip": clips}), folder / "items.parquet")
    told = {
        "format": FORMAT,
        "count": len(names),
        "side": cutter.side + 2 * cutter.room,
        "clips": len(set(clips) - {""}),
        "skipped": dict(written.skipped.reasons),
    }
    (folder / "pack.json").write_text(json.dumps(told, indent=1), encoding="utf-8")


def _report(written: _Written, say: Callable[[str], None]) -> None:
    stills = sum(not clip for clip in written.clips)
    clips = len(set(written.clips) - {""})
    say(f"packed {len(written.names):,} crops: {stills:,} stills, {clips:,} clips")
    for line in written.skipped.lines():
        say(line)


def plain_text(names: Sequence[str]) -> list[str]:
    """Return names as text that Parquet takes; what is not UTF-8 is lost."""
    return [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in names]


def content_key(options: Sequence[object], *groups: Sequence[Piece]) -> str:
    """Return a hash of what pieces hold, whatever their place, and of options that change crops."""
    hashed = hashlib.blake2b(digest_size=12)
    hashed.update(repr(options).encode())
    contents: dict[Path, str] = {}
    for group in groups:
        hashed.update(f"group of {len(group)}".encode())
        for piece in group:
            if piece.file not in contents:
                contents[piece.file] = _content(piece.file)
            entry = (piece.name, piece.clip, piece.member, piece.video, piece.framing, piece.boxes)
            hashed.update(repr(entry).encode("utf-8", "surrogateescape"))
            hashed.update(contents[piece.file].encode())
    return hashed.hexdigest()


def _content(path: Path) -> str:
    """Return a hash of a file's content; of a large file, of its size and 64 places in it."""
    hashed = hashlib.blake2b(digest_size=16)
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            if size <= _WHOLE:
                hashed.update(file.read())
            else:
                for place in range(64):
                    file.seek((size - _SPOT) * place // 63)
                    hashed.update(file.read(_SPOT))
    except OSError:
        return "unreadable"  # counted as such when it is cut
    return f"{size}-{hashed.hexdigest()}"


def _pixels_hash(crop: Crop) -> bytes:
    return hashlib.blake2b(crop.pixels.tobytes(), digest_size=16).digest()
