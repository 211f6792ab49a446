"""Inputs to rows with their crops, frame by frame, and those to batches for the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from numpy.typing import NDArray

from mien.embedding.options import EmbedOptions
from mien.embedding.summary import NO_FACE
from mien.errors import MienError
from mien.faces.detect import single_threaded_opencv
from mien.faces.track import Tracker
from mien.media.inputs import Source, expand
from mien.media.names import to_text
from mien.media.video import info
from mien.pipeline.crops import Cropper
from mien.pipeline.prefetch import prefetch
from mien.pipeline.read import Frame, read_media, read_still
from mien.table.rows import FaceRow

__all__ = ["Batch", "FrameRows", "gather", "read_batches"]

_ROWS_PER_CROP = 16


@dataclass(frozen=True, eq=False)
class FrameRows:
    """The rows of one frame with their crops; or why it could not be read."""

    source: int
    """Number of the input that it is from."""
    rows: tuple[FaceRow, ...]
    """At least one: the faces, or that there is none."""
    crops: tuple[NDArray, ...]
    """One for each row with a face, in their order. Uint8 RGB [H, W, 3]."""
    done: float
    """Fraction of the input that is done with this frame, in [0, 1]."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows that go to the model and into the table together."""

    rows: tuple[FaceRow, ...]
    crops: tuple[NDArray, ...]
    """One for each row with a face. Uint8 RGB [H, W, 3]."""
    sources: tuple[int, ...]
    """Number of each row's input."""
    done: float
    """Inputs done with the last row, parts of one counted: 3.5 is the middle of the fourth."""


def read_batches(
    paths: Sequence[str | Path], cropper: Cropper, options: EmbedOptions, *, start: int
) -> Generator[Batch]:
    """Yield the rows of the inputs in order, read and cut out on threads.

    Args:
        paths: the inputs.
        cropper: cuts faces or eye-region crops out.
        options: choice of frames, batch size, threads.
        start: number of inputs to leave out at the beginning.
    """
    tasks = _tasks(paths, cropper, options, start)
    with (
        single_threaded_opencv(cropper.detector),
        contextlib.closing(prefetch(tasks, workers=options.workers)) as frames,
    ):
        yield from gather(_tracked(frames), options.batch_size)


def gather(frames: Iterable[FrameRows], batch_size: int) -> Iterator[Batch]:
    """Yield the rows of all frames in order, at most `batch_size` faces at a time."""
    rows: list[FaceRow] = []
    crops: list[NDArray] = []
    sources: list[int] = []
    done = 0.0

    def take() -> Batch:
        batch = Batch(tuple(rows), tuple(crops), tuple(sources), done)
        for waiting in (rows, crops, sources):
            waiting.clear()
        return batch

    for frame in frames:
        left = iter(frame.crops)
        for number, row in enumerate(frame.rows, start=1):
            rows.append(row)
            sources.append(frame.source)
            if row.face_found:
                crops.append(next(left))
            if number == len(frame.rows):
                done = frame.source + frame.done
            # Many frames without a face must not pile up either.
            if len(crops) == batch_size or len(rows) >= _ROWS_PER_CROP * batch_size:
                yield take()
    if rows:
        yield take()


def _tasks(
    paths: Sequence[str | Path], cropper: Cropper, options: EmbedOptions, start: int
) -> Iterator[Callable[[], FrameRows]]:
    """Yield the work of each image and each video frame, in order, as calls to be made.

    Taking from this decodes the videos; the calls read the images and detect the faces.
    """
    for number, source in islice(enumerate(expand(paths)), start, None):
        if source.kind == "image":
            read = partial(read_still, source.full_path)
            yield partial(_rows, number, source, FaceRow(source.path_label), read, cropper)
        else:
            yield from _video_tasks(number, source, cropper, options)


def _video_tasks(
    number: int, source: Source, cropper: Cropper, options: EmbedOptions
) -> Iterator[Callable[[], FrameRows]]:
    blank = FaceRow(source.path_label)
    taken = False
    try:
        length = info(source.full_path).frames
        choice = {"every": options.every, "fps": options.fps}
        for frame in read_media(source.full_path, kind="video", **choice):
            taken = True
            done = min(1.0, (frame.index + 1) / length) if length else 0.0
            row = replace(blank, frame=frame.index, time_s=frame.time_s)
            read = partial(_same, frame)
            yield partial(_rows, number, source, row, read, cropper, done=done)
    except MienError as error:
        yield partial(_failed, number, source, blank, error)
        return
    if not taken:
        error = MienError("no frame of the video is taken")
        yield partial(_failed, number, source, blank, error)


def _same(frame: Frame) -> Frame:
    return frame


def _rows(
    number: int,
    source: Source,
    blank: FaceRow,
    read: Callable[[], Frame],
    cropper: Cropper,
    *,
    done: float = 1.0,
) -> FrameRows:
    """Read a frame and cut out what it shows; a fault becomes its one row."""
    try:
        frame = read()
        if frame.pixels is None:
            raise MienError("the frame is broken")
        crops = cropper(frame.pixels, photograph=frame.time_s is None)
    except Exception as error:  # noqa: BLE001 - one bad file or frame must not end the job
        return replace(_failed(number, source, blank, error), done=done)
    if not crops:
        return FrameRows(number, (replace(blank, reason=NO_FACE),), (), done)
    no_detection = isinstance(cropper.size, tuple)
    rows = tuple(
        replace(
            blank,
            face_id=face_id,
            face_found=True,
            det_score=None if no_detection else crop.face.score,
            box=crop.face.scaled(frame.scale).box,
        )
        for face_id, crop in enumerate(crops)
    )
    return FrameRows(number, rows, tuple(crop.pixels for crop in crops), done)


def _failed(number: int, source: Source, blank: FaceRow, error: Exception) -> FrameRows:
    """Return a frame that is one row with the reason; the path is in the row already."""
    reason = str(error)
    for name in (to_text(source.full_path), source.full_path):
        reason = reason.replace(name, "the file")
    if not isinstance(error, MienError):
        reason = f"unforeseen {type(error).__name__}: {reason}"
    return FrameRows(number, (replace(blank, reason=" ".join(reason.split())),), (), 1.0)


def _tracked(frames: Iterable[FrameRows]) -> Iterator[FrameRows]:
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
            row if row.box is None else replace(row, track_id=next(tracks)) for row in frame.rows
        )
        yield replace(frame, rows=tuple(rows))
