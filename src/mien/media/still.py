"""One image, wherever it is: a file, pixels or a Pillow image in memory, an open file."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mien.errors import MienError
from mien.media.image import read

__all__ = ["ImageLike", "check_pixels", "pixels_of"]

ImageLike: TypeAlias = str | Path | NDArray[np.uint8] | Image | IO[bytes]
"""An image: its path, its RGB pixels uint8 [H, W, 3], a Pillow image, or an open binary file."""


def check_pixels(pixels: NDArray[np.uint8], name: str | None = None) -> NDArray[np.uint8]:
    """Return an array that is an image; RGB uint8 [H, W, 3].

    Raises:
        MienError: it is not; it is called `name`.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        found = f"{pixels.dtype} {list(pixels.shape)}"
        raise MienError(f"{name or 'the image'} is {found}: give uint8 RGB [H, W, 3]")
    return pixels


def pixels_of(image: ImageLike, name: str | None = None) -> NDArray[np.uint8]:
    """Return the pixels of an image. RGB [H, W, 3].

    Args:
        image: path, pixels, Pillow image or binary file.
        name: what errors call it; None: its path, or "the image".

    Raises:
        MienError: it cannot be read, is no image, or is an array but not uint8 RGB.
    """
    if isinstance(image, np.ndarray):
        return check_pixels(image, name)
    if not isinstance(image, (str, Path, Image)) and not hasattr(image, "read"):
        raise MienError(
            f"{name or 'the image'} is {type(image).__name__}; give a path, uint8 RGB [H, W, 3], "
            "a Pillow image or an open binary file"
        )
    return read(image, name=name)
