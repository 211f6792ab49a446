"""All crops of a run in one memory-mapped file, made once and found again by content.

CACHE/KEY/crops.u8 holds uint8 [N, P, P, 3]; items.parquet names each crop and its clip; cache.json
has sizes and what was skipped. The key is a hash of every file's content and of every option that
changes a crop, so a cache can be shared between runs and never be stale.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
import shutil
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from mien.aliases import FILES
from mien.data.content import content_key, pixels_hash
from mien.data.labels import read_rotations
from mien.data.options import DataOptions
from mien.data.pieces import Progress, Skipped, read_pieces
from mien.data.reading import PieceCropper, TrainingCrop
from mien.data.sources import Piece, find_sources, place_of
from mien.data.turned import Turned, photographs_of, view_name
from mien.errors import MienError
from mien.faces.detect import open_detector
from mien.media.bounded import read_json
from mien.media.faults import fault
from mien.synth.head_model import HeadModel
from mien.synth.photo_views import Turn

__all__ = [
    "CropCache",
    "Progress",
    "Skipped",
    "build_cache",
    "content_key",
    "fill_folder",
    "is_cache",
    "known_crops",
    "open_cache",
    "read_rows",
    "say_detector",
    "summary",
    "wanted",
    "write_rows",
]

FORMAT = 2
_INDEX = "cache.json"
_STALE_S = 3600
# Wider than for the face embedding: the pose of profiles is to be learned.
_TURN = Turn((32.0, 10.0, 6.0), (60.0, 20.0, 20.0))
_DAMAGED = (MienError, OSError, ValueError, KeyError, TypeError, OverflowError)

Crops = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Values = np.ndarray[Any, np.dtype[np.float32]]


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
    real: Values | None = None
    """x1, y1, x2, y2 of the part of each crop that its file's image covers, 0 to 1; around it that
    image's edge is repeated. None: all of it. float32 [N, 4]."""
    rotation: Values | None = None
    """Head -> camera frame where it is known, NaN elsewhere. None: nowhere. float32 [N, 3, 3]."""
    name: Sequence[str] = ()
    """Of the piece that each crop is from, in a video with the frame; empty: not known. [N]."""

    @property
    def photograph(self) -> Numbers:
        """Row of the photograph that each crop is, or is a view of; -1 without views. [N]."""
        return photographs_of(self.name or [""] * len(self), self.clip)

    def __len__(self) -> int:
        return len(self.crops)


def build_cache(
    given: Sequence[str | Path],
    cache: Path,
    *,
    image_size: int,
    options: DataOptions,
    head: HeadModel | None = None,
    seed: int = 0,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of the cached crops of all sources, made if it is not there.

    Args:
        given: sources as find_sources takes them; endless streams are left out.
        cache: folder that all caches are kept in.
        image_size: S, side of the face crop. Pixels.
        options: detector, margin, frames of videos, what to exclude, further views.
        head: draws further views of the photographs (`options.turned`).
        seed: decides these.
        report: called with lines on how far it is and on what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    pieces = find_sources(given).pieces
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    margin = round(image_size * options.margin)
    rotations = _known_rotations(given, report)
    detector_used = open_detector(options.detector)
    cropper = PieceCropper(image_size, margin, detector_used, options.every, rotations=rotations)
    detector = detector_used.name
    sizes = (FORMAT, cropper.side, cropper.margin, detector, cropper.every)
    drawn = (head.fingerprint, options.turned, seed) if head and options.turned else ()
    shape = (*sizes, *drawn, *known_crops(pieces, detector))
    target = Path(cache) / content_key(shape, pieces, excluded)

    def fill(folder: Path) -> None:
        say_detector(pieces, detector, report)
        skipped = Skipped()
        crops = wanted(Progress(pieces, report), cropper, excluded, skipped)
        turned = Turned(head, options.turned, seed, _TURN)
        rows = _rows(crops, turned if options.turned else None)
        index, _ = write_rows(folder, rows, skipped, side=cropper.side + 2 * cropper.margin)
        if options.turned and (line := turned.report()):
            report(line)
        report(
            f"cached {index['count']:,} crops: {index['stills']:,} stills, {index['clips']:,} clips"
        )
        for line in skipped.lines():
            report(line)

    return fill_folder(target, fill)


def _known_rotations(
    given: Sequence[str | Path], report: Callable[[str], None]
) -> dict[Path, Values]:
    """Return the heads' rotations where labels state them; damaged labels are reported."""
    found: dict[Path, Values] = {}
    for source in given:
        try:
            found |= read_rotations([place_of(str(source))])
        except MienError as error:  # images can be learned from without
            report(f"warning: {error}; the poses of its images are not known")
    return found


def _rows(
    crops: Iterable[TrainingCrop], turned: Turned | None
) -> Iterator[tuple[dict[str, Crops], dict[str, Any]]]:
    """Yield a row a crop and, after each photograph, its further views, which are stills too."""
    for number, crop in enumerate(crops):
        views = turned(crop, number) if turned and not crop.clip else None
        own = crop.rotation if views is None else views.own
        yield _row(crop.pixels, crop.name, crop.clip, crop.real, own)
        for k in range(0 if views is None else len(views.pixels)):
            assert views is not None
            name = view_name(crop.name, k)
            yield _row(views.pixels[k], name, "", (0.0, 0.0, 1.0, 1.0), views.rotation[k])


def _row(
    pixels: Crops,
    name: str,
    clip: str,
    real: Sequence[float],
    rotation: Values | None,
) -> tuple[dict[str, Crops], dict[str, Any]]:
    turn = [math.nan] * 9 if rotation is None else rotation.reshape(-1).tolist()
    return {"crops": pixels}, {"name": name, "clip": clip, "real": list(real), "rotation": turn}


def known_crops(pieces: Sequence[Piece], detector: str) -> tuple[list[bool], ...]:
    """Return which pieces need no detector, where there is one, for the name of a cache."""
    return () if detector == "none" else ([piece.face_crop for piece in pieces],)


def say_detector(pieces: Sequence[Piece], detector: str, report: Callable[[str], None]) -> None:
    """Report how faces are found in the pieces where they must be."""
    unknown = [p for p in pieces if not (p.face_crop or p.eye_crop or p.boxes)]
    if unknown and detector == "none":
        report("every image is taken for a face crop (data.detector=none)")
    elif unknown:
        report(f"faces are detected by {detector}; for face crops give data.detector=none")


def summary(index: Mapping[str, Any], what: str, skipped: Skipped) -> Iterator[str]:
    """Yield lines for a person: what a cache holds, and what was left out."""
    held = f"{index['stills']:,} stills, {index['clips']:,} clips"
    yield f"cached {index['count']:,} {what}: {held}"
    yield from skipped.lines()


def fill_folder(target: Path, fill: Callable[[Path], None]) -> Path:
    """Make the folder of a cache whole or not at all; one that is there is left as it is.

    Args:
        target: its folder, named by `content_key`.
        fill: writes into the folder that it is given, by `write_rows`.

    Raises:
        MienError: the cache cannot be written.
    """
    if is_cache(target):
        return target
    # Machines that share a disk may have processes of one number.
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}")
    try:
        _sweep(target)
        temporary.mkdir(parents=True)
        fill(temporary)
        temporary.replace(target)
    except OSError as error:
        if is_cache(target):  # another run was faster
            return target
        raise MienError(f"cannot write the cache {target}: {fault(error)}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def is_cache(folder: Path) -> bool:
    """Return whether a folder is a whole cache."""
    return any((folder / name).is_file() for name in (_INDEX, FILES[_INDEX]))


def write_rows(
    folder: Path,
    rows: Iterable[tuple[Mapping[str, Crops], Mapping[str, Any]]],
    skipped: Skipped,
    *,
    source: str = "data",
    **sizes: Any,
) -> tuple[dict[str, Any], Mapping[str, list[Any]]]:
    """Write the arrays of all rows to NAME.u8, their other values to items.parquet.

    Args:
        folder: of the cache.
        rows: of each image its arrays, uint8 of the same shapes in all, and its values by column,
            `name` and `clip` among them.
        skipped: what was left out; filled when the rows are read.
        source: what the rows are made of, for the error.
        sizes: of the arrays, kept in the index.

    Returns:
        The index, which is written last of all, for it makes a cache whole; and the columns.

    Raises:
        MienError: there are no rows.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns: defaultdict[str, list[Any]] = defaultdict(list)
    with contextlib.ExitStack() as opened:
        files: dict[str, BinaryIO] = {}
        for arrays, values in rows:
            for name, array in arrays.items():
                if name not in files:
                    files[name] = opened.enter_context((folder / f"{name}.u8").open("wb"))
                files[name].write(array.tobytes())
            for name, value in values.items():
                columns[name].append(value)
    if not columns:
        hint = " (data.detector=none where they are face crops)" if skipped.no_face else ""
        raise MienError(f"no usable image in the {source}: {skipped.summary()}; give others{hint}")
    texts = {name: _plain_text(columns[name]) for name in ("name", "clip")}
    pq.write_table(pa.table({**columns, **texts}), folder / "items.parquet")
    index = {
        "format": FORMAT,
        "count": len(columns["clip"]),
        "clips": len(set(columns["clip"]) - {""}),
        "stills": sum(not clip for clip in columns["clip"]),
        **sizes,
        "skipped": dict(skipped.reasons),
    }
    (folder / _INDEX).write_text(json.dumps(index, indent=1), encoding="utf-8")
    return index, columns


def read_rows(
    folder: Path, shapes: Mapping[str, Sequence[str | int]], columns: Mapping[str, type]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the index of a cache, and its arrays and columns with the numbers of clips.

    Args:
        folder: of the cache.
        shapes: of one row of each array; names stand for the sizes of that name in the index.
        columns: to be read, with their types.

    Raises:
        MienError: it is not whole.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        path = folder / _INDEX
        path = path if path.is_file() else folder / FILES[_INDEX]
        index = read_json(path)
        table = pq.read_table(folder / "items.parquet", columns=["clip", *columns])
        found: dict[str, Any] = {"clip": _clip_numbers(table["clip"].to_pylist())}
        index["skipped"] = dict(index["skipped"])
        for name, parts in shapes.items():
            shape = np.hstack([index[part] if isinstance(part, str) else part for part in parts])
            found[name] = np.memmap(
                folder / f"{name}.u8", np.uint8, mode="r", shape=(index["count"], *shape)
            )
        for name, kind in columns.items():
            found[name] = np.array(table[name].to_pylist(), dtype=kind)
    except (*_DAMAGED, pa.ArrowException) as error:
        raise MienError(f"the cache {folder} is damaged ({error}); delete it") from error
    return index, found


def open_cache(folder: Path) -> CropCache:
    """Return a cache for reading.

    Raises:
        MienError: it is not whole.
    """
    columns = {"name": np.str_, "real": np.float32, "rotation": np.float32}
    index, rows = read_rows(folder, {"crops": ("side", "side", 3)}, columns)
    rotation = rows["rotation"].reshape(-1, 3, 3)
    key, skipped = folder.name, index["skipped"]
    real, name = rows["real"], rows["name"].tolist()
    return CropCache(rows["crops"], rows["clip"], key, skipped, real, rotation, name)


def wanted(
    progress: Progress, cropper: PieceCropper, excluded: Sequence[Piece], skipped: Skipped
) -> Iterator[TrainingCrop]:
    """Yield the crops of pieces, but for those whose pixels are those of an excluded piece."""
    unwanted = {pixels_hash(crop) for crop in _read_crops(excluded, cropper)}
    for crop in _read_crops(progress.pieces, cropper, skipped, progress):
        if unwanted and pixels_hash(crop) in unwanted:
            skipped.add("excluded", crop.name)
        else:
            yield crop


def _read_crops(
    pieces: Sequence[Piece],
    cropper: PieceCropper,
    skipped: Skipped | None = None,
    progress: Progress | None = None,
) -> Iterator[TrainingCrop]:
    """Yield the crops in the order of the pieces; a bad piece is counted and left out."""
    found = read_pieces(pieces, cropper.crops, cropper.detector, skipped, progress)
    with contextlib.closing(found):
        for _, crops in found:
            yield from crops


def _sweep(target: Path) -> None:
    """Remove what killed runs left of this cache; one that is being written is younger."""
    for folder in target.parent.glob(f".{target.name}.*"):
        with contextlib.suppress(OSError):  # another run may sweep, too
            files = list(folder.glob("*.u8")) or [folder]  # nothing is written yet
            written = max(file.stat().st_mtime for file in files)
            if time.time() - written > _STALE_S:
                shutil.rmtree(folder, ignore_errors=True)


def _clip_numbers(clips: Sequence[str]) -> Numbers:
    """Return the names of clips as numbers from 0 in the names' order, -1 for stills. [N]."""
    numbers = {name: i for i, name in enumerate(sorted(set(clips) - {""}))}
    return np.array([numbers.get(name, -1) for name in clips], dtype=np.int64)


def _plain_text(names: Sequence[str]) -> list[str]:
    """Return names as text that Parquet takes; what is not UTF-8 is replaced."""
    return [name.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for name in names]
