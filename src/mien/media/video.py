"""Video: frames one by one, each with its exact time.

A video is decoded once from start to end, on one thread (so that a damaged one gives the same
frames every time), and no more than the decoder's own few frames are held. Rotation and mirroring
in the file are applied, oblong pixels resampled to square ones, colours brought to sRGB. FFmpeg
gets the bytes of this one file, not its name: it opens no other file and no network.
"""

from __future__ import annotations

import contextlib
import heapq
import io
import math
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

import av
import numpy as np
from av.error import FFmpegError
from av.stream import Disposition
from numpy.typing import NDArray
from PIL import Image, ImageOps

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.frame import Frame
from mien.media.image import check_file
from mien.media.names import to_text
from mien.media.sound import SoundTrack, file_start
from mien.media.video_pixels import frame_pixels

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

__all__ = ["MAX_FRAME_PIXELS", "VideoInfo", "info", "mp4_bytes", "read_frames", "write_mp4"]

MAX_FRAME_PIXELS = 16_384 * 8_192
"""Larger frames are refused: they are more likely made to fill the memory than to be seen."""

_USUAL_RATE = 25
_TICK = Fraction(1, 90_000)
"""Unit of the times of frames that have their own, s."""
# FFmpeg's numbers of the matrix, primaries and curve of BT.709, and of the range 16 to 235.
_BT709, _LIMITED = 1, 1


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


_Numbered = tuple[int, _Shown]


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
        fps: take for each multiple of 1 / fps seconds, 0 being the first frame shown, the frame
            nearest to it; every frame at most once, so a slow video is taken whole. Not together
            with `every`.

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
    path: str | Path,
    frames: Iterable[NDArray[np.uint8] | Frame],
    *,
    fps: float,
    overwrite: bool = False,
    sound_of: str | Path | None = None,
) -> int:
    """Write frames as H.264 in MP4, whole or not at all, and return how many.

    Colours are BT.709, and tagged as such. The format wants even sides: an odd last row or column
    is doubled. A frame of another size than the first is fitted into it, with black bars.

    Args:
        path: the file to be written.
        frames: RGB [H, W, 3]; or frames of another video, each shown at its own time.
        fps: frames a second, where frames have no time of their own.
        overwrite: whether a file that is there may be replaced.
        sound_of: a video whose sound goes with the frames.

    Raises:
        MienError: if there is no frame, or the file exists and may not be replaced, or it cannot
            be written, or `sound_of` cannot be read.
        ValueError: if a frame is not uint8 RGB.
    """
    waiting = iter(frames)
    first = next(waiting, None)
    if first is None:
        raise MienError(f"no frame to write to {to_text(path)}")
    with contextlib.ExitStack() as stack:
        sound = None if sound_of is None else stack.enter_context(_opened(sound_of))
        unfinished = stack.enter_context(replacing(path, overwrite=overwrite))
        # A file of ours: FFmpeg keeps its own open where closing it fails, as on a full disk.
        file = _Written(stack.enter_context(unfinished.open("w+b")))
        try:
            with av.open(file, "w", format="mp4") as container:
                count = _encode(container, chain([first], waiting), fps, sound)
            file.check()
            return count
        except OSError:
            raise  # reported by `replacing`
        except FFmpegError as error:
            raise MienError(f"cannot write {to_text(path)}: {error.strerror}") from error


def mp4_bytes(frames: Iterable[NDArray[np.uint8]], *, fps: float) -> bytes:
    """Return frames, RGB [H, W, 3], at least one, as `write_mp4` writes them, without a file."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        _encode(container, iter(frames), fps, None)
    return file.getvalue()


def _selected(path: str | Path, every: int, fps: Fraction | None) -> Generator[Frame]:
    with _opened(path) as container:
        stream = _video_stream(container, path)
        shown = enumerate(_shown(container, stream))
        length = 1 / Fraction(stream.average_rate or _USUAL_RATE)
        chosen = _nearest(shown, fps, length) if fps else _every(shown, every)
        index = -1
        for index, (time, frame) in chosen:
            pixels = None if frame is None else frame_pixels(frame, stream.sample_aspect_ratio)
            yield Frame(pixels, index, float(time))
        if index < 0:
            raise MienError(f"{to_text(path)} holds no frame that can be decoded; leave it out")


def _every(shown: Iterator[_Numbered], every: int) -> Iterator[_Numbered]:
    return (numbered for numbered in shown if numbered[0] % every == 0)


def _nearest(shown: Iterator[_Numbered], fps: Fraction, length: Fraction) -> Iterator[_Numbered]:
    """Yield the frames nearest to the multiples of 1 / fps after the first; of two, the later."""
    first = before = next(shown, None)
    if first is None or before is None:
        return
    start, wanted = first[1].time, 0
    for after in chain(shown, [None]):
        end = before[1].time + length if after is None else after[1].time
        end = (before[1].time + end) / 2
        if wanted < (end - start) * fps:
            yield before
            wanted = math.ceil((end - start) * fps)
        before = after or before


class _Bytes:
    """A file that FFmpeg reads without knowing its name, which it might take for a pattern."""

    def __init__(self, file: IO[bytes]) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell


class _Written:
    """A file that is written; keeps what went wrong, which FFmpeg forgets at its end."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.tell = file, file.tell
        self._error: BaseException | None = None

    def write(self, data: bytes) -> int:
        try:
            return self._file.write(data)
        except BaseException as error:
            self._error = self._error or error
            raise

    def seek(self, place: int, whence: int = 0) -> int:
        try:
            return self._file.seek(place, whence)
        except BaseException as error:  # noqa: BLE001 - what is raised here is lost: `check` does
            self._error = self._error or error
            return -1

    def check(self) -> None:
        """Raise what went wrong, or does so now: a disk may be full, a signal may have come."""
        if self._error is not None:
            raise self._error
        self._file.flush()


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator[InputContainer]:
    check_file(path)
    with contextlib.ExitStack() as stack:
        try:
            file = _Bytes(stack.enter_context(Path(path).open("rb")))
            options = {"protocol_whitelist": "none"}
            container = stack.enter_context(
                av.open(file, "r", container_options=options, buffer_size=1 << 18)
            )
        except (FFmpegError, OSError, ValueError) as error:
            raise MienError(
                f"{to_text(path)} cannot be read as a video; convert it to MP4, or leave it out"
            ) from error
        yield container


def _video_stream(container: InputContainer, path: str | Path) -> VideoStream:
    for stream in container.streams.video:
        # A cover image in a sound file also counts as a video stream.
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > MAX_FRAME_PIXELS:
                raise MienError(
                    f"{to_text(path)} is too large: {width} x {height} pixels; "
                    f"up to {MAX_FRAME_PIXELS:,} in all are read"
                )
            stream.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
            # Also of a frame that is larger than the header says.
            stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
            return stream
    raise MienError(f"{to_text(path)} holds no video stream; leave it out")


def _shown(container: InputContainer, stream: VideoStream) -> Iterator[_Shown]:
    """Yield all frames, good and broken, in the order of showing.

    The decoder gives good frames in that order; the time of a broken one is its packet's, and it
    waits here until a later frame comes. Where a time stamp is missing, or not after the one
    before, the frame is one mean frame's length after the one before.
    """
    start, unit = file_start(container), stream.time_base or Fraction(1)
    length = 1 / Fraction(stream.average_rate or _USUAL_RATE)
    last = -length
    broken: list[Fraction] = []
    # AVI counts packets; what FFmpeg makes of that for frames out of order is not in order.
    counted = container.format.name == "avi"
    for stamp, frame in _decoded(container, stream, counted=counted):
        time = last + length if stamp is None else stamp * unit - start
        if frame is None:
            heapq.heappush(broken, time)
            continue
        if time <= last:  # the stamps run backwards: count
            time = last + length
        while broken and broken[0] <= time:
            broken_time = heapq.heappop(broken)
            if broken_time < time:  # else it was decoded after all
                yield _Shown(broken_time, None)
        yield _Shown(time, None if frame.is_corrupt else frame)
        last = time
    while broken:
        yield _Shown(heapq.heappop(broken), None)


def _decoded(
    container: InputContainer, stream: VideoStream, *, counted: bool
) -> Iterator[tuple[int | None, VideoFrame | None]]:
    """Yield (time stamp, frame), with None for the frame of a packet that is broken.

    Where they are `counted`, the n-th frame is shown when the n-th packet's turn is.
    """
    turns: deque[int | None] = deque()
    for packet in _packets(container, stream):
        if packet is not None:
            turns.append(packet.dts)
        try:
            # None, at the end, makes the decoder give out what it still holds.
            frames = stream.codec_context.decode(packet)
        except (FFmpegError, OSError):
            if packet is not None:
                turns.pop()
                yield (packet.dts if counted else packet.pts), None
            continue
        for frame in frames:
            turn = turns.popleft() if turns else None
            yield (turn if counted else frame.pts), frame


def _packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet | None]:
    """Yield the stream's packets and None at its end, be that where the file breaks off."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except (FFmpegError, OSError):
        pass
    yield None


def _encode(
    container: OutputContainer,
    frames: Iterable[NDArray[np.uint8] | Frame],
    fps: float,
    sound: InputContainer | None,
) -> int:
    rate = Fraction(fps).limit_denominator(1001)
    stream = container.add_stream("libx264", rate=rate, options={"crf": "18"})
    context = stream.codec_context
    stream.pix_fmt = "yuv420p"
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = _LIMITED
    track = None if sound is None else SoundTrack(container, sound)
    size: tuple[int, int] | None = None
    written, last = 0, -1
    for one in frames:
        image, time = (one.pixels, one.time_s) if isinstance(one, Frame) else (one, None)
        if image is None or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError("uint8 RGB [H, W, 3] is wanted")
        if size is None:
            size = image.shape[0], image.shape[1]
            stream.height, stream.width = (side + side % 2 for side in size)
            context.time_base = 1 / rate if time is None else _TICK
        place = Fraction(written) / rate if time is None else Fraction(time)
        if track is not None:
            track.write(until=place)
        frame = av.VideoFrame.from_ndarray(_fitted(image, size), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace=_BT709)
        last = max(last + 1, round(place / context.time_base))
        frame.pts, frame.time_base = last, context.time_base
        container.mux(stream.encode(frame))
        written += 1
    container.mux(stream.encode(None))
    if track is not None:
        track.write(until=None)
    return written


def _fitted(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return an image of this height and width, and of even sides. RGB [H', W', 3]."""
    if image.shape[:2] != size:
        height, width = size
        whole = Image.fromarray(np.ascontiguousarray(image))
        image = np.asarray(ImageOps.pad(whole, (width, height), Image.Resampling.BILINEAR))
    even = np.pad(image, ((0, size[0] % 2), (0, size[1] % 2), (0, 0)), mode="edge")
    return np.ascontiguousarray(even)
