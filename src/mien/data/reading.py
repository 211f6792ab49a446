"""Pieces to crops for training: every face of an image or of a video's frames, or eye regions."""

from __future__ import annotations

import contextlib
import io
import threading
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.sources import ZIP_FAULTS, Box, Piece, open_member
from mien.errors import MienError
from mien.faces.detect import WholeImage, find_faces
from mien.faces.face import Detector, Face
from mien.faces.track import Tracker
from mien.media.names import to_text
from mien.pipeline.crops import Crop, Cropper, largest_face
from mien.pipeline.read import Frame, read_media, read_still

__all__ = ["NO_FACE", "PieceCropper", "Pixels", "TrainingCrop", "bare_reasons"]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
NO_FACE = "no face is found"

Points = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class TrainingCrop:
    """One face or eye-region crop, and where in which file it is from."""

    pixels: Pixels
    """RGB. uint8 [P, P, 3], of an eye-region crop [H, W, 3]."""
    name: str
    """The piece and, in a video, the frame."""
    clip: str
    """Crops of one clip share this; empty = a still."""
    corner: tuple[float, float]
    """x, y of its top left corner in the file's image. Pixels, 0 = the outer edge."""
    scale: float
    """Pixels of the crop per pixel of the file."""
    landmarks: Points | None = None
    """As the detector found them, counted as in `corner`. float32 [5, 2]."""
    eye_crop: bool = False
    """Whether it is an eye-region crop."""
    real: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    """x1, y1, x2, y2 of the part that the file's image covers, 0 to 1; around it the image's
    outermost pixels are repeated."""
    rotation: Points | None = None
    """Head -> camera frame where it is known. float32 [3, 3]."""

    def place(self, points: Points) -> Points:
        """Return points of the file's image in pixels of the crop, pixel centres at integers.

        Args:
            points: x, y in the file's pixels, counted as in `corner`. [N, 2].
        """
        moved = (points - np.asarray(self.corner)) * self.scale - 0.5
        return moved.astype(np.float32)


@dataclass(frozen=True)
class PieceCropper:
    """Cuts pieces into crops; may be used from several threads at once."""

    side: int
    """S, side of the face crop. Pixels."""
    margin: int
    """Pixels kept around the crop on each side, so P = S + 2 margin."""
    detector: Detector
    """Finds the faces where they are not known."""
    every: int = 1
    """Take every n-th frame of a video."""
    eye_crop_size: tuple[int, int] = (0, 0)
    """Height and width of eye-region crops, where there are some. Pixels."""
    rotations: Mapping[Path, Points] = field(default_factory=dict)
    """Heads' rotations by the image's file, where they are known. [3, 3]."""
    _of_thread: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def crops(self, piece: Piece) -> list[TrainingCrop]:
        """Return the crops of a piece.

        Raises:
            MienError: it cannot be read, or there is no face; the message is the bare reason.
        """
        with bare_reasons(piece):
            found = list(self._eye_crops(piece) if piece.eye_crop else self._faces(piece))
            if not found and not piece.eye_crop:
                raise MienError(NO_FACE)
        return found

    def frames(self, piece: Piece) -> Iterator[tuple[Frame, Pixels]]:
        """Yield the image, or the sampled frames of a video, as they are; RGB uint8 [H, W, 3].

        Raises:
            MienError: it cannot be read.
        """
        yield from self._frames(piece, every=self.every)

    def _faces(self, piece: Piece) -> Iterator[TrainingCrop]:
        """Yield an image's faces; or those of a video's frames, each tracked face a clip."""
        detector = WholeImage() if piece.face_crop else self.detector
        cropper = Cropper(detector, self.side, self.margin)
        tracker = Tracker()
        for frame, pixels in self._frames(piece, every=1 if piece.boxes else self.every):
            if piece.boxes:
                known = [box for box in piece.boxes if box.frame == frame.index or not piece.video]
                # Boxes are in the file's pixels, and the image may have been reduced.
                faces = [_known(piece, box).scaled(1 / frame.scale) for box in known]
                tracks = [box.track for box in known]
            else:
                faces = find_faces(pixels, detector)
                tracks = []
                if piece.video:
                    boxes = [face.box for face in faces]
                    tracks = tracker.update(boxes, time_s=frame.time_s or 0.0)
            if piece.video:
                for face, track in zip(faces, tracks, strict=True):
                    crop = cropper.cut(pixels, face)
                    yield _kept(crop, frame, f"{piece.name}#{frame.index}", f"{piece.name}#{track}")
                continue
            if piece.clip:  # a clip is of one person: the one in front
                faces = [face for face in (largest_face(faces),) if face is not None]
            known = self.rotations.get(piece.file) if not piece.member else None
            for face in faces:
                crop = _kept(cropper.cut(pixels, face), frame, piece.name, piece.clip)
                yield replace(crop, rotation=known)

    def _eye_crops(self, piece: Piece) -> Iterator[TrainingCrop]:
        """Yield the image, or each sampled frame, as an eye-region crop; a video is one clip."""
        cropper = Cropper(self.detector, self.eye_crop_size)
        for frame, pixels in self._frames(piece, every=self.every):
            name = f"{piece.name}#{frame.index}" if piece.video else piece.name
            clip = piece.name if piece.video else piece.clip
            for crop in cropper(pixels):
                yield _kept(crop, frame, name, clip, eye_crop=True)

    def _frames(self, piece: Piece, *, every: int) -> Iterator[tuple[Frame, Pixels]]:
        """Yield the frames of a piece that can be decoded."""
        if piece.member:
            frames = iter([self._unpacked(piece)])
        elif piece.video:
            frames = read_media(piece.file, kind="video", every=every)
        else:
            frames = iter([read_still(piece.file)])
        for frame in frames:
            if frame.pixels is not None:
                yield frame, frame.pixels

    def _unpacked(self, piece: Piece) -> Frame:
        try:
            with open_member(self._archive(piece.file), piece.member) as file:
                data = file.read()
        except ZIP_FAULTS as error:
            raise MienError("cannot be unpacked") from error
        # Called by the zip's name, which `crops` takes out of the reason.
        return read_still(io.BytesIO(data), name=to_text(piece.file))

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """Return this thread's own handle of a zip."""
        archives: dict[Path, zipfile.ZipFile] = self._of_thread.__dict__.setdefault("archives", {})
        if path not in archives:
            archives[path] = zipfile.ZipFile(path)
        return archives[path]


@contextlib.contextmanager
def bare_reasons(piece: Piece) -> Iterator[None]:
    """Take a piece's name out of the errors of the block.

    Reasons are counted: the file's name must not make each one different.
    """
    try:
        yield
    except MienError as error:
        reason = str(error)
        for name in (to_text(piece.file), piece.file.name):
            reason = reason.replace(name, "").replace("  ", " ")
        raise MienError(reason.strip()) from error


def _kept(
    crop: Crop, frame: Frame, name: str, clip: str, *, eye_crop: bool = False
) -> TrainingCrop:
    """Return a crop with its place in the file, whose image may have been reduced."""
    corner = (crop.corner[0] * frame.scale, crop.corner[1] * frame.scale)
    landmarks = crop.face.scaled(frame.scale).landmarks
    scale = crop.scale / frame.scale
    return TrainingCrop(
        crop.pixels, name, clip, corner, scale, landmarks, eye_crop, _real(crop, frame)
    )


def _real(crop: Crop, frame: Frame) -> tuple[float, float, float, float]:
    """Return the part of a crop that the frame covers."""
    assert frame.pixels is not None
    height, width = frame.pixels.shape[:2]
    shown = [side / crop.scale for side in crop.pixels.shape[1::-1]]
    (x, y), (wide, high) = crop.corner, shown
    parts = (-x / wide, -y / high, (width - x) / wide, (height - y) / high)
    x1, y1, x2, y2 = (min(1.0, max(0.0, part)) for part in parts)
    return x1, y1, x2, y2


def _known(piece: Piece, box: Box) -> Face:
    return Face(box.corners, 1.0, framing=piece.framing, turn=box.turn)
