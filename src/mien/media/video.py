"""Video: frames one by one, each with its exact time, and frames => MP4.

A video is decoded once from start to end, on one thread (so that a damaged one gives the same
frames every time), and no more than the decoder's own few frames are held. Rotation in the file is
applied; pixels are taken as square. FFmpeg is let at no other file and no network.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.frame import Frame
from mien.media.image import check_file
from mien.media.names import to_text

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["VideoInfo", "info", "read_frames", "write_mp4"]

# How much of a step a frame may come before its time and still be taken: files round times.
_EARLY = Fraction(1, 20)


@dataclass(frozen=True)
class VideoInfo:
    """What a video says about itself; nothing is decoded, and it may be wrong."""

    frames: int | None
    """Number of frames, as written in the file or from its length and rate; None if unknown."""
    fps: float | None
    """Mean number of frames a second; None if unknown."""


class _Shown(NamedTuple):
    time: Fraction
    frame: VideoFrame | None


def info(path: str | Path) -> VideoInfo:
    """Return what a video says about itself.

    Raises:
        MienError: as `read_frames`.
    """
    with _opened(path) as container:
        stream = _video_stream(container, path)
        rate = stream.average_rate
        frames = stream.frames
        if not frames and rate and container.duration is not None:
            frames = round(Fraction(container.duration, av.time_base) * rate)
        return VideoInfo(frames or None, float(rate) if rate else None)


def read_frames(
    path: str | Path, *, every: int | None = None, fps: float | None = None
) -> Generator[Frame]:
    """Yield a video's frames in the order of showing.

    A frame that cannot be decoded, or only with holes filled in, comes as a `Frame` without pixels
    in its place, and counts. A file that breaks off ends where it breaks off.

    Args:
        path: a video file.
        every: take the frames whose index is a multiple of this.
        fps: take for each multiple of 1 / fps seconds the first frame at or after it; every frame
            at most once, so a slow video is taken whole. Not together with `every`.

    Raises:
        MienError: at once if the options contradict each other; when the first frame is asked for
            if the file is missing, unreadable, no video, or holds sound only; at the end if there
            was no frame in it.
    """
    if every is not None and fps is not None:
        raise MienError("give either every Nth frame or a number of frames a second, not both")
    if every is not None and every < 1:
        raise MienError(f"every {every}th frame cannot be taken; give 1 or more")
    if fps is not None and not (fps > 0 and math.isfinite(fps)):
        raise MienError(f"{fps} frames a second cannot be taken; give more than 0")
    step = Fraction(fps).limit_denominator(1_000_000) if fps is not None else None
    return _selected(path, every or 1, step)


def write_mp4(
    path: str | Path, frames: Iterable[NDArray[np.uint8]], *, fps: float, overwrite: bool = False
) -> int:
    """Write frames as H.264 in MP4, whole or not at all, and return how many.

    The format wants even sides: an odd last row or column is doubled.

    Args:
        path: the file to be written.
        frames: RGB images of one size. [H, W, 3] each.
        fps: frames a second.
        overwrite: whether a file that is there may be replaced.

    Raises:
        MienError: if there is no frame, or the file exists and may not be replaced, or it cannot
            be written.
        ValueError: if the frames are not of one size, or not uint8 RGB.
    """
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise MienError(f"no frame to write to {to_text(path)}")
    with replacing(path, overwrite=overwrite) as unfinished:
        try:
            with av.open(str(unfinished), "w", format="mp4") as container:
                return _encode(container, chain([first], waiting), fps, first.shape)
        except OSError:
            raise  # reported by `replacing`
        except FFmpegError as error:
            raise MienError(f"cannot write {to_text(path)}: {error.strerror}") from error


def _selected(path: str | Path, every: int, fps: Fraction | None) -> Generator[Frame]:
    with _opened(path) as container:
        stream = _video_stream(container, path)
        index = last = -1
        for index, (time, frame) in enumerate(_shown(container, stream)):
            step = math.floor(time * fps + _EARLY) if fps else index // every
            if step > last:
                last = step
                yield Frame(None if frame is None else _pixels(frame), index, float(time))
        if index < 0:
            raise MienError(f"{to_text(path)} holds no frame that can be decoded; leave it out")


def _opened(path: str | Path) -> InputContainer:
    check_file(path)
    try:
        # An absolute path cannot be taken for a protocol's name; a playlist can lead nowhere.
        whole = str(Path(path).absolute())
        return av.open(whole, container_options={"protocol_whitelist": "file"})
    except (FFmpegError, OSError, ValueError) as error:
        raise MienError(
            f"{to_text(path)} cannot be read as a video; convert it to MP4, or leave it out"
        ) from error


def _video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    for stream in container.streams.video:
        # A cover image in a sound file also counts as a video stream.
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
            return stream
    raise MienError(f"{to_text(path)} holds no video stream; leave it out")


def _shown(container: InputContainer, stream: VideoStream) -> Iterator[_Shown]:
    """Yield all frames, good and broken, in the order of showing.

    The decoder gives good frames in that order; the time of a broken one is its packet's, and it
    waits here until a later frame comes.
    """
    clock = _clock(container, stream)
    broken: list[Fraction] = []
    for stamp, frame in _decoded(container, stream):
        if frame is None:
            heapq.heappush(broken, clock(stamp))
            continue
        time = clock(stamp)
        while broken and broken[0] <= time:
            broken_time = heapq.heappop(broken)
            if broken_time < time:  # else it was decoded after all
                yield _Shown(broken_time, None)
        yield _Shown(time, None if frame.is_corrupt else frame)
    while broken:
        yield _Shown(heapq.heappop(broken), None)


def _decoded(
    container: InputContainer, stream: VideoStream
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Yield (time stamp, frame), with None for the frame of a packet that is broken."""
    for packet in _packets(container, stream):
        try:
            # None, at the end, makes the decoder give out what it still holds.
            frames = stream.codec_context.decode(packet)
        except (FFmpegError, OSError):
            if packet is not None:
                yield packet.pts, None
            continue
        for frame in frames:
            yield frame.pts, frame


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
    """Yield the stream's packets and None at its end, be that where the file breaks off."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (FFmpegError, OSError):
        pass
    yield None


def _clock(container: InputContainer, stream: VideoStream) -> Callable[[int | None], Fraction]:
    """Return the function from time stamps to seconds since the file's beginning, exact.

    Where a time stamp is missing, the frame is one mean frame's length after the one before.
    """
    starts = [
        other.start_time * other.time_base
        for other in (*container.streams.video, *container.streams.audio)
        if other.start_time is not None and other.time_base is not None
    ]
    start = min(starts, default=Fraction(0))
    unit = stream.time_base or Fraction(1)
    length = 1 / (stream.average_rate or Fraction(25))
    last = -length

    def seconds(stamp: int | None) -> Fraction:
        nonlocal last
        last = last + length if stamp is None else stamp * unit - start
        return last

    return seconds


def _pixels(frame: VideoFrame) -> NDArray[np.uint8] | None:
    try:
        pixels = frame.to_ndarray(format="rgb24")
    except (FFmpegError, OSError, ValueError):
        return None
    quarter_turns = round(frame.rotation / 90)  # counterclockwise
    return np.ascontiguousarray(np.rot90(pixels, quarter_turns)).astype(np.uint8, copy=False)


def _encode(
    container: OutputContainer,
    frames: Iterable[NDArray[np.uint8]],
    fps: float,
    shape: tuple[int, ...],
) -> int:
    stream = container.add_stream(
        "libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": "18"}
    )
    stream.height, stream.width = (side + side % 2 for side in shape[:2])
    stream.pix_fmt = "yuv420p"
    written = 0
    for image in frames:
        if image.shape != shape or image.dtype != np.uint8 or image.shape[2:] != (3,):
            raise ValueError(f"uint8 {list(shape)} is wanted, not {image.dtype} {image.shape}")
        even = np.pad(image, ((0, shape[0] % 2), (0, shape[1] % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        container.mux(stream.encode(frame))
        written += 1
    container.mux(stream.encode(None))
    return written
