"""Image and video files to frames; images in memory too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mien.media.frame import Frame
from mien.media.image import read_image
from mien.media.kinds import Kind, kind_of
from mien.media.still import ImageLike, check_pixels
from mien.media.video import read_frames

__all__ = ["Frame", "ImageLike", "read_media", "read_still"]


def read_still(image: ImageLike, *, name: str | None = None) -> Frame:
    """Return an image as a frame.

    Args:
        image: path, pixels, Pillow image or binary file.
        name: what errors call it; None: its path, or "the image".

    Raises:
        MienError: it cannot be read, or is an array but not uint8 RGB.
    """
    if isinstance(image, np.ndarray):
        return Frame(check_pixels(image, name))
    return read_image(image, name=name)


def read_media(
    path: str | Path,
    *,
    kind: Kind | None = None,
    every: int | None = None,
    fps: float | None = None,
) -> Iterator[Frame]:
    """Yield the frames of a video one by one, or the one of an image.

    Args:
        path: an image or a video.
        kind: which it is; None: see.
        every: take every N-th frame of a video.
        fps: take this many frames a second of a video; not together with `every`.

    Raises:
        MienError: the file cannot be read.
    """
    if (kind or kind_of(path)) != "video":
        yield read_still(path)
    else:
        yield from read_frames(path, every=every, fps=fps)
