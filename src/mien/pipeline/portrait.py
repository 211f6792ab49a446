"""The face that is to be rendered: the largest of an image, or of each frame of a video."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.faces.detect import find_faces
from mien.faces.face import Face
from mien.faces.track import Tracker
from mien.faces.upright import find_upright
from mien.media.frame import Frame
from mien.media.names import to_text
from mien.pipeline.crops import Cropper, largest_face
from mien.pipeline.encode import to_batch
from mien.pipeline.read import read_media

__all__ = ["Portrait", "no_face_in", "read_clip", "read_faces", "read_portrait"]


@dataclass(frozen=True)
class Portrait:
    """Faces of an image."""

    crops: Tensor
    """uint8. [B, 3, size, size]."""
    numbers: tuple[int, ...]
    """Which of the image's faces they are, counted from the left, from 0. [B]."""
    count: int
    """How many faces the image shows."""


def read_portrait(
    path: str | Path,
    *,
    detector: str,
    size: int,
    face: int | None = None,
    every: bool = False,
) -> Portrait:
    """Return the largest face of an image, or of a video's first frame that shows one.

    Args:
        path: image or video.
        detector: auto, mien, yunet or haar; `none` takes the whole image for the crop.
        size: side of the crop, pixels.
        face: take this face, counted from the left, from 0; of a video the frame that shows it.
        every: take all faces, from left to right.

    Raises:
        MienError: the file cannot be read, or shows no face, or not this one.
    """
    cropper, most = Cropper.open(detector, size), 0
    for frame, faces in _found(path, cropper):
        most = max(most, len(faces))
        numbers = sorted(faces) if every else _chosen(faces, face)
        if numbers and frame.pixels is not None:
            cuts = [cropper.cut(frame.pixels, faces[number]).pixels for number in numbers]
            return Portrait(to_batch(cuts), tuple(numbers), len(faces))
    if most:
        raise MienError(
            f"{to_text(path)} shows no face {face}: {most} found, counted from 0 at the left"
        )
    raise no_face_in(path)


def read_faces(
    path: str | Path, *, detector: str, size: int, face: int | None = None
) -> Iterator[Frame]:
    """Yield the largest face of every frame of a video; where there is none, the one before.

    Frames before the first face are left out. The pixels of what is yielded are the crop's, RGB
    [size, size, 3]; index and time are the frame's.

    Args:
        path: a video.
        detector: as for `read_portrait`.
        size: side of the crops, pixels.
        face: follow this face, numbered as `track_id` in a table, in place of the largest.

    Raises:
        MienError: the file cannot be read.
    """
    cropper = Cropper.open(detector, size)
    last: NDArray[np.uint8] | None = None
    for frame, faces in _found(path, cropper):
        for number in _chosen(faces, face):
            assert frame.pixels is not None
            last = cropper.cut(frame.pixels, faces[number]).pixels
        if last is not None:
            yield replace(frame, pixels=last)


def read_clip(path: str | Path, *, detector: str, size: int) -> Tensor:
    """Return every face crop of a short clip: a video, or a folder of images in name order.

    Returns:
        uint8 crops. [frames, 3, size, size].

    Raises:
        MienError: the clip cannot be read, or shows no face.
    """
    path = Path(path)
    parts = sorted(path.glob("*.png")) if path.is_dir() else [path]
    cropper = Cropper.open(detector, size)
    crops = [
        cropper.cut(frame.pixels, faces[number]).pixels
        for part in parts
        for frame, faces in _found(part, cropper)
        for number in _chosen(faces, None)
        if frame.pixels is not None
    ]
    if not crops:
        raise MienError(f"no face found in the clip {to_text(path)}")
    return to_batch(crops)


def no_face_in(path: str | Path) -> MienError:
    """Return the error for a file without a face."""
    return MienError(
        f"no face found in {to_text(path)}; try --detector yunet, "
        "or --detector none if it is cut from hairline to chin"
    )


def _found(path: str | Path, cropper: Cropper) -> Iterator[tuple[Frame, dict[int, Face]]]:
    """Yield each frame with its faces by their numbers; a face of a video keeps its number."""
    tracker = Tracker()
    for frame in read_media(path):
        find = find_upright if frame.time_s is None else find_faces
        faces = [] if frame.pixels is None else find(frame.pixels, cropper.detector)
        numbers = tracker.update([face.box for face in faces], time_s=frame.time_s or 0.0)
        yield frame, dict(zip(numbers, faces, strict=True))


def _chosen(faces: dict[int, Face], face: int | None) -> list[int]:
    """Return the number of the wanted face, or of the largest; none where it is not there."""
    largest = largest_face(list(faces.values()))
    return [n for n, each in faces.items() if (each is largest if face is None else n == face)]
