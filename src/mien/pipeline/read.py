"""Image and video files to frames; images in memory too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.media.image import read_image
from mien.media.kinds import Kind, kind_of
from mien.media.still import ImageLike, check_pixels
from mien.media.video import read_frames

__all__ = ["Frame", "ImageLike", "read_media", "read_still"]


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or one frame of a video."""

    pixels: NDArray[np.uint8] | None
    """RGB [H, W, 3]; None: a broken frame of a video."""
    index: int = 0
    """Number in the video, from 0; 0 for an image."""
    time_s: float | None = None
    """Seconds from the video's start; None for an image."""
    scale: int = 1
    """Pixels of the file per pixel here: very large images are reduced by a whole factor."""


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
    loaded = read_image(image, name=name)
    return Frame(loaded.pixels, scale=loaded.scale)


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
        return
    for frame in read_frames(path, every=every, fps=fps):
        yield Frame(frame.pixels, frame.index, frame.time_s)
