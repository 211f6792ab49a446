"""Faces of an image, and their crops, for those who want these alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.detect import open_detector
from mien.faces.face import Face
from mien.faces.upright import find_upright
from mien.pipeline.crops import Cropper
from mien.pipeline.read import ImageLike, read_still

__all__ = ["crop", "detect"]


def detect(image: ImageLike, *, detector: str = "auto") -> list[Face]:
    """Return the faces in an image, from left to right.

    Args:
        image: a path, RGB pixels uint8 [H, W, 3], a Pillow image, an open binary file.
        detector: auto, mien, yunet, haar; none: the whole image is one face.

    Returns:
        Box and landmarks in the image's pixels, score 0 to 1; none where no face is found.

    Raises:
        MienError: the image cannot be read, or the detector cannot be had here.
    """
    frame = read_still(image)
    assert frame.pixels is not None
    return [
        face.scaled(frame.scale) for face in find_upright(frame.pixels, open_detector(detector))
    ]


def crop(image: ImageLike, face: Face, *, size: int = 224) -> NDArray[np.uint8]:
    """Return the square that models see of a face: hairline to chin, upright.

    Args:
        image: as for `detect`.
        face: one that `detect` found in it.
        size: side of the crop, pixels, 1 to 4096.

    Returns:
        RGB uint8. [size, size, 3].

    Raises:
        MienError: the image cannot be read, or the size is out of bounds.
    """
    if not 1 <= size <= 4096:
        raise MienError(f"a crop is 1 to 4096 pixels wide, not {size}")
    frame = read_still(image)
    assert frame.pixels is not None
    cropper = Cropper(open_detector("none"), size)
    return cropper.cut(frame.pixels, face.scaled(1 / frame.scale)).pixels
