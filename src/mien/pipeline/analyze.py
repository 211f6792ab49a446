"""Images in memory or on disk to the faces in them, with their factors."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL.Image import Image

from mien.errors import MienError
from mien.faces.detect import single_threaded_opencv
from mien.faces.face import Box, Face
from mien.media.names import to_text
from mien.pipeline.crops import Crop, Cropper
from mien.pipeline.encode import AnyEncoder, encode_crops
from mien.pipeline.notebook import face_html
from mien.pipeline.prefetch import prefetch
from mien.pipeline.read import ImageLike, read_still
from mien.types import Factors

__all__ = ["AnalyzedFace", "analyze", "find_crops", "join"]


@dataclass(frozen=True, eq=False)
class AnalyzedFace:
    """One face of an image, and what it is made of."""

    image: int
    """Number of the image among those given, from 0."""
    box: Box
    """x1, y1, x2, y2 in the image's pixels; 0 = the outer edge of the first column or row."""
    score: float
    """How sure the detector is, 0 to 1; 1 where the whole image is taken."""
    landmarks: NDArray[np.float32] | None = field(repr=False)
    """x, y in the image's pixels of the image-left eye, the image-right eye, the nose's tip, the
    image-left and the image-right corner of the mouth. [5, 2]; None: the detector gives none."""
    crop: NDArray[np.uint8] = field(repr=False)
    """What the model saw. RGB [S, S, 3]."""
    factors: Factors
    """Of this face alone: one row each."""

    def _repr_html_(self) -> str:
        return face_html(self.crop, self.factors, image=self.image, box=self.box, score=self.score)


def analyze(
    images: ImageLike | Sequence[ImageLike],
    *,
    model: AnyEncoder | None = None,
    device: str = "cpu",
    detector: str = "auto",
    batch_size: int = 64,
    features: bool = False,
) -> list[AnalyzedFace]:
    """Return the faces in images: in the images' order, in each from left to right.

    Args:
        images: one or several of: a path, RGB pixels uint8 [H, W, 3], a Pillow image, an open
            binary file. For videos and folders take `mien.embed`.
        model: from `mien.load`; None loads the shipped weights onto `device`. Factors are tensors,
            of a `GraphEncoder` NumPy arrays.
        device: cpu, cuda, cuda:N, mps. A given model stays where it is.
        detector: auto, mien, yunet, haar; none: every image is a face cut out from hairline to
            chin.
        batch_size: faces encoded at a time.
        features: read the encoders' features too, which takes about as long again.

    Raises:
        MienError: an image cannot be read, or the detector or device cannot be had here.
    """
    given = [images] if isinstance(images, (str, Path, np.ndarray, Image)) else images
    given = list(given) if isinstance(given, Sequence) else [given]
    if batch_size < 1:
        raise MienError(f"batch_size is at least 1, not {batch_size}")
    if model is None:
        from mien.model import load  # torch, whose tensors users calculate with

        model = load(device=device)
    cropper = Cropper.open(detector, model.crop_size)
    faces: list[AnalyzedFace] = []
    with contextlib.closing(_crops(given, cropper)) as crops:
        while batch := list(islice(crops, batch_size)):
            pixels = [crop.pixels for _, crop, _ in batch]
            names = [_name(given, number) for number, _, _ in batch]
            factors = encode_crops(pixels, model, names=names, features=features)
            assert isinstance(factors, Factors)
            faces += join(batch, factors)
    return faces


def find_crops(
    image: ImageLike, cropper: Cropper, *, name: str | None = None, photograph: bool = True
) -> list[tuple[Crop, Face]]:
    """Return the crops of an image from left to right, each with its face in the image's pixels.

    Args:
        image: one that `analyze` takes.
        cropper: of face crops.
        name: what errors call the image.
        photograph: as for `Cropper`.

    Raises:
        MienError: the image cannot be read.
    """
    frame = read_still(image, name=name)
    assert frame.pixels is not None
    crops = cropper(frame.pixels, photograph=photograph)
    return [(crop, crop.face.scaled(frame.scale)) for crop in crops]


def join(found: Sequence[tuple[int, Crop, Face]], factors: Factors) -> list[AnalyzedFace]:
    """Return faces of what was found, number of the image first, and its factors, a row each."""
    return [
        AnalyzedFace(
            *(number, face.box, face.score, face.landmarks, crop.pixels),
            factors[row : row + 1],
        )
        for row, (number, crop, face) in enumerate(found)
    ]


def _crops(given: Sequence[ImageLike], cropper: Cropper) -> Generator[tuple[int, Crop, Face]]:
    """Yield each image's number, each crop and its face in the image's own pixels."""

    def work(number: int) -> list[tuple[int, Crop, Face]]:
        image = given[number]
        # A path stands in the message already.
        name = None if isinstance(image, (str, Path)) else _name(given, number)
        return [(number, *found) for found in find_crops(image, cropper, name=name)]

    tasks = (partial(work, number) for number in range(len(given)))
    with single_threaded_opencv(cropper.detector), contextlib.closing(prefetch(tasks)) as found:
        for crops in found:
            yield from crops


def _name(given: Sequence[ImageLike], number: int) -> str:
    image = given[number]
    return to_text(image) if isinstance(image, (str, Path)) else f"image {number}"
