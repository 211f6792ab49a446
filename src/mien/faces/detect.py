"""Faces in an image, always in the same order, by whichever detector there is."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.face import Detector, Face
from mien.faces.haar import HaarDetector
from mien.faces.own import OwnDetector
from mien.faces.yunet import YunetDetector, find_yunet

__all__ = [
    "DETECTORS",
    "Detector",
    "Face",
    "WholeImage",
    "find_faces",
    "open_detector",
    "single_threaded_opencv",
]

DETECTORS = ("auto", "mien", "yunet", "haar", "none")
"""The names that `open_detector` takes."""


class WholeImage:
    """The detector `none`: the image is a face crop already. Its score is 1."""

    name = "none"

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return one face that fills the image; `crop_face` takes the centre square of it."""
        height, width = image.shape[:2]
        return [Face((0.0, 0.0, float(width), float(height)), 1.0, framing="image")]


def open_detector(name: str = "auto", *, yunet: str | Path | None = None) -> Detector:
    """Return a detector.

    Args:
        name: `mien`; `yunet`; `haar`; `none`; or `auto`: `yunet` where its file is found (as
            `mien.faces.yunet.find_yunet` says), else `mien`. The detector's own name says which.
        yunet: YuNet's file.

    Raises:
        MienError: if there is no such detector, or it cannot be had here.
    """
    if name not in DETECTORS:
        raise MienError(f"there is no detector {name}; give one of {', '.join(DETECTORS)}")
    if name == "none":
        return WholeImage()
    if name == "haar":
        return HaarDetector()
    if name == "mien" or (name == "auto" and find_yunet(yunet) is None):
        return OwnDetector()
    return YunetDetector(yunet)


@contextlib.contextmanager
def single_threaded_opencv(detector: Detector) -> Iterator[None]:
    """Keep OpenCV from sharing one detection among threads where there are many detections."""
    if detector.name == "none":
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def find_faces(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Return the faces of an image, from left to right, then from top to bottom.

    A face's place in the list is its `face_id`.

    Args:
        image: RGB [H, W, 3] of any size.
        detector: see `open_detector`.
    """
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"uint8 RGB [H, W, 3] is wanted, not {image.dtype} {list(image.shape)}")
    faces = detector(np.ascontiguousarray(image))
    return sorted(faces, key=lambda face: (*face.box, -face.score))
