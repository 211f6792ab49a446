"""Inputs to frames with their faces found and cut out; what cannot be read says why."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np

from mien.embedding.summary import NO_FACE
from mien.errors import MienError
from mien.faces.crop import crop_face
from mien.faces.detect import find_faces, open_detector
from mien.faces.eye_crop import fit_eye_crop
from mien.faces.track import Tracker
from mien.media.image import read_image
from mien.media.inputs import Source, expand
from mien.media.names import to_text
from mien.media.video import Frame as VideoFrame, info, read_frames
from mien.pipeline.batches import Frame
from mien.table.rows import FaceRow

__all__ = ["Listing", "Reader", "list_inputs"]


@dataclass(frozen=True)
class Listing:
    """What the inputs are, in a few bytes."""

    count: int
    """Number of images and videos."""
    digest: str
    """The same for the same names, sizes and times of change, in the same order."""


def list_inputs(paths: Sequence[str | Path]) -> Listing:
    """Go through the inputs once without reading them.

    Raises:
        MienError: if an input does not exist or nothing is found.
    """
    hashed = hashlib.sha256()
    count = 0
    for source in expand(paths):
        try:
            status = Path(source.full_path).stat()
            facts = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # it will have a row that says so
            facts = "unreadable"
        hashed.update(f"{source.path_label}\0{facts}\0".encode())
        count += 1
    if not count:
        raise MienError("no image or video is found in the inputs")
    return Listing(count, hashed.hexdigest()[:16])


class Reader:
    """Reads images and videos, finds the faces in them and cuts them out; or takes eye crops."""

    def __init__(
        self,
        detector: str,
        size: int | tuple[int, int],
        *,
        every: int | None = None,
        fps: float | None = None,
    ) -> None:
        """Open the detector.

        Args:
            detector: auto, haar, yunet or none.
            size: side of the crops, pixels; or height and width of eye crops: then every image
                is one, and none is searched.
            every: take every N-th frame of a video.
            fps: take this many frames a second of a video.

        Raises:
            MienError: if the detector cannot be had here.
        """
        self._detect = open_detector("none" if isinstance(size, tuple) else detector)
        self._size = size
        self._every = every
        self._fps = fps

    @property
    def detector(self) -> str:
        """Return the name of the detector that is in use: `auto` has become one."""
        return self._detect.name

    @contextlib.contextmanager
    def one_thread_each(self) -> Iterator[None]:
        """Keep OpenCV from sharing one search among threads: there are as many searches."""
        if self.detector == "none":
            yield
            return
        import cv2

        before = cv2.getNumThreads()
        cv2.setNumThreads(1)
        try:
            yield
        finally:
            cv2.setNumThreads(before)

    def tasks(self, paths: Sequence[str | Path], start: int) -> Iterator[Callable[[], Frame]]:
        """Yield the work of each image and each video frame, in order, as calls to be made.

        Drawing from this decodes the videos; the calls read the images and find the faces.

        Args:
            paths: the inputs.
            start: number of inputs to leave out at the beginning.
        """
        for number, source in islice(enumerate(expand(paths)), start, None):
            if source.kind == "image":
                yield partial(self._image, number, source)
            else:
                yield from self._video(number, source)

    def follow(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames with the faces of each video numbered as tracks."""
        tracker, current = Tracker(), -1
        for frame in frames:
            time_s = frame.rows[0].time_s
            if time_s is None:
                yield frame
                continue
            if frame.source != current:
                tracker, current = Tracker(), frame.source
            boxes = [row.box for row in frame.rows if row.box is not None]
            tracks = iter(tracker.update(boxes, time_s=time_s))
            rows = (
                row if row.box is None else replace(row, track_id=next(tracks))
                for row in frame.rows
            )
            yield replace(frame, rows=tuple(rows))

    def _image(self, number: int, source: Source) -> Frame:
        blank = FaceRow(source.path_label)
        try:
            image = read_image(source.full_path)
            return self._search(number, blank, image.pixels, image.scale)
        except Exception as error:  # noqa: BLE001 - one bad file must not end the job
            return _failed(number, blank, error, source)

    def _video(self, number: int, source: Source) -> Iterator[Callable[[], Frame]]:
        taken = False
        try:
            length = info(source.full_path).frames
            for frame in read_frames(source.full_path, every=self._every, fps=self._fps):
                taken = True
                share = min(1.0, (frame.index + 1) / length) if length else 0.0
                yield partial(self._video_frame, number, source, frame, share)
        except MienError as error:
            yield partial(_failed, number, FaceRow(source.path_label), error, source)
            return
        if not taken:
            error = MienError("no frame of the video is taken")
            yield partial(_failed, number, FaceRow(source.path_label), error, source)

    def _video_frame(self, number: int, source: Source, frame: VideoFrame, share: float) -> Frame:
        blank = FaceRow(source.path_label, frame.index, frame.time_s)
        try:
            if frame.pixels is None:
                raise MienError("the frame is broken")
            return replace(self._search(number, blank, frame.pixels, 1), done=share)
        except Exception as error:  # noqa: BLE001 - one bad frame must not end the job
            return replace(_failed(number, blank, error, source), done=share)

    def _search(self, number: int, blank: FaceRow, pixels: np.ndarray, scale: int) -> Frame:
        if isinstance(self._size, tuple):
            height, width = pixels.shape[:2]
            box = (0.0, 0.0, float(width * scale), float(height * scale))
            row = replace(blank, face_id=0, face_found=True, box=box)
            return Frame(number, (row,), (fit_eye_crop(pixels, self._size),), 1.0)
        faces = find_faces(pixels, self._detect)
        if not faces:
            return Frame(number, (replace(blank, reason=NO_FACE),), (), 1.0)
        rows = tuple(
            replace(
                blank,
                face_id=face_id,
                face_found=True,
                det_score=face.score,
                box=face.scaled(scale).box,
            )
            for face_id, face in enumerate(faces)
        )
        size = self._size
        crops = tuple(crop_face(pixels, face, size) for face in faces)
        return Frame(number, rows, crops, 1.0)


def _failed(number: int, blank: FaceRow, error: Exception, source: Source) -> Frame:
    """Return a frame that is one row with the reason; the path is in the row already."""
    reason = str(error)
    for name in (to_text(source.full_path), source.full_path):
        reason = reason.replace(name, "the file")
    if not isinstance(error, MienError):
        reason = f"unforeseen {type(error).__name__}: {reason}"
    return Frame(number, (replace(blank, reason=" ".join(reason.split())),), (), 1.0)
