"""Inputs to rows with their crops, frame by frame, and those to batches for the model."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

from numpy.typing import NDArray

from mien.embedding.fetching import Fetched, fetched, on_disk
from mien.embedding.options import EmbedOptions
from mien.embedding.quality import sharpness
from mien.embedding.summary import LEFT_OUT, NO_FACE
from mien.errors import MienError
from mien.faces.detect import single_threaded_opencv
from mien.faces.track import Tracker
from mien.media.addresses import shown
from mien.media.inputs import Source
from mien.media.names import to_text
from mien.media.remote_faults import LostError
from mien.media.video import info
from mien.pipeline.crops import Crop, Cropper
from mien.pipeline.known_faces import KnownFaces
from mien.pipeline.prefetch import prefetch
from mien.pipeline.read import Frame, read_media
from mien.table.rows import FaceRow

__all__ = ["Batch", "FrameRows", "gather", "is_apart", "read_batches"]

_ROWS_PER_CROP = 16


@dataclass(frozen=True, eq=False)
class FrameRows:
    """The rows of one frame with their crops; or why it could not be read."""

    source: int
    """Number of the input that it is from."""
    rows: tuple[FaceRow, ...]
    """At least one: the faces, or that there is none."""
    crops: tuple[NDArray, ...] = ()
    """One for each row with a face, in their order. Uint8 RGB [H, W, 3]."""
    done: float = 1.0
    """Fraction of the input that is done with this frame, in [0, 1]."""
    apart: bool = False
    """Whether no batch has rows of this input and of one before it."""


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
    start: int
    """Number of the input from which a job could be resumed and would come to this very batch."""


def is_apart(number: int, *, video: bool, after_video: bool, batch_size: int) -> bool:
    """Return whether no batch has rows of this input and of one before it.

    A job that is resumed at such an input, or a shard that begins there, has the batches, and to
    the last bit the numbers, of a run that was neither interrupted nor shared.

    Args:
        number: of the input among all inputs.
        video: whether it is one.
        after_video: whether the one before it is one.
        batch_size: faces.
    """
    return video or after_video or number % batch_size == 0


def read_batches(
    sources: Iterable[Source],
    cropper: Cropper,
    options: EmbedOptions,
    *,
    start: int,
    first: int = 0,
) -> Generator[Batch]:
    """Yield the rows of the inputs in order, read and cut out on threads.

    Args:
        sources: the inputs.
        cropper: cuts faces or eye-region crops out.
        options: choice of frames, batch size, threads.
        start: number of the input to begin with; a batch's `start`, or `first`.
        first: number of the first of `sources`.
    """
    numbered = islice(enumerate(sources, first), start - first, None)
    with (
        single_threaded_opencv(cropper.detector),
        # Closed after the threads that take from it.
        contextlib.closing(_tasks(fetched(numbered), cropper, options)) as tasks,
        contextlib.closing(prefetch(tasks, workers=options.workers)) as frames,
    ):
        yield from gather(_tracked(frames), options.batch_size, start=start)


def gather(frames: Iterable[FrameRows], batch_size: int, *, start: int = 0) -> Iterator[Batch]:
    """Yield the rows of all frames in order, at most `batch_size` faces at a time.

    Args:
        frames: of the inputs from number `start` on.
        batch_size: faces.
        start: number of the first input.
    """
    waiting: list[tuple[FaceRow, int]] = []
    crops: list[NDArray] = []
    last, done = start, float(start)

    def take() -> Iterator[Batch]:
        if waiting:
            rows, sources = zip(*waiting, strict=True)
            yield Batch(rows, tuple(crops), sources, done, start)
        waiting.clear()
        crops.clear()

    for frame in frames:
        if frame.apart and frame.source != last:
            yield from take()
            start = frame.source
        last = frame.source
        left = iter(frame.crops)
        for number, row in enumerate(frame.rows, start=1):
            waiting.append((row, frame.source))
            if row.face_found:
                crops.append(next(left))
            if number == len(frame.rows):
                done = frame.source + frame.done
            # Many frames without a face must not pile up either.
            if len(crops) == batch_size or len(waiting) >= _ROWS_PER_CROP * batch_size:
                yield from take()
    yield from take()


def _tasks(
    inputs: Generator[Fetched], cropper: Cropper, options: EmbedOptions
) -> Generator[Callable[[], FrameRows]]:
    """Yield the work of each image and each video frame, in order, as calls to be made.

    Taking from this decodes the videos; the calls read the images and detect the faces.
    """
    after_video = False
    with contextlib.closing(inputs):
        for given in inputs:
            number, source = given.number, given.source
            video = source.kind != "image"
            size = options.batch_size
            apart = is_apart(number, video=video, after_video=after_video, batch_size=size)
            blank = FrameRows(number, (FaceRow(source.path_label),), apart=apart)
            after_video = video
            if video:
                yield from _video_tasks(blank, source, cropper, options)
            else:
                yield partial(_read, blank, source, given.still, cropper, options)


def _video_tasks(
    blank: FrameRows, source: Source, cropper: Cropper, options: EmbedOptions
) -> Iterator[Callable[[], FrameRows]]:
    taken = False
    try:
        with on_disk(source) as path:
            length = info(path).frames
            choice = {"every": options.every, "fps": options.fps}
            for frame in read_media(path, kind="video", **choice):
                taken = True
                row = replace(blank.rows[0], frame=frame.index, time_s=frame.time_s)
                done = min(1.0, (frame.index + 1) / length) if length else 0.0
                row_of, read = replace(blank, rows=(row,), done=done), partial(_same, frame)
                yield partial(_read, row_of, source, read, cropper, options)
            if not taken:
                raise MienError("no frame of the video is taken")
    except LostError:
        raise
    except MienError as error:
        yield partial(_failed, blank, source, error)


def _same(frame: Frame) -> Frame:
    return frame


def _read(
    blank: FrameRows,
    source: Source,
    read: Callable[[], Frame],
    cropper: Cropper,
    options: EmbedOptions,
) -> FrameRows:
    """Read a frame and cut out what it shows; a fault becomes its one row."""
    row = blank.rows[0]
    try:
        frame = read()
        if frame.pixels is None:
            raise MienError("the frame is broken")
        crops = _crops(frame, source, cropper)
    except LostError:  # the files after it would fail, too: the job ends and can be resumed
        raise
    except Exception as error:  # noqa: BLE001 - one bad file or frame must not end the job
        return _failed(blank, source, error)
    kept = [crop for crop in crops if _wanted(crop, frame, options)]
    if not kept:
        reason = LEFT_OUT if crops else NO_FACE
        return replace(blank, rows=(replace(row, reason=reason),))
    no_detection = isinstance(cropper.size, tuple)
    rows = tuple(
        replace(
            row,
            face_id=face_id,
            face_found=True,
            det_score=None if no_detection else crop.face.score,
            box=crop.face.scaled(frame.scale).box,
            framing=crop.face.framing,
            turn_deg=90 * crop.face.turn,
            side_px=_side_px(crop, frame),
            sharpness=sharpness(crop.pixels),
        )
        for face_id, crop in enumerate(kept)
    )
    return replace(blank, rows=rows, crops=tuple(crop.pixels for crop in kept))


def _crops(frame: Frame, source: Source, cropper: Cropper) -> list[Crop]:
    """Return the crops of a frame: its faces detected, or known by the name of its file."""
    assert frame.pixels is not None
    if isinstance(cropper.detector, KnownFaces):
        known = cropper.detector.of(source.path_label, source.full_path, frame.index)
        return [cropper.cut(frame.pixels, face.scaled(1 / frame.scale)) for face in known]
    return cropper(frame.pixels, photograph=frame.time_s is None)


def _wanted(crop: Crop, frame: Frame, options: EmbedOptions) -> bool:
    small = options.min_size is not None and _side_px(crop, frame) < options.min_size
    return not small and (options.min_score is None or crop.face.score >= options.min_score)


def _side_px(crop: Crop, frame: Frame) -> float:
    return crop.pixels.shape[1] / crop.scale * frame.scale


def _failed(blank: FrameRows, source: Source, error: Exception) -> FrameRows:
    """Return a frame that is one row with the reason; the path is in the row already."""
    reason = str(error)
    path = source.full_path
    for name in (to_text(path), path, to_text(shown(path))):
        reason = reason.replace(name, "the file")
    if not isinstance(error, MienError):
        reason = f"unforeseen {type(error).__name__}: {reason}"
    return replace(blank, rows=(replace(blank.rows[0], reason=" ".join(reason.split())),))


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
