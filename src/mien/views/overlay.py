"""What is read off faces, drawn over their image or video: boxes, tracks, pose, gaze, expression.

Of a video a strip below it shows the last seconds of each track's expression: the length of the
expression code, that is the distance from the person's neutral face.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.face import Box
from mien.faces.track import Tracker
from mien.media.frame import Frame
from mien.pipeline.crops import Cropper
from mien.pipeline.encode import Encoder, to_batch
from mien.pipeline.portrait import no_face_in
from mien.pipeline.read import read_media
from mien.probes.gaze import Calibration, estimate
from mien.views.gaze_arrow import FaceGaze, draw_gazes
from mien.views.gaze_film import no_branch, placed

__all__ = ["OverlayReader", "SeenFace", "film_overlay", "image_overlay"]

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

STRIP_S = 5.0
"""Seconds of the past that the strip shows."""
_TRACKS: tuple[Colour, ...] = (
    *((90, 160, 255), (255, 150, 60), (90, 210, 120), (255, 95, 100), (185, 140, 255)),
    *((200, 150, 120), (255, 140, 210), (170, 185, 200), (225, 215, 70), (80, 220, 235)),
)
_AXES: tuple[tuple[int, float, Colour], ...] = (
    (0, 1.0, (255, 90, 79)),
    (1, 1.0, (67, 209, 124)),
    (2, -1.0, (90, 162, 255)),
)
"""Column of the rotation, its sign, colour: right, down, and where the face faces."""
_AXIS = 0.45
"""Length of an axis across the view, in sides of the box."""
_BACK, _LINES, _TEXT = (24, 27, 31), (70, 78, 86), (225, 228, 232)
_SHIFT = 4
_FONT = cv2.FONT_HERSHEY_SIMPLEX


@dataclass(frozen=True, eq=False)
class SeenFace:
    """What is drawn of one face."""

    box: Box
    rotation: NDArray[np.float64]
    """Canonical to camera. [3, 3]."""
    expression: float
    """Length of the expression code."""
    gaze: FaceGaze | None
    """None: no calibration is given, or no open eyes are seen."""


class OverlayReader:
    """Finds the faces of an image and reads off them what is drawn."""

    def __init__(
        self, model: Encoder, calibration: Calibration | None, *, detector: str = "auto"
    ) -> None:
        """Open the detector.

        Args:
            model: encodes.
            calibration: makes directions of gaze codes; None: no gaze is drawn.
            detector: auto, mien, yunet or haar; none: every image is a face crop already.

        Raises:
            MienError: the calibration belongs to other weights, or the detector cannot be had here.
        """
        if calibration is not None:
            if model.config.gaze is None:
                raise no_branch(model)
            calibration.check_model(model.weights_id, model.config.gaze.code_dim)
        self._model, self._calibration = model, calibration
        self._cropper = Cropper.open(detector, model.crop_size)
        self.images = self.without_face = self.faces = 0

    def __call__(self, pixels: Pixels) -> list[SeenFace]:
        """Return the faces from left to right.

        Args:
            pixels: RGB uint8. [H, W, 3].
        """
        crops = self._cropper(pixels)
        self.images += 1
        self.faces += len(crops)
        self.without_face += not crops
        if not crops:
            return []
        factors = self._model.encode(to_batch([crop.pixels for crop in crops]))
        rotation = factors.pose.rotation.double().cpu().numpy()
        strength = factors.expression.double().norm(dim=1).tolist()
        gazes: Sequence[FaceGaze | None] = [None] * len(crops)
        if self._calibration is not None and factors.gaze is not None:
            looks = estimate(self._calibration, factors)
            eyes = factors.gaze.eyes.double().cpu().numpy()
            gazes = [
                placed(crop, eyes[row], looks.direction[row], float(looks.std_rad[row]))
                if np.isfinite(looks.direction[row]).all()
                else None
                for row, crop in enumerate(crops)
            ]
        return [
            SeenFace(crop.face.box, rotation[row], strength[row], gazes[row])
            for row, crop in enumerate(crops)
        ]


def image_overlay(path: str | Path, reader: OverlayReader) -> Pixels:
    """Return an image, or a video's first frame with a face, with boxes, pose axes and gaze.

    Raises:
        MienError: the file cannot be read, or shows no face.
    """
    for frame in read_media(path):
        if frame.pixels is not None and (faces := reader(frame.pixels)):
            return _drawn(frame.pixels, faces, range(len(faces)), named=False)
    raise no_face_in(path)


def film_overlay(path: str | Path, reader: OverlayReader) -> Iterator[Frame]:
    """Yield every frame of a video drawn over, a strip below; a broken frame repeats the last.

    Raises:
        MienError: at the end if no frame showed a face; if the file cannot be read.
    """
    tracker, strip = Tracker(), _Strip()
    last: Pixels | None = None
    for frame in read_media(path):
        if frame.pixels is not None:
            time_s = frame.time_s
            if time_s is None:
                raise MienError(f"{path} is no video; name --out X.png")
            faces = reader(frame.pixels)
            tracks = tracker.update([face.box for face in faces], time_s=time_s)
            strip.add(time_s, {t: f.expression for t, f in zip(tracks, faces, strict=True)})
            image = _drawn(frame.pixels, faces, tracks, named=True)
            last = np.concatenate([image, strip.image(image.shape[1], image.shape[0])])
        if last is not None:
            yield replace(frame, pixels=last)
    if not reader.faces:
        raise no_face_in(path)


def _drawn(
    pixels: Pixels, faces: Sequence[SeenFace], tracks: Sequence[int], *, named: bool
) -> Pixels:
    """Return the image with its faces' boxes, axes and gaze."""
    image = draw_gazes(pixels, [face.gaze for face in faces if face.gaze is not None])
    for face, track in zip(faces, tracks, strict=True):
        colour = _TRACKS[track % len(_TRACKS)]
        x1, y1, x2, y2 = face.box
        width = max(1, round((x2 - x1) / 90))
        corners = (round(x1), round(y1)), (round(x2) - 1, round(y2) - 1)
        for stroke, paint in ((width + 2, (0, 0, 0)), (width, colour)):
            cv2.rectangle(image, *corners, paint, stroke)
        middle = np.array([(x1 + x2) / 2, (y1 + y2) / 2])
        for column, sign, paint in _AXES:
            tip = middle + sign * _AXIS * (x2 - x1) * face.rotation[:2, column]
            for stroke, tint in ((2 * width + 2, (0, 0, 0)), (2 * width, paint)):
                cv2.line(image, _at(*middle), _at(*tip), tint, stroke, cv2.LINE_AA, _SHIFT)
        if named:
            size = max(0.35, (x2 - x1) / 320)
            place = (round(x1) + 3, max(round(y1) - 5, round(18 * size) + 4))
            _write(image, f"track {track}", place, colour, size)
    return image


class _Strip:
    """The expression of each track over the last seconds."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[int, float]]] = deque()
        self._largest = 0.0

    def add(self, time_s: float, values: dict[int, float]) -> None:
        """Take in the values of a frame, by track."""
        self._past.append((time_s, values))
        while self._past[0][0] < time_s - STRIP_S:
            self._past.popleft()
        self._largest = max(self._largest, *values.values(), 1e-6) if values else self._largest

    def image(self, width: int, height: int) -> Pixels:
        """Return the strip below a frame of this size; 0 to the largest value so far. RGB."""
        # Video has pairs of rows: so does the strip, whatever the frame has.
        tall = max(24, round(height / 6))
        tall += (height + tall) % 2
        image = np.full((tall, width, 3), _BACK, np.uint8)
        now = self._past[-1][0]
        cv2.line(image, (0, tall - 2), (width, tall - 2), _LINES, 1)
        lines: dict[int, list[tuple[int, int]]] = {}
        for time_s, values in self._past:
            for track, value in values.items():
                x = (1 - (now - time_s) / STRIP_S) * (width - 4)
                y = tall - 3 - (tall - 8) * value / self._largest
                lines.setdefault(track, []).append(_at(x, y))
        for track, points in lines.items():
            corners = np.array(points, np.int32)[:, None]
            colour = _TRACKS[track % len(_TRACKS)]
            cv2.polylines(image, [corners], False, colour, 2, cv2.LINE_AA, _SHIFT)
            x, y = points[-1]
            cv2.circle(image, (x, y), 3 << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)
        size = max(0.3, tall / 130)
        _write(image, f"expression, last {STRIP_S:g} s", (4, round(16 * size) + 4), _TEXT, size)
        return image


def _at(x: float, y: float) -> tuple[int, int]:
    """Return a place as OpenCV draws at: fractions of pixels, the first pixel's middle is 0."""
    return round((x - 0.5) * (1 << _SHIFT)), round((y - 0.5) * (1 << _SHIFT))


def _write(image: Pixels, text: str, place: tuple[int, int], colour: Colour, size: float) -> None:
    for stroke, paint in ((3, (0, 0, 0)), (1, colour)):
        cv2.putText(image, text, place, _FONT, size, paint, stroke, cv2.LINE_AA)
