"""All images of a gaze run, cut around the eyes, in memory-mapped files; made once.

CACHE/KEY/canvas.u8 holds uint8 [N, H, W], face.u8 uint8 [N, F, F]; items.parquet names each image,
its clip and its eyes; cache.json has sizes and what was skipped. The key is a hash of every file's
content, of the labels and of every option that changes a row, as for LatentFace's crops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from mien.data.cache import (
    Progress,
    Skipped,
    content_key,
    fill_folder,
    read_rows,
    summary,
    wanted,
    write_rows,
)
from mien.data.eye_canvas import FORM, EyeForm, eye_row, placeable
from mien.data.eye_labels import EyeLabel, read_eye_labels
from mien.data.options import EyeDataOptions
from mien.data.reading import PieceCropper, Pixels, TrainingCrop
from mien.data.sources import Piece, find_sources, place_of
from mien.faces.detect import open_detector

__all__ = [
    "EyeCache",
    "EyeSearch",
    "EyeSources",
    "build_eye_cache",
    "find_eye_sources",
    "open_eye_caches",
]

FORMAT = 1
_AT_ONCE = 64
_COLUMNS = {
    **dict.fromkeys(("eyes", "face_eyes", "open"), np.float32),
    **dict.fromkeys(("labelled", "has_face"), np.bool_),
}

Points = np.ndarray[Any, np.dtype[np.float32]]


class EyeSearch(Protocol):
    """Finds eyes in crops that have no labels of them."""

    @property
    def name(self) -> str:
        """Changes when it would find others."""
        ...

    def __call__(
        self, images: Pixels, *, eye_crops: bool
    ) -> tuple[Points, np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return the eyes as fractions of the sides [B, 2, 2], and whether they are seen [B].

        Args:
            images: RGB crops, or eye-region crops. uint8 [B, H, W, 3].
            eye_crops: which they are.
        """
        ...


@dataclass(frozen=True)
class EyeSources:
    """Everything that was given, by how its eyes are found."""

    known: list[Piece]
    """Pieces with labels, or whose faces' detector gives their eyes."""
    unknown: list[Piece]
    """Pieces whose eyes must be searched for."""
    labels: dict[Path, EyeLabel]
    """By file."""
    streams: list[Path]
    """Head models of endless streams."""


@dataclass(frozen=True)
class EyeCache:
    """Images that are ready to be sampled from; of several folders, one after the other."""

    canvas: tuple[Pixels, ...]
    """Memory-mapped luminance of each folder. uint8 [n, H, W]."""
    face: tuple[Pixels, ...]
    """Memory-mapped small faces. uint8 [n, F, F]."""
    clip: np.ndarray[Any, np.dtype[np.int64]]
    """Clip of each row from 0, -1 for stills. [N]."""
    eyes: Points
    """Pixels of the canvas. [N, 2, 2]."""
    face_eyes: Points
    """Pixels of the face. [N, 2, 2]."""
    open: Points
    """1 = open, 0 = shut, NaN = not known. [N]."""
    labelled: np.ndarray[Any, np.dtype[np.bool_]]
    """Whether the eyes are from labels. [N]."""
    has_face: np.ndarray[Any, np.dtype[np.bool_]]
    """False for eye-region crops. [N]."""
    key: str
    """Hash of content and options."""

    def __len__(self) -> int:
        return len(self.clip)

    def gather(self, rows: np.ndarray[Any, Any]) -> tuple[Pixels, Pixels]:
        """Return canvases and faces of some rows. uint8 [B, H, W], [B, F, F]."""
        canvas = np.empty((len(rows), *self.canvas[0].shape[1:]), dtype=np.uint8)
        face = np.empty((len(rows), *self.face[0].shape[1:]), dtype=np.uint8)
        start = 0
        for canvases, faces in zip(self.canvas, self.face, strict=True):
            here = (rows >= start) & (rows < start + len(canvases))
            canvas[here], face[here] = canvases[rows[here] - start], faces[rows[here] - start]
            start += len(canvases)
        return canvas, face


def find_eye_sources(given: Sequence[str], options: EyeDataOptions) -> EyeSources:
    """Return the pieces of all sources and who knows their eyes.

    Raises:
        MienError: as find_sources; labels that cannot be read; a detector that is not there.
    """
    sources = find_sources(
        given, eye_crops=options.crop == "eyes", clip_pattern=options.clip_pattern
    )
    labels = read_eye_labels(place_of(source) for source in given)
    detects_eyes = open_detector(options.detector).name == "yunet"
    known, unknown = [], []
    for piece in sources.pieces:
        has_eyes = piece.file in labels or (detects_eyes and not piece.eye_crop and not piece.boxes)
        (known if has_eyes else unknown).append(piece)
    return EyeSources(known, unknown, labels, sources.streams)


def build_eye_cache(
    pieces: Sequence[Piece],
    labels: Mapping[Path, EyeLabel],
    cache: Path,
    *,
    form: EyeForm = FORM,
    options: EyeDataOptions,
    search: EyeSearch | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Path:
    """Return the folder of the cached pieces, made if it is not there; errors as of build_cache.

    `cache`, `options` and `report` are those of build_cache too; pieces and their labels are from
    find_eye_sources; `search` finds the eyes that neither labels nor the detector give.
    """
    detector = open_detector(options.detector)
    cropper = PieceCropper(form.crop, 0, detector, options.every, form.eye_crop)
    eye_crops = options.crop == "eyes"
    excluded = find_sources(options.exclude, eye_crops=eye_crops).pieces if options.exclude else []
    kinds = [piece.eye_crop for piece in pieces]
    known = [labels[piece.file] for piece in pieces if piece.file in labels]
    marks = [(label.eyes.tolist(), label.open) for label in known]
    searched = search.name if search else ""
    shape = (FORMAT, form, detector.name, options.every, kinds, marks, searched)
    target = Path(cache) / content_key(shape, pieces, excluded)

    def fill(folder: Path) -> None:
        if detector.name == "none" and not all(kinds):
            report("every image is taken for a face crop (data.detector=none)")
        skipped = Skipped()
        crops = wanted(Progress(pieces, report), cropper, excluded, skipped)
        rows = _rows(crops, _by_name(pieces, labels), search, form, skipped)
        index, columns = write_rows(folder, rows, skipped, canvas=form.canvas, face=form.face)
        eye_crops = columns["has_face"].count(False)
        for line in summary(index, f"images ({eye_crops:,} of them eye-region crops)", skipped):
            report(line)

    return fill_folder(target, fill)


def open_eye_caches(folders: Sequence[Path]) -> EyeCache:
    """Return caches for reading, as one.

    Raises:
        MienError: one is not whole.
    """
    opened = [_open(folder) for folder in folders]
    clips, first = [], 0
    for one in opened:
        clips.append(np.where(one.clip >= 0, one.clip + first, -1))
        first += int(one.clip.max(initial=-1)) + 1

    def joined(name: str) -> Any:
        return np.concatenate([getattr(one, name) for one in opened])

    return replace(
        opened[0],
        canvas=tuple(one.canvas[0] for one in opened),
        face=tuple(one.face[0] for one in opened),
        clip=np.concatenate(clips),
        key="-".join(one.key for one in opened),
        **{name: joined(name) for name in _COLUMNS},
    )


def _by_name(pieces: Sequence[Piece], labels: Mapping[Path, EyeLabel]) -> dict[str, EyeLabel]:
    return {piece.name: labels[piece.file] for piece in pieces if piece.file in labels}


def _rows(
    crops: Iterator[TrainingCrop],
    labels: Mapping[str, EyeLabel],
    search: EyeSearch | None,
    form: EyeForm,
    skipped: Skipped,
) -> Iterator[tuple[dict[str, Pixels], dict[str, Any]]]:
    """Yield arrays and values of the crops whose eyes are known or found; count the others."""
    while some := list(islice(crops, _AT_ONCE)):
        given = [_given_eyes(crop, labels) for crop in some]
        for eye_crops in (False, True):
            rows = [
                i for i, crop in enumerate(some) if given[i] is None and crop.eye_crop == eye_crops
            ]
            if rows and search is not None:
                eyes, seen = search(np.stack([some[i].pixels for i in rows]), eye_crops=eye_crops)
                for i, fractions, there in zip(rows, eyes, seen, strict=True):
                    height, width = some[i].pixels.shape[:2]
                    found = (fractions * np.array([width, height]) - 0.5).astype(np.float32)
                    given[i] = found if there else None
        for crop, eyes in zip(some, given, strict=True):
            if eyes is None:
                skipped.add("no eyes are found", crop.name)
            elif not placeable(eyes, *crop.pixels.shape[:2]):
                skipped.add("the eyes are not both in the image", crop.name)
            else:
                row = eye_row(crop.pixels, eyes, form, eye_crop=crop.eye_crop)
                label = labels.get(crop.name)
                values = {
                    "name": crop.name,
                    "clip": crop.clip,
                    "eyes": row.eyes.ravel().tolist(),
                    "face_eyes": row.face_eyes.ravel().tolist(),
                    "open": float(label.open) if label else np.nan,
                    "labelled": label is not None,
                    "has_face": not crop.eye_crop,
                }
                yield {"canvas": row.canvas, "face": row.face}, values


def _given_eyes(crop: TrainingCrop, labels: Mapping[str, EyeLabel]) -> Points | None:
    """Return the eyes in pixels of the crop, where labels or the detector give them."""
    label = labels.get(crop.name)
    if label is not None:
        return crop.place(label.eyes + 0.5)
    return None if crop.landmarks is None else crop.place(crop.landmarks[:2])


def _open(folder: Path) -> EyeCache:
    shapes = {"canvas": ("canvas",), "face": ("face", "face")}
    _, rows = read_rows(folder, shapes, _COLUMNS)
    points = {name: rows.pop(name).reshape(-1, 2, 2) for name in ("eyes", "face_eyes")}
    canvas, face = (rows.pop("canvas"),), (rows.pop("face"),)
    return EyeCache(canvas, face, key=folder.name, **rows, **points)
