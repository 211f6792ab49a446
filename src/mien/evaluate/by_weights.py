"""The factors of a data set's images, by weights."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from mien.columns import CODES, EYES_FOUND, FACE_EMBEDDING, FEATURES, GAZE_CODE, NUMBERS
from mien.errors import MienError
from mien.evaluate.protocol import FactorColumns, GetFactors, Images
from mien.faces.detect import find_faces, single_threaded_opencv
from mien.faces.face import Face
from mien.model import Model
from mien.pipeline.crops import Cropper, central_face
from mien.pipeline.encode import encode_crops, lengths_of
from mien.pipeline.prefetch import prefetch
from mien.table.rows import factor_columns

__all__ = ["FACE_COLUMNS", "GAZE_COLUMNS", "face_meant", "factors_by_weights"]

GAZE_COLUMNS = (GAZE_CODE, EYES_FOUND)
"""What is read off the eyes; `eyes_found` is 1 or 0."""
FACE_COLUMNS = tuple(name for name in (*CODES, *NUMBERS) if name != GAZE_CODE)
"""What is read off a face, by the names of the table's columns."""

Progress = Callable[[int, int], None]


def factors_by_weights(
    model: Model,
    *,
    detector: str = "auto",
    batch_size: int = 64,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> GetFactors:
    """Return what gives the factors of images by these weights.

    Args:
        model: reads the factors.
        detector: auto, mien, yunet, haar or none; opened when faces are to be detected.
        batch_size: faces encoded at a time.
        workers: threads that read and detect; None: one a processor, at most 16.
        on_progress: called with how many images are done, and of how many.

    Raises:
        MienError: by what is returned: a column is unknown, or asked of weights or images that
            have none; an image cannot be read or is no eye-region crop; factors are not finite.
    """
    return _ByWeights(model, detector, batch_size, workers, on_progress or (lambda _, __: None))


@dataclass(frozen=True)
class _Cut:
    """What was cut out of an image."""

    row: int
    crop: NDArray[np.uint8] | None
    """RGB, as the model wants it; None: no face."""
    detected: bool
    """False where there is no face, or the fallback square was taken."""


@dataclass(frozen=True)
class _ByWeights:
    model: Model
    detector: str
    batch_size: int
    workers: int | None
    on_progress: Progress
    reads_pixels: bool = True

    @property
    def columns(self) -> frozenset[str]:
        """Return the names of the columns that these weights give."""
        gaze = () if self.model.config.gaze is None else GAZE_COLUMNS
        return frozenset((*lengths_of(self.model, features=True), *NUMBERS, *gaze))

    def __call__(self, images: Images, columns: Sequence[str], /) -> FactorColumns:
        """Return the named columns of all images."""
        self._refuse(images, columns)
        model = self.model
        if model.config.gaze is not None and not any(name in GAZE_COLUMNS for name in columns):
            # Looking at eyes takes time, and the face's factors are the same without.
            model = model.of_faces_alone()
        found = np.zeros(len(images), dtype=bool)
        detected = np.zeros(len(images), dtype=bool)
        kept = self._blank(columns, len(images))
        with contextlib.closing(self._batches(images)) as batches:
            for cuts in batches:
                crops = [cut.crop for cut in cuts if cut.crop is not None]
                rows = np.array([cut.row for cut in cuts if cut.crop is not None], dtype=np.int64)
                detected[[cut.row for cut in cuts]] = [cut.detected for cut in cuts]
                found[rows] = True
                if crops:
                    factors = encode_crops(
                        crops,
                        model,
                        names=[images.names[row] for row in rows],
                        eyes_only=images.crop == "eyes",
                        features=FEATURES in columns,
                    )
                    values = factor_columns(factors)
                    for name in columns:
                        kept[name][rows] = values[name]
                    if GAZE_CODE in columns:
                        # Where no eyes are found the code means nothing.
                        kept[GAZE_CODE][rows[~values[EYES_FOUND]]] = np.nan
                self.on_progress(cuts[-1].row + 1, len(images))
        return FactorColumns(found, detected, kept)

    def _batches(self, images: Images) -> Generator[list[_Cut]]:
        """Yield what is cut out of all images in order, read and detected on threads."""
        size = self.model.eye_crop_size if images.crop == "eyes" else self.model.crop_size
        cropper = Cropper.open(self.detector if images.crop == "detect" else "none", size)
        tasks = (partial(_cut, images, cropper, row) for row in range(len(images)))
        with (
            single_threaded_opencv(cropper.detector),
            contextlib.closing(prefetch(tasks, workers=self.workers)) as cuts,
        ):
            while batch := list(islice(cuts, self.batch_size)):
                yield batch

    def _blank(self, columns: Sequence[str], count: int) -> dict[str, NDArray[np.float32]]:
        """Return columns of NaN. [N, D] of codes, [N] of numbers."""
        lengths = lengths_of(self.model, features=True)
        shapes = {name: (count, lengths[name]) if name in lengths else (count,) for name in columns}
        return {name: np.full(shape, np.nan, np.float32) for name, shape in shapes.items()}

    def _refuse(self, images: Images, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in (*FACE_COLUMNS, *GAZE_COLUMNS):
                raise MienError(f"weights give no column {name} without a calibration")
            if name in GAZE_COLUMNS and self.model.config.gaze is None:
                raise MienError(
                    f"the weights {self.model.weights_id} have no gaze branch, which this data set "
                    "needs: give others with --weights"
                )
            if name == FACE_EMBEDDING and not self.model.config.face_embedding_dim:
                raise MienError(f"the weights {self.model.weights_id} have no face embedding")
            if name in FACE_COLUMNS and images.crop == "eyes":
                raise MienError(f"eye-region crops show no {name}; give whole images")


def _cut(images: Images, cropper: Cropper, row: int) -> _Cut:
    """Read an image and cut the face or the eyes out of it."""
    pixels = images.read(row)
    if images.crop == "eyes":
        try:
            return _Cut(row, cropper(pixels)[0].pixels, detected=True)
        except MienError as error:
            raise MienError(f"{images.names[row]}: {error}") from error
    face, detected = face_meant(images, cropper, pixels, row)
    crop = None if face is None else cropper.cut(pixels, face).pixels
    return _Cut(row, crop, detected)


def face_meant(
    images: Images, cropper: Cropper, pixels: NDArray[np.uint8], row: int
) -> tuple[Face | None, bool]:
    """Return the face that is meant, and whether it is known and not the fallback square.

    Args:
        images: say how faces stand in them.
        cropper: its detector is asked where the face is not known.
        pixels: of the image. RGB [H, W, 3].
        row: its number.
    """
    if images.boxes is not None:
        x1, y1, x2, y2 = map(float, images.boxes[row])
        return Face((x1, y1, x2, y2), 1.0, framing="image"), True
    face = central_face(find_faces(pixels, cropper.detector), pixels)
    if face is not None or images.fallback is None:
        return face, face is not None
    height, width = pixels.shape[:2]
    x1, y1, x2, y2 = images.fallback
    square = (x1 * width, y1 * height, x2 * width, y2 * height)
    return Face(square, 0.0, framing="image"), False
