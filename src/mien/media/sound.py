"""The sound of one file beside the frames of another."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

import av
from av.error import FFmpegError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

__all__ = ["SoundTrack", "file_start"]

# What MP4 holds and players play; copied as it is. Anything else is encoded as AAC.
_COPIED = ("aac", "mp3", "mp3float", "ac3", "eac3", "alac", "opus", "libopus", "flac")


def file_start(container: InputContainer) -> Fraction:
    """Return the time stamp, in seconds, at which a file's first frame or sound begins."""
    return min(
        (
            stream.start_time * stream.time_base
            for stream in (*container.streams.video, *container.streams.audio)
            if stream.start_time is not None and stream.time_base is not None
        ),
        default=Fraction(0),
    )


class SoundTrack:
    """Writes the first sound stream of a file, if it has one, a piece at a time."""

    def __init__(self, out: OutputContainer, source: InputContainer) -> None:
        """Add the stream to `out`, before anything is written to it."""
        self._out = out
        self._start = file_start(source)
        self._packets: Iterator[Packet] = iter(())
        if source.streams.audio:
            stream = source.streams.audio[0]
            copied = stream.codec_context.name in _COPIED
            self._packets = (self._copied if copied else self._encoded)(source, stream)
        self._next = next(self._packets, None)

    def write(self, *, until: Fraction | None) -> None:
        """Write what is heard up to a time, seconds from the file's start; None: all the rest."""
        while self._next is not None:
            stamp, unit = self._next.dts, self._next.time_base
            if until is not None and stamp is not None and unit and stamp * unit > until:
                return
            self._out.mux(self._next)
            self._next = next(self._packets, None)

    def _copied(self, source: InputContainer, stream: AudioStream) -> Iterator[Packet]:
        target = self._out.add_stream_from_template(stream)
        try:
            for packet in source.demux(stream):
                if packet.size and packet.dts is not None and packet.pts is not None:
                    shift = round(self._start / packet.time_base)
                    packet.dts, packet.pts = packet.dts - shift, packet.pts - shift
                    packet.stream = target
                    yield packet
        except (FFmpegError, OSError):  # where the file breaks off, so does the sound
            return

    def _encoded(self, source: InputContainer, stream: AudioStream) -> Iterator[Packet]:
        context = stream.codec_context
        target = self._out.add_stream("aac", rate=context.sample_rate)
        target.codec_context.layout = "mono" if context.channels == 1 else "stereo"
        resampler = av.AudioResampler("fltp", target.codec_context.layout, context.sample_rate)
        try:
            for frame in source.decode(stream):
                if frame.pts is not None and frame.time_base:
                    frame.pts -= round(self._start / frame.time_base)
                for part in resampler.resample(frame):
                    yield from target.encode(part)
        except (FFmpegError, OSError):
            pass
        yield from target.encode(None)
