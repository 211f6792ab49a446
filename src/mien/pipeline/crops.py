"""The factors of a data set's images, by weights: read, find, cut, encode; for protocols."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.protocol import FactorColumns, GetFactors, Images
from mien.faces.crop import crop_face
from mien.faces.detect import WholeImage, find_faces, open_detector
from mien.faces.eye_crop import fit_eye_crop
from mien.faces.face import Detector, Face
from mien.model import Model
from mien.pipeline.prefetch import prefetch
from mien.table.rows import factor_columns
from mien.table.schema import FACE_EMBEDDING, FEATURES
from mien.types import Factors, GazeCode

__all__ = ["FACE_COLUMNS", "GAZE_COLUMNS", "factors_by_weights"]

ANGLES = ("yaw_rad", "pitch_rad", "roll_rad")
LIGHT = ("light_ambient", "light_diffuse", "light_x", "light_y", "light_z")
CODES = ("identity", "expression", "texture_code", "shape_code")
FACE_COLUMNS = (*CODES, *ANGLES, *LIGHT, FACE_EMBEDDING, FEATURES)
"""What is read off a face, by the names of the table's columns."""
GAZE_COLUMNS = ("gaze_code", "eyes_found")
"""What is read off the eyes; `eyes_found` is 1 or 0."""

_MOST_WORKERS = 16
_WAITING = 4

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
        detector: auto, haar, yunet or none; opened when images are to be searched.
        batch_size: faces encoded at a time.
        workers: threads that read and search; None: one a processor, up to 16.
        on_progress: told how many images are done, and of how many.

    Raises:
        MienError: by what is returned: a column is unknown, or asked of weights or images that
            have none; an image cannot be read or is no eye-region crop; factors are not finite.
    """
    threads = max(1, workers or min(os.cpu_count() or 1, _MOST_WORKERS))
    return _ByWeights(model, detector, batch_size, threads, on_progress or (lambda _, __: None))


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
    threads: int
    on_progress: Progress
    reads_pixels: bool = True

    @property
    def columns(self) -> frozenset[str]:
        """Return the columns that these weights give of whole images."""
        config = self.model.config
        lacking = {*(() if config.face_embedding_dim else (FACE_EMBEDDING,))}
        lacking |= {*(() if config.gaze is not None else GAZE_COLUMNS)}
        return frozenset({*FACE_COLUMNS, *GAZE_COLUMNS} - lacking)

    def __call__(self, images: Images, columns: Sequence[str], /) -> FactorColumns:
        """Return the named columns of all images."""
        self._refuse(images, columns)
        eyes_only = images.crop == "eyes"
        model = self.model
        if model.config.gaze is not None and not any(name in GAZE_COLUMNS for name in columns):
            # Looking at eyes takes time, and the face's factors are the same without.
            model = Model(model.network, weights_id=model.weights_id)
        found = np.zeros(len(images), dtype=bool)
        detected = np.zeros(len(images), dtype=bool)
        kept = {name: _blank(self.model, name, len(images)) for name in columns}
        with contextlib.closing(self._batches(images)) as batches:
            for cuts in batches:
                crops = [cut.crop for cut in cuts if cut.crop is not None]
                rows = np.array([cut.row for cut in cuts if cut.crop is not None], dtype=np.int64)
                detected[[cut.row for cut in cuts]] = [cut.detected for cut in cuts]
                found[rows] = True
                if crops:
                    # uint8 [B, H, W, 3] => [B, 3, H, W]; the model brings it to [0, 1]
                    batch = torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
                    factors = (
                        model.encode_eyes(batch)
                        if eyes_only
                        else model.encode(batch, features=FEATURES in columns)
                    )
                    values, sound = _values(factors, columns)
                    self._refuse_nonsense(sound, [images.names[row] for row in rows])
                    for name in columns:
                        kept[name][rows] = values[name]
                self.on_progress(cuts[-1].row + 1, len(images))
        return FactorColumns(found, detected, kept)

    def _batches(self, images: Images) -> Generator[list[_Cut]]:
        """Yield what is cut out of all images in order, read and searched on threads."""
        searched = images.crop == "detect" and self.detector != "none"
        opened = open_detector(self.detector) if searched else WholeImage()
        size = self.model.eye_crop_size if images.crop == "eyes" else self.model.crop_size
        cut = partial(_cut, images, opened, size)
        tasks = (partial(cut, row) for row in range(len(images)))
        with _one_thread_each(searched=searched):
            cuts = prefetch(tasks, workers=self.threads, ahead=self.threads + _WAITING)
            while batch := list(islice(cuts, self.batch_size)):
                yield batch

    def _refuse(self, images: Images, columns: Sequence[str]) -> None:
        for name in columns:
            if name not in (*FACE_COLUMNS, *GAZE_COLUMNS):
                raise MienError(f"weights give no column {name} without a calibration")
            if name in GAZE_COLUMNS and self.model.config.gaze is None:
                raise MienError(
                    f"the weights {self.model.weights_id} know no gaze, which this data set is "
                    "about: give others with --weights"
                )
            if name == FACE_EMBEDDING and not self.model.config.face_embedding_dim:
                raise MienError(f"the weights {self.model.weights_id} know no face embedding")
            if name in FACE_COLUMNS and images.crop == "eyes":
                raise MienError(f"eye-region crops show no {name}; give whole images")

    def _refuse_nonsense(self, sound: NDArray[np.bool_], names: Sequence[str]) -> None:
        if not sound.all():
            raise MienError(
                f"the weights {self.model.weights_id} give factors that are not finite for "
                f"{names[int(sound.argmin())]}: they are broken; take others with --weights"
            )


@contextlib.contextmanager
def _one_thread_each(*, searched: bool) -> Iterator[None]:
    """Keep OpenCV from sharing one search among threads: there are as many searches."""
    if not searched:
        yield
        return
    import cv2

    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _cut(images: Images, detector: Detector, size: int | tuple[int, int], row: int) -> _Cut:
    """Read an image and cut the face or the eyes out of it."""
    pixels = images.read(row)
    if isinstance(size, tuple):
        try:
            return _Cut(row, fit_eye_crop(pixels, size), detected=True)
        except MienError as error:
            raise MienError(f"{images.names[row]}: {error}") from error
    if images.boxes is not None:
        x1, y1, x2, y2 = map(float, images.boxes[row])
        face = Face((x1, y1, x2, y2), 1.0, framing="image")
        return _Cut(row, crop_face(pixels, face, size), detected=True)
    height, width = pixels.shape[:2]
    faces = find_faces(pixels, detector)
    if faces:
        face = min(faces, key=partial(_off_centre, width=width, height=height))
        return _Cut(row, crop_face(pixels, face, size), detected=True)
    if images.fallback is None:
        return _Cut(row, None, detected=False)
    x1, y1, x2, y2 = images.fallback
    square = Face((x1 * width, y1 * height, x2 * width, y2 * height), 0.0, framing="image")
    return _Cut(row, crop_face(pixels, square, size), detected=False)


def _off_centre(face: Face, *, width: int, height: int) -> float:
    """Return how far the middle of a face is from that of the image. Pixels."""
    x1, y1, x2, y2 = face.box
    return math.hypot((x1 + x2 - width) / 2, (y1 + y2 - height) / 2)


def _blank(model: Model, name: str, count: int) -> NDArray[np.float32]:
    """Return a column of NaN. [N, D] of codes, [N] of numbers."""
    config = model.config
    lengths: Mapping[str, int] = {
        "identity": config.texture_dim + config.shape_dim,
        "expression": config.texture_dim + config.shape_dim,
        "texture_code": config.texture_dim,
        "shape_code": config.shape_dim,
        FACE_EMBEDDING: config.face_embedding_dim,
        FEATURES: model.features_dim,
        "gaze_code": 0 if config.gaze is None else config.gaze.code_dim,
    }
    shape = (count, lengths[name]) if name in lengths else (count,)
    return np.full(shape, np.nan, dtype=np.float32)


def _values(
    factors: Factors | GazeCode, columns: Sequence[str]
) -> tuple[dict[str, NDArray[np.float32]], NDArray[np.bool_]]:
    """Return the wanted columns of a batch, and which rows are finite where they mean something.

    Gaze codes are NaN where no eyes are found.
    """
    code = factors.gaze if isinstance(factors, Factors) else factors
    given = factor_columns(factors)
    # A copy: what torch gives shares its memory.
    values = {name: np.array(given[name], dtype=np.float32) for name in columns}
    sound = np.ones(len(factors), dtype=bool)
    for name, value in values.items():
        means = np.ones(len(factors), dtype=bool)
        if name == "gaze_code" and code is not None:
            means = code.eyes_found.cpu().numpy()
            value[~means] = np.nan
        sound &= ~means | np.isfinite(value).reshape(len(value), -1).all(axis=1)
    return values, sound
