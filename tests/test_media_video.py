"""Video frames: which, when, which way up, and what is said about broken ones."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from mien.errors import MienError
from mien.media.image import write_png
from mien.media.video import info, read_frames, write_mp4


def image(level: int, height: int = 48, width: int = 64) -> np.ndarray:
    """A grey image with a bright top left quarter."""
    image = np.full((height, width, 3), level, np.uint8)
    image[: height // 2, : width // 2] += 60
    return image


@pytest.fixture
def clip(tmp_path) -> Path:
    """Twelve frames at 25 a second, each 10 brighter than the one before."""
    path = tmp_path / "clip.mp4"
    write_mp4(path, (image(10 * number) for number in range(12)), fps=25)
    return path


def number_of(pixels: np.ndarray | None) -> int | None:
    return None if pixels is None else round(pixels[30:, 40:].mean() / 10)


def encoded(
    path: Path,
    *,
    container: str,
    codec: str,
    stamps: Sequence[int] = range(12),
    unit: Fraction = Fraction(1, 25),
) -> None:
    with av.open(str(path), "w", format=container) as out:
        stream = out.add_stream(codec, rate=25, options={"bf": "2"} if codec == "libx264" else {})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = unit
        for number, stamp in enumerate(stamps):
            frame = av.VideoFrame.from_ndarray(image(10 * number), format="rgb24")
            frame.pts, frame.time_base = stamp, unit
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def damage(path: Path, packets: list[int]) -> None:
    """Overwrite the second half of some packets in the order of decoding."""
    with av.open(str(path)) as container:
        places = [(packet.pos, packet.size) for packet in container.demux(video=0)]
    data = bytearray(path.read_bytes())
    for number in packets:
        at, size = places[number]
        assert at is not None
        data[at : at + size] = bytes(size)
    path.write_bytes(data)


def refused(path: Path) -> str:
    with pytest.raises(MienError) as caught:
        list(read_frames(path))
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_every_frame_in_order_with_its_time(clip):
    frames = list(read_frames(clip))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == [number / 25 for number in range(12)]
    assert [number_of(frame.pixels) for frame in frames] == list(range(12))
    first = frames[3].pixels
    assert first is not None
    assert first.dtype == np.uint8
    assert np.abs(first.astype(int) - image(30)).mean() < 4


def test_info(clip):
    about = info(clip)
    assert (about.frames, about.fps) == (12, 25.0)


@pytest.mark.parametrize(
    ("container", "codec"),
    [("matroska", "libx264"), ("avi", "mpeg4"), ("mpegts", "libx264"), ("webm", "libvpx-vp9")],
)
def test_other_containers(tmp_path, container, codec):
    path = tmp_path / "clip"
    encoded(path, container=container, codec=codec)
    frames = list(read_frames(path))
    assert [number_of(frame.pixels) for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == pytest.approx(
        [n / 25 for n in range(12)], abs=1e-9
    )
    assert info(path).frames == 12


def test_selection_by_number(clip):
    frames = list(read_frames(clip, every=5))
    assert [(frame.index, frame.time_s) for frame in frames] == [(0, 0.0), (5, 0.2), (10, 0.4)]


@pytest.mark.parametrize(
    ("fps", "indices"),
    [
        (5, [0, 5, 10]),
        (12.5, [0, 2, 4, 6, 8, 10]),
        (10, [0, 3, 5, 8, 10]),
        (100, range(12)),
        (1, [0]),
    ],
)
def test_selection_by_rate(clip, fps, indices):
    assert [frame.index for frame in read_frames(clip, fps=fps)] == list(indices)


def test_rounded_times_lose_no_frame(tmp_path):
    path = tmp_path / "clip.mkv"  # times are whole milliseconds there
    stamps = [0, 33, 67, 100, 133, 167, 200, 233, 267, 300, 333, 367]
    encoded(path, container="matroska", codec="libx264", stamps=stamps, unit=Fraction(1, 1000))
    assert [frame.index for frame in read_frames(path, fps=30)] == list(range(12))
    assert [frame.index for frame in read_frames(path, fps=10)] == [0, 3, 6, 9]


def test_uneven_times_are_exact(tmp_path):
    path = tmp_path / "clip.mp4"
    stamps = [0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 100]
    encoded(path, container="mp4", codec="libx264", stamps=stamps)
    assert [frame.time_s for frame in read_frames(path)] == [stamp / 25 for stamp in stamps]
    assert [frame.index for frame in read_frames(path, fps=2.5)] == [0, 3, 11]


@pytest.mark.parametrize(
    "options",
    [{"every": 0}, {"every": -1}, {"fps": 0}, {"fps": float("nan")}, {"every": 2, "fps": 2}],
)
def test_contradictory_options(clip, options):
    with pytest.raises(MienError):
        read_frames(clip, **options)


@pytest.mark.parametrize(("container", "codec"), [("mp4", "libx264"), ("avi", "mpeg4")])
def test_broken_frames_are_rows_without_pixels(tmp_path, container, codec):
    path = tmp_path / "clip"
    encoded(path, container=container, codec=codec)
    damage(path, [6, 7])
    frames = list(read_frames(path))
    assert [frame.index for frame in frames] == list(range(12))
    assert [frame.time_s for frame in frames] == [number / 25 for number in range(12)]
    broken = [frame.index for frame in frames if frame.pixels is None]
    assert len(broken) == 2
    assert [frame.index for frame in read_frames(path, every=2)] == list(range(0, 12, 2))
    again = list(read_frames(path))
    for one, other in zip(frames, again, strict=True):
        if one.pixels is None or other.pixels is None:
            assert one.pixels is other.pixels
        else:
            assert np.array_equal(one.pixels, other.pixels)


def test_a_file_that_breaks_off_gives_what_there_is(tmp_path):
    path = tmp_path / "clip.avi"
    encoded(path, container="avi", codec="mpeg4", stamps=range(25))
    with av.open(str(path)) as container:
        places = [packet.pos for packet in container.demux(video=0)]
    assert places[9]
    path.write_bytes(path.read_bytes()[: places[9]])
    assert [number_of(frame.pixels) for frame in read_frames(path)] == list(range(9))


def test_what_is_no_video(tmp_path, clip):
    (tmp_path / "text.mp4").write_text("not a film")
    assert "cannot be read as a video" in refused(tmp_path / "text.mp4")
    (tmp_path / "empty.mp4").touch()
    assert "empty" in refused(tmp_path / "empty.mp4")
    assert "no such file" in refused(tmp_path / "missing.mp4")
    (tmp_path / "folder.mp4").mkdir()
    assert "folder" in refused(tmp_path / "folder.mp4")
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:200])
    refused(tmp_path / "cut.mp4")
    with pytest.raises(MienError):
        info(tmp_path / "text.mp4")


def test_sound_only(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w", format="mp4") as out:
        stream = out.add_stream("aac", rate=16_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), "fltp", "mono")
        frame.sample_rate = 16_000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    assert "no video stream" in refused(path)


def test_no_frame_that_can_be_decoded(tmp_path):
    path = tmp_path / "clip.mp4"
    encoded(path, container="mp4", codec="libx264")
    damage(path, list(range(12)))
    frames = list(read_frames(path))
    assert len(frames) == 12
    assert all(frame.pixels is None for frame in frames)


def test_a_playlist_leads_nowhere(tmp_path, clip):
    (tmp_path / "list.m3u8").write_text(
        "#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/x.ts\n#EXT-X-ENDLIST\n"
    )
    refused(tmp_path / "list.m3u8")
    (tmp_path / "list.txt").write_text("ffconcat version 1.0\nfile http://127.0.0.1:9/x.ts\n")
    refused(tmp_path / "list.txt")


@pytest.mark.parametrize("quarter_turns", [1, 2, 3])
def test_rotation_in_the_file_is_applied(clip, quarter_turns):
    """The track header's matrix is [a b 0; c d 0; 0 0 1] and turns the image clockwise."""
    a, b, c, d = {1: (0, 1, -1, 0), 2: (-1, 0, 0, -1), 3: (0, -1, 1, 0)}[quarter_turns]
    data = clip.read_bytes()
    one = 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    clip.write_bytes(data[:at] + turned + data[at + len(turned) :])
    pixels = next(iter(read_frames(clip))).pixels
    expected = np.rot90(image(0), -quarter_turns)
    assert pixels is not None
    assert pixels.shape == expected.shape
    assert np.abs(pixels.astype(int) - expected).mean() < 6


def test_memory_does_not_grow(tmp_path):
    path = tmp_path / "long.mp4"
    write_mp4(path, (image(number % 20 * 9) for number in range(300)), fps=30)
    frames = read_frames(path)
    next(frames)
    tracemalloc.start()
    try:
        assert sum(1 for _ in frames) == 299
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 40 * image(0).nbytes


def test_reading_may_be_broken_off(clip):
    frames = read_frames(clip)
    next(frames)
    frames.close()


def test_writing_odd_sizes_and_no_frames(tmp_path):
    assert write_mp4(tmp_path / "a.mp4", [image(50, 31, 47)] * 3, fps=29.97) == 3
    frames = list(read_frames(tmp_path / "a.mp4"))
    assert [frame.pixels.shape for frame in frames if frame.pixels is not None] == [(32, 48, 3)] * 3
    assert frames[1].time_s == pytest.approx(1001 / 30000, abs=1e-6)
    with pytest.raises(MienError, match="no frame"):
        write_mp4(tmp_path / "b.mp4", [], fps=25)
    with pytest.raises(MienError, match="exists"):
        write_mp4(tmp_path / "a.mp4", [image(0)], fps=25)
    with pytest.raises(ValueError, match="is wanted"):
        write_mp4(tmp_path / "b.mp4", [image(0), image(0, 50)], fps=25)
    with pytest.raises(MienError, match="cannot write"):
        write_mp4(tmp_path / "missing" / "b.mp4", [image(0)], fps=25)
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]


def test_writing_that_fails_leaves_nothing(tmp_path):
    def frames():
        yield image(0)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_mp4(tmp_path / "a.mp4", frames(), fps=25)
    assert list(tmp_path.iterdir()) == []


def test_an_image_is_a_video_of_one_frame_or_refused(tmp_path):
    write_png(tmp_path / "a.png", image(9))
    frames = list(read_frames(tmp_path / "a.png"))
    assert len(frames) == 1
