"""The face that is to be rendered: the largest of an image, or of each frame of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from mien.errors import MienError
from mien.faces.detect import find_faces
from mien.media.names import to_text
from mien.pipeline.crops import Cropper, largest_face
from mien.pipeline.encode import to_batch
from mien.pipeline.read import read_media

__all__ = ["no_face_in", "read_clip", "read_face", "read_faces"]


def read_face(path: str | Path, *, detector: str, size: int) -> Tensor:
    """Return the largest face of an image, or of a video's first frame that shows one.

    Args:
        path: image or video.
        detector: auto, haar or yunet; `none` takes the whole image for the crop.
        size: side of the crop, pixels.

    Returns:
        uint8 crop. [1, 3, size, size].

    Raises:
        MienError: the file cannot be read, or shows no face.
    """
    for crop in read_faces(path, detector=detector, size=size):
        return crop
    raise no_face_in(path)


def read_faces(path: str | Path, *, detector: str, size: int) -> Iterator[Tensor]:
    """Yield the largest face of every frame of a video; where there is none, the one before.

    Frames before the first face are left out.

    Raises:
        MienError: the file cannot be read.
    """
    last: Tensor | None = None
    for crop in _crops(path, detector, size):
        last = crop if crop is not None else last
        if last is not None:
            yield last


def read_clip(path: str | Path, *, detector: str, size: int) -> Tensor:
    """Return every face crop of a short clip: a video, or a folder of images in name order.

    Returns:
        uint8 crops. [frames, 3, size, size].

    Raises:
        MienError: the clip cannot be read, or shows no face.
    """
    path = Path(path)
    parts = sorted(path.glob("*.png")) if path.is_dir() else [path]
    crops = [c for part in parts for c in _crops(part, detector, size) if c is not None]
    if not crops:
        raise MienError(f"no face found in the clip {to_text(path)}")
    return torch.cat(crops)


def no_face_in(path: str | Path) -> MienError:
    """Return the error for a file without a face."""
    return MienError(
        f"no face found in {to_text(path)}; try --detector yunet, "
        "or --detector none if it is cut from hairline to chin"
    )


def _crops(path: str | Path, detector: str, size: int) -> Iterator[Tensor | None]:
    cropper = Cropper.open(detector, size)
    for frame in read_media(path):
        found = [] if frame.pixels is None else find_faces(frame.pixels, cropper.detector)
        face = largest_face(found)
        if frame.pixels is None or face is None:
            yield None
        else:
            yield to_batch([cropper.cut(frame.pixels, face).pixels])
