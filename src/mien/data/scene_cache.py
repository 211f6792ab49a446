"""What scenes are made of, in memory-mapped files; made once, found again by content.

CACHE/KEY/faces.u8 holds uint8 [N, 144, 144, 3], squares with a face in the middle, and
items.parquet which part of each is a photograph. CACHE/KEY/backgrounds.u8 holds uint8
[M, 400, 400, 3], squares of images in which the teacher finds no face.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.data.cache import (
    content_key,
    fill_folder,
    known_crops,
    read_rows,
    say_detector,
    wanted,
    write_rows,
)
from mien.data.options import SceneDataOptions
from mien.data.pieces import Progress, Skipped, read_pieces
from mien.data.reading import PieceCropper, bare_reasons
from mien.data.scenes import SceneSource
from mien.data.seeds import seed_of
from mien.data.sources import Piece, find_sources
from mien.errors import MienError
from mien.faces.detect import Detector, WholeImage
from mien.faces.grid_detector import GridDetector, at_work_size
from mien.media.names import to_text

__all__ = ["SceneCache", "build_background_cache", "build_face_cache", "open_scenes"]

FORMAT = 1
FACE_SIDE = 144
"""Side of a face's image. Pixels."""
_MARGIN = 24
"""Of that, room on each side of mien's face crop: a quarter of the crop's side."""
BACKGROUND_SIDE = 400
"""Side of a background. Pixels."""
_FACE_SCORE = 0.5
"""Where the teacher's surest cell is above it, a background shows a face."""
_WITH_FACE = "a face is found in a part of it"
_SMALLEST, _LEAST_PART = 60, 100
_PART_AREA, _MOST_PARTS, _FEWEST_PARTS = 250_000, 60, 4
"""Squares that are cut out of an image: one for so many pixels, at most and at least so many."""

Row = tuple[dict[str, NDArray[np.uint8]], dict[str, Any]]


@dataclass(frozen=True)
class SceneCache:
    """Faces and backgrounds that are ready to be sampled from."""

    source: SceneSource
    """Memory-mapped."""
    key: str
    """Hash of content and options."""
    with_face: int
    """Backgrounds that were left out, for the teacher finds a face there."""


def build_face_cache(
    pieces: Sequence[Piece],
    cache: Path,
    *,
    teacher: Detector,
    options: SceneDataOptions,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of faces with room around them, made if it is not there.

    Args:
        pieces: photographs and videos; with options.detector none, images of one face each, whose
            middle square is taken as it is.
        cache: folder that all caches are kept in.
        teacher: finds the faces, but with options.detector none.
        options: detector, frames of videos, what to exclude.
        report: called with lines on how far it is and on what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    detector = WholeImage() if options.detector == "none" else teacher
    margin = 0 if options.detector == "none" else _MARGIN
    cropper = PieceCropper(FACE_SIDE - 2 * margin, margin, detector, options.every)
    shape = (FORMAT, "faces", FACE_SIDE, margin, detector.name, options.every)
    key = content_key((*shape, *known_crops(pieces, detector.name)), pieces, excluded)

    def fill(folder: Path) -> None:
        say_detector(pieces, detector.name, report)
        skipped = Skipped()
        crops = wanted(Progress(pieces, report), cropper, excluded, skipped)
        rows = (
            (
                {"faces": crop.pixels},
                {"name": crop.name, "clip": "", **dict(zip(_REAL, crop.real, strict=True))},
            )
            for crop in crops
        )
        index, _ = write_rows(folder, rows, skipped, side=FACE_SIDE)
        report(f"cached {index['count']:,} faces")
        for line in skipped.lines():
            report(line)

    return fill_folder(Path(cache) / key, fill)


def build_background_cache(
    pieces: Sequence[Piece],
    cache: Path,
    *,
    teacher: GridDetector,
    options: SceneDataOptions,
    seed: int,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of squares cut out of images at random, made if it is not there.

    Squares on which the teacher finds a face are left out and counted.

    Args:
        pieces: images and videos.
        cache: folder that all caches are kept in.
        teacher: says where a face is.
        options: frames of videos.
        seed: decides the squares.
        report: called with lines on how far it is and on what was skipped.

    Raises:
        MienError: no usable image at all, or the cache cannot be written.
    """
    shape = (FORMAT, "backgrounds", BACKGROUND_SIDE, teacher.name, options.every, seed)
    reader = PieceCropper(BACKGROUND_SIDE, 0, WholeImage(), options.every)

    def cut(piece: Piece) -> list[NDArray[np.uint8] | None]:
        rng = np.random.default_rng(seed_of(seed, "background", to_text(piece.name)))
        found: list[NDArray[np.uint8] | None] = []
        with bare_reasons(piece):
            for _, pixels in reader.frames(piece):
                for part in _parts(pixels, rng):
                    found.append(None if _best(teacher, part) > _FACE_SCORE else part)
        return found

    def fill(folder: Path) -> None:
        skipped, progress = Skipped(), Progress(pieces, report)

        def rows() -> Iterator[Row]:
            for piece, parts in read_pieces(pieces, cut, teacher, skipped, progress, ahead=2):
                for part in parts:
                    if part is None:
                        skipped.add(_WITH_FACE, piece.name)
                    else:
                        yield {"backgrounds": part}, {"name": piece.name, "clip": ""}

        index, _ = write_rows(folder, rows(), skipped, source="backgrounds", side=BACKGROUND_SIDE)
        report(f"cached {index['count']:,} squares of {len(pieces):,} backgrounds")
        for line in skipped.lines():
            report(line)

    return fill_folder(Path(cache) / content_key(shape, pieces), fill)


def open_scenes(faces: Path, backgrounds: Path) -> SceneCache:
    """Return the two caches for reading.

    Raises:
        MienError: one of them is not whole.
    """
    _, face_rows = read_rows(faces, {"faces": ("side", "side", 3)}, dict.fromkeys(_REAL, float))
    index, others = read_rows(backgrounds, {"backgrounds": ("side", "side", 3)}, {})
    real = np.stack([face_rows[name] for name in _REAL], axis=1).astype(np.float32)
    source = SceneSource(face_rows["faces"], real, others["backgrounds"])
    with_face = int(index["skipped"].get(_WITH_FACE, 0))
    return SceneCache(source, f"{faces.name}-{backgrounds.name}", with_face)


_REAL = ("x1", "y1", "x2", "y2")


def _parts(pixels: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield squares of an image, the more the larger it is. Each [400, 400, 3]."""
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter < _SMALLEST:
        raise MienError(f"is smaller than {_SMALLEST} pixels")
    image = Image.fromarray(pixels)
    fewest = 1 if shorter <= _LEAST_PART else _FEWEST_PARTS
    for _ in range(max(fewest, min(_MOST_PARTS, height * width // _PART_AREA))):
        side = int(shorter * math.exp(rng.uniform(math.log(0.15), 0)))
        side = max(side, min(shorter, _LEAST_PART))
        x, y = int(rng.integers(0, width - side + 1)), int(rng.integers(0, height - side + 1))
        kind = Image.Resampling.BILINEAR if side < BACKGROUND_SIDE else Image.Resampling.BOX
        size = (BACKGROUND_SIDE, BACKGROUND_SIDE)
        yield np.asarray(image.resize(size, kind, box=(x, y, x + side, y + side)))


def _best(teacher: GridDetector, image: NDArray[np.uint8]) -> float:
    """Return the score of the surest cell."""
    work, _ = at_work_size(image)
    return max(float(scores.max()) for scores, _, _ in teacher.answer(work))
