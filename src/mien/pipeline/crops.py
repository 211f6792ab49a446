"""Frames to crops: faces detected and cut out, boxes cut out, eye-region crops brought to size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.faces.crop import crop_face, crop_square
from mien.faces.detect import find_faces, open_detector
from mien.faces.eye_crop import fit_eye_crop
from mien.faces.face import Detector, Face
from mien.faces.upright import find_upright, turn_face
from mien.pipeline.known_faces import is_box_file, read_known_faces

__all__ = ["Crop", "Cropper", "central_face", "largest_face"]


@dataclass(frozen=True, eq=False)
class Crop:
    """A face, or the region of both eyes, cut out of a frame."""

    pixels: NDArray[np.uint8]
    """RGB [S, S, 3]; of an eye-region crop [H, W, 3]."""
    face: Face
    """Where it is, in the frame's pixels; of an eye-region crop the whole frame."""
    corner: tuple[float, float]
    """x, y of the crop's top left corner in the frame. Pixels, 0 = the outer edge."""
    scale: float
    """Pixels of the crop per pixel of the frame."""


@dataclass(frozen=True)
class Cropper:
    """Cuts crops out of frames; may be used from several threads at once."""

    detector: Detector
    """Finds the faces."""
    size: int | tuple[int, int]
    """Side of the face crops, or height and width of eye-region crops: then every frame is one,
    and no face is detected. Pixels."""
    margin: int = 0
    """Pixels kept around a face crop on each side, so that it is `size` + 2 `margin` wide."""

    @staticmethod
    def open(detector: str, size: int | tuple[int, int]) -> Cropper:
        """Open a detector by its name (auto, mien, yunet, haar, none); eye-region crops need none.

        Args:
            detector: its name, or a .csv or .parquet file of boxes (`pipeline.known_faces`).
            size: of the crops. Pixels.

        Raises:
            MienError: the detector cannot be had here.
        """
        if isinstance(size, tuple):
            return Cropper(open_detector("none"), size)
        known = is_box_file(detector)
        return Cropper(read_known_faces(detector) if known else open_detector(detector), size)

    def __call__(self, pixels: NDArray[np.uint8], *, photograph: bool = False) -> list[Crop]:
        """Return the crops of a frame: all faces from left to right, or the one eye-region crop.

        Args:
            pixels: RGB [H, W, 3].
            photograph: look for faces that are not upright or fill the image too, where no other
                is found; that takes up to five times as long.

        Raises:
            MienError: it is to be an eye-region crop and cannot be one.
        """
        if isinstance(self.size, tuple):
            return [_eye_region(pixels, self.size)]
        find = find_upright if photograph else find_faces
        return [self.cut(pixels, face) for face in find(pixels, self.detector)]

    def cut(self, pixels: NDArray[np.uint8], face: Face) -> Crop:
        """Return the crop of a face that is known, upright, with the margin around it.

        Args:
            pixels: RGB [H, W, 3].
            face: in these pixels. Of one that is to be turned, `Crop.corner` is in the turned
                frame.
        """
        if isinstance(self.size, tuple):
            raise TypeError("eye-region crops are whole frames")
        if face.turn:
            upright = replace(turn_face(face, face.turn, *pixels.shape[:2]), turn=0)
            return replace(self.cut(np.rot90(pixels, face.turn), upright), face=face)
        x, y, side = crop_square(face)
        wide = self.size + 2 * self.margin
        half = side * wide / self.size / 2
        square = face
        if self.margin:
            square = Face((x - half, y - half, x + half, y + half), face.score, framing="image")
        cut = crop_face(pixels, square, wide)
        return Crop(cut, face, (x - half, y - half), wide / (2 * half))


def largest_face(faces: Sequence[Face]) -> Face | None:
    """Return the face with the largest box, the first of equal ones; None of none."""
    return max(faces, key=lambda f: (f.box[2] - f.box[0]) * (f.box[3] - f.box[1]), default=None)


def central_face(faces: Sequence[Face], pixels: NDArray[np.uint8]) -> Face | None:
    """Return the face whose middle is nearest to that of the image; None of none."""
    height, width = pixels.shape[:2]

    def distance(face: Face) -> float:
        x1, y1, x2, y2 = face.box
        return math.hypot((x1 + x2 - width) / 2, (y1 + y2 - height) / 2)

    return min(faces, key=distance, default=None)


def _eye_region(pixels: NDArray[np.uint8], size: tuple[int, int]) -> Crop:
    height, width = size
    cut = fit_eye_crop(pixels, size)
    scale = width / pixels.shape[1]
    top = (max(1, round(pixels.shape[0] * scale)) - height) // 2
    box = (0.0, 0.0, float(pixels.shape[1]), float(pixels.shape[0]))
    return Crop(cut, Face(box, 1.0, framing="image"), (0.0, top / scale), scale)
