"""All crops of a run in one memory-mapped file, made once and found again by content.

CACHE/KEY/crops.u8 holds uint8 [N, P, P, 3]; items.parquet names each crop and its clip; cache.json
has sizes and what was skipped. The key is a hash of every file's content and of every option that
changes a crop, so a cache can be shared between runs and never be stale.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mien.aliases import FILES
from mien.data.options import DataOptions
from mien.data.reading import PieceCropper, TrainingCrop
from mien.data.sources import Piece, find_sources
from mien.errors import MienError
from mien.faces.detect import open_detector, single_threaded_opencv
from mien.pipeline.prefetch import prefetch

__all__ = [
    "CropCache",
    "Progress",
    "Skipped",
    "build_cache",
    "clip_numbers",
    "content_key",
    "fill_folder",
    "is_cache",
    "open_cache",
    "plain_text",
    "read_index",
    "wanted",
    "write_index",
]

FORMAT = 1
_INDEX = "cache.json"
_WHOLE = 64 << 20  # files up to this size are hashed whole, larger ones in 64 places
_SPOT = 1 << 20
_STALE_S = 3600

Crops = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class CropCache:
    """Crops that are ready to be sampled from."""

    crops: Crops
    """Memory-mapped RGB. uint8 [N, P, P, 3], P = S + 2 margin."""
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


def build_cache(
    given: Sequence[str | Path],
    cache: Path,
    *,
    image_size: int,
    options: DataOptions,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of the cached crops of all sources, made if it is not there.

    Args:
        given: sources as find_sources takes them; endless streams are left out.
        cache: folder that all caches are kept in.
        image_size: S, side of the face crop. Pixels.
        options: detector, margin, frames of videos, what to exclude.
        report: called with lines on how far it is and on what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    pieces = find_sources(given).pieces
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    margin = round(image_size * options.margin)
    cropper = PieceCropper(image_size, margin, open_detector(options.detector), options.every)
    shape = (FORMAT, cropper.side, cropper.margin, cropper.detector.name, cropper.every)
    target = Path(cache) / content_key(shape, pieces, excluded)

    def fill(folder: Path) -> None:
        if cropper.detector.name == "none":
            report("every image is taken for a face crop (data.detector=none)")
        with (folder / "crops.u8").open("wb") as file:
            written = _write(Progress(pieces, report), cropper, excluded, file)
        _describe(folder, written, cropper)
        _summarise(written, report)

    return fill_folder(target, fill)


def fill_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make the folder of a cache whole or not at all; one that is there is left as it is.

    Args:
        target: its folder, named by `content_key`.
        fill: writes *.u8 and, by `write_index`, the index into the folder that it is given.

    Raises:
        MienError: the cache cannot be written.
    """
    if is_cache(target):
        return target
    temporary = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        _sweep(target)
        temporary.mkdir(parents=True)
        fill(temporary)
        temporary.replace(target)
    except OSError as error:
        if is_cache(target):  # another run was faster
            return target
        raise MienError(
            f"cannot write the cache {target}: {error.strerror}; free the disk"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def is_cache(folder: Path) -> bool:
    """Return whether a folder is a whole cache."""
    return any((folder / name).is_file() for name in (_INDEX, FILES[_INDEX]))


def read_index(folder: Path) -> dict[str, Any]:
    """Return what `write_index` wrote.

    Raises:
        OSError: there is none.
        ValueError: it is damaged.
    """
    path = folder / _INDEX
    path = path if path.is_file() else folder / FILES[_INDEX]
    return json.loads(path.read_text(encoding="utf-8"))


def write_index(folder: Path, index: dict[str, Any]) -> None:
    """Write the sizes of a cache and what was skipped; last of all, for it makes a cache whole."""
    (folder / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")


def clip_numbers(clips: Sequence[str]) -> Numbers:
    """Return the names of clips as numbers from 0 in the names' order, -1 for stills. [N]."""
    numbers = {name: i for i, name in enumerate(sorted(set(clips) - {""}))}
    return np.array([numbers.get(name, -1) for name in clips], dtype=np.int64)


def open_cache(folder: Path) -> CropCache:
    """Return a cache for reading.

    Raises:
        MienError: it is not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        index = read_index(folder)
        shape = (index["count"], index["side"], index["side"], 3)
        crops = np.memmap(folder / "crops.u8", dtype=np.uint8, mode="r", shape=shape)
        names = pq.read_table(folder / "items.parquet", columns=["clip"])["clip"].to_pylist()
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise MienError(f"the cache {folder} is damaged ({error}); delete it") from error
    return CropCache(crops, clip_numbers(names), folder.name, dict(index["skipped"]))


class Progress:
    """Reports every few seconds how far the pieces are."""

    def __init__(self, pieces: Sequence[Piece], report: Callable[[str], None]) -> None:
        self.pieces, self._report = pieces, report
        self._start = self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Report that so many pieces are done, if it is time to."""
        now = time.monotonic()
        if now - self._last > 15:
            self._last = now
            left = (now - self._start) / done * (len(self.pieces) - done)
            self._report(f"caching: {done:,} of {len(self.pieces):,} files, {left:.0f} s left")


def wanted(
    progress: Progress, cropper: PieceCropper, excluded: Sequence[Piece], skipped: Skipped
) -> Iterator[TrainingCrop]:
    """Yield the crops of pieces, but for those whose pixels are those of an excluded piece."""
    unwanted = {_pixels_hash(crop) for crop in _read_crops(excluded, cropper)}
    for crop in _read_crops(progress.pieces, cropper, skipped, progress):
        if unwanted and _pixels_hash(crop) in unwanted:
            skipped.add("excluded", crop.name)
        else:
            yield crop


def _write(
    progress: Progress, cropper: PieceCropper, excluded: Sequence[Piece], file: BinaryIO
) -> _Written:
    written = _Written()
    for crop in wanted(progress, cropper, excluded, written.skipped):
        file.write(crop.pixels.tobytes())
        written.names.append(crop.name)
        written.clips.append(crop.clip)
    if not written.names:
        reasons = written.skipped.summary()
        raise MienError(f"no usable image in the data ({reasons}); give others")
    return written


def _read_crops(
    pieces: Sequence[Piece],
    cropper: PieceCropper,
    skipped: Skipped | None = None,
    progress: Progress | None = None,
) -> Iterator[TrainingCrop]:
    """Yield the crops in the order of the pieces; a bad piece is counted and left out."""

    def attempt(piece: Piece) -> list[TrainingCrop] | MienError:
        try:
            return cropper.crops(piece)
        except MienError as error:
            return error

    workers = os.cpu_count() or 1
    tasks = (partial(attempt, piece) for piece in pieces)
    found = prefetch(tasks, workers=workers, in_flight=8 * workers)
    with single_threaded_opencv(cropper.detector), contextlib.closing(found):
        for done, (piece, crops) in enumerate(zip(pieces, found, strict=True), start=1):
            if not isinstance(crops, MienError):
                yield from crops
            elif skipped is not None:
                skipped.add(str(crops), piece.name)
            if progress is not None:
                progress.update(done)


def _sweep(target: Path) -> None:
    """Remove what killed runs left of this cache; one that is being written is younger."""
    for folder in target.parent.glob(f".{target.name}.*"):
        written = max((file.stat().st_mtime for file in folder.glob("*.u8")), default=0.0)
        if time.time() - written > _STALE_S:
            shutil.rmtree(folder, ignore_errors=True)


def _describe(folder: Path, written: _Written, cropper: PieceCropper) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    names, clips = plain_text(written.names), plain_text(written.clips)
    pq.write_table(pa.table({"name": names, "clip": clips}), folder / "items.parquet")
    index = {
        "format": FORMAT,
        "count": len(names),
        "side": cropper.side + 2 * cropper.margin,
        "clips": len(set(clips) - {""}),
        "skipped": dict(written.skipped.reasons),
    }
    write_index(folder, index)


def _summarise(written: _Written, report: Callable[[str], None]) -> None:
    stills = sum(not clip for clip in written.clips)
    clips = len(set(written.clips) - {""})
    report(f"cached {len(written.names):,} crops: {stills:,} stills, {clips:,} clips")
    for line in written.skipped.lines():
        report(line)


def plain_text(names: Sequence[str]) -> list[str]:
    """Return names as text that Parquet takes; what is not UTF-8 is replaced."""
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


def _pixels_hash(crop: TrainingCrop) -> bytes:
    return hashlib.blake2b(crop.pixels.tobytes(), digest_size=16).digest()
