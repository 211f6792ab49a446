"""The one face that is to be drawn: the largest in an image, or in each frame of a video."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.faces.crop import crop_face
from mien.faces.detect import find_faces, open_detector
from mien.faces.face import Detector
from mien.media.image import read
from mien.media.kinds import kind_of
from mien.media.names import to_text
from mien.media.video import read_frames

__all__ = ["read_clip", "read_face", "read_film", "read_images"]


def read_face(path: str | Path, *, detector: str, size: int) -> Tensor:
    """Return the largest face of an image, or of a video's first frame that shows one.

    Args:
        path: image or video.
        detector: as for `mien.embed`; `none` takes the whole image for the crop.
        size: side of the crop, pixels.

    Returns:
        uint8 crop. [1, 3, size, size].

    Raises:
        MienError: the file cannot be read, or shows no face.
    """
    for crop in _crops(path, detector, size):
        if crop is not None:
            return crop
    raise MienError(
        f"no face found in {to_text(path)}; try --detector yunet, "
        "or --detector none if it is cut from hairline to chin"
    )


def read_film(path: str | Path, *, detector: str, size: int) -> Iterator[Tensor]:
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


def _crops(path: str | Path, detector: str, size: int) -> Iterator[Tensor | None]:
    opened = open_detector(detector)
    for pixels in read_images(path):
        yield None if pixels is None else _largest(pixels, opened, size)


def read_images(path: str | Path) -> Iterator[NDArray[np.uint8] | None]:
    """Yield the image, or every frame of the video; None for a broken frame. RGB [H, W, 3].

    Raises:
        MienError: the file cannot be read.
    """
    if kind_of(path) == "video":
        for frame in read_frames(path):
            yield frame.pixels
    else:
        yield read(path)


def _largest(pixels: NDArray[np.uint8], detector: Detector, size: int) -> Tensor | None:
    faces = find_faces(pixels, detector)
    if not faces:
        return None
    face = max(faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]))
    crop = np.ascontiguousarray(crop_face(pixels, face, size).transpose(2, 0, 1))
    return torch.from_numpy(crop)[None]
