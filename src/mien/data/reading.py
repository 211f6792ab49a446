"""Pieces to crops: read, find the face, cut it out with room around it."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.sources import Piece
from mien.errors import MienError
from mien.faces.crop import crop_face, crop_square
from mien.faces.detect import find_faces
from mien.faces.eye_crop import fit_eye_crop
from mien.faces.face import Detector, Face
from mien.faces.track import Tracker
from mien.media.image import LoadedImage, read_image
from mien.media.names import to_text
from mien.media.video import Frame, read_frames

__all__ = ["Crop", "Cutter", "Pixels"]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
Points = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class Crop:
    """One face or eye-region crop, cut out."""

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

    def place(self, points: Points) -> Points:
        """Return points of the file's image in pixels of the crop, pixel centres at integers.

        Args:
            points: x, y in the file's pixels, counted as in `corner`. [N, 2].
        """
        moved = (points - np.asarray(self.corner)) * self.scale - 0.5
        return moved.astype(np.float32)


@dataclass(frozen=True)
class Cutter:
    """Cuts pieces into crops; may be used from several threads at once."""

    side: int
    """S, side of the face crop. Pixels."""
    room: int
    """Pixels kept around the crop on each side, so P = S + 2 room."""
    detector: Detector
    """Finds the faces where they are not known."""
    every: int = 1
    """Take every n-th frame of a video."""
    eye_crop_size: tuple[int, int] = (0, 0)
    """Height and width of eye-region crops, where there are some. Pixels."""
    _of_thread: threading.local = field(default_factory=threading.local, repr=False, compare=False)

    def crops(self, piece: Piece) -> list[Crop]:
        """Return the crops of a piece.

        Raises:
            MienError: it cannot be read, or there is no face; the message is the bare reason.
        """
        cut = self._eye_crops if piece.eye_crop else self._video if piece.video else self._image
        try:
            return list(cut(piece))
        except MienError as error:
            # Reasons are counted: the file's name must not make each one different.
            reason = str(error)
            for name in (to_text(piece.file), piece.file.name):
                reason = reason.replace(name, "").replace("  ", " ")
            raise MienError(reason.strip()) from error

    def _image(self, piece: Piece) -> Iterator[Crop]:
        image = self._read(piece)
        if piece.boxes:
            # Boxes are in the file's pixels, and the image may have been reduced.
            faces = [_known(piece, box.corners).scaled(1 / image.scale) for box in piece.boxes]
        else:
            faces = self._find(image.pixels)
        if not faces:
            raise MienError("no face is found")
        if piece.clip:  # a clip is of one person: the one in front
            faces = [max(faces, key=lambda face: crop_square(face)[2])]
        for face in faces:
            yield self._cut(image.pixels, face, piece.name, piece.clip, reduced=image.scale)

    def _eye_crops(self, piece: Piece) -> Iterator[Crop]:
        """Yield the whole image, or each sampled frame, as an eye crop; a video is one clip."""
        if not piece.video:
            image = self._read(piece)
            yield self._eye_crop(image.pixels, piece.name, piece.clip, reduced=image.scale)
            return
        for frame in read_frames(piece.file, every=self.every):
            if frame.pixels is not None:
                yield self._eye_crop(frame.pixels, f"{piece.name}#{frame.index}", piece.name)

    def _video(self, piece: Piece) -> Iterator[Crop]:
        """Yield all faces of the sampled frames; each face that is followed is a clip."""
        known: dict[int, list[tuple[Face, int]]] = {}
        for box in piece.boxes:
            known.setdefault(box.frame, []).append((_known(piece, box.corners), box.track))
        tracker, found = Tracker(), False
        for frame in read_frames(piece.file, every=1 if known else self.every):
            if frame.pixels is None:
                continue
            faces = known.get(frame.index, []) if known else self._follow(frame, tracker)
            for face, track in faces:
                found = True
                name = f"{piece.name}#{frame.index}"
                yield self._cut(frame.pixels, face, name, f"{piece.name}#{track}")
        if not found:
            raise MienError("no face is found")

    def _follow(self, frame: Frame, tracker: Tracker) -> list[tuple[Face, int]]:
        if frame.pixels is None:
            return []
        faces = self._find(frame.pixels)
        tracks = tracker.update([face.box for face in faces], time_s=frame.time_s)
        return list(zip(faces, tracks, strict=True))

    def _find(self, image: Pixels) -> list[Face]:
        return find_faces(image, self.detector)

    def _cut(self, image: Pixels, face: Face, name: str, clip: str, *, reduced: int = 1) -> Crop:
        """Return the crop with room around it, out of an image reduced by a whole factor."""
        x, y, side = crop_square(face)
        whole = self.side + 2 * self.room
        half = side * whole / self.side / 2
        box = (x - half, y - half, x + half, y + half)
        pixels = crop_face(image, Face(box, face.score, framing="image"), whole)
        corner, scale = (box[0] * reduced, box[1] * reduced), whole / (2 * half * reduced)
        landmarks = None if face.landmarks is None else face.landmarks * np.float32(reduced)
        return Crop(pixels, name, clip, corner, scale, landmarks)

    def _eye_crop(self, image: Pixels, name: str, clip: str, *, reduced: int = 1) -> Crop:
        pixels = fit_eye_crop(image, self.eye_crop_size)
        height, width = self.eye_crop_size
        scale = width / image.shape[1]
        top = (max(1, round(image.shape[0] * scale)) - height) // 2
        corner = (0.0, top / scale * reduced)
        return Crop(pixels, name, clip, corner, scale / reduced, eye_crop=True)

    def _read(self, piece: Piece) -> LoadedImage:
        if not piece.member:
            return read_image(piece.file)
        try:
            data = self._archive(piece.file).read(piece.member)
        except (OSError, zipfile.BadZipFile, KeyError, RuntimeError, NotImplementedError) as error:
            raise MienError("cannot be unpacked") from error
        with _spilled(data) as path:
            try:
                return read_image(path)
            except MienError as error:
                raise MienError(str(error).replace(to_text(path), "")) from error

    def _archive(self, path: Path) -> zipfile.ZipFile:
        """Return this thread's own handle of a zip."""
        archives: dict[Path, zipfile.ZipFile] = self._of_thread.__dict__.setdefault("archives", {})
        if path not in archives:
            archives[path] = zipfile.ZipFile(path)
        return archives[path]


@contextlib.contextmanager
def _spilled(data: bytes) -> Iterator[Path]:
    """Give the bytes a name for as long as the block lasts."""
    with tempfile.NamedTemporaryFile(prefix="mien-") as file:
        file.write(data)
        file.flush()
        yield Path(file.name)


def _known(piece: Piece, corners: Sequence[float]) -> Face:
    x1, y1, x2, y2 = corners
    return Face((x1, y1, x2, y2), 1.0, framing=piece.framing)
