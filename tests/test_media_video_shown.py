"""What a player would show: upright, square pixels, right colours and times; with sound."""

from __future__ import annotations

import shutil
import struct
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.stream import VideoStream

from mien.errors import MienError
from mien.media.frame import Frame
from mien.media.video import read_frames, write_mp4
from mien.media.video_pixels import frame_pixels

PQ, HLG, BT2020, P3 = 16, 18, 9, 12


def image(level: int = 0, height: int = 48, width: int = 64) -> np.ndarray:
    """Grey, a bright top left quarter, and a darker strip at the right."""
    image = np.full((height, width, 3), 40 + level, np.uint8)
    image[: height // 2, : width // 2] += 120
    image[:, -width // 8 :] -= 40
    return image


def flat(red: int, green: int, blue: int, height: int = 48, width: int = 64) -> np.ndarray:
    return np.full((height, width, 3), (red, green, blue), np.uint8)


def encoded(path: Path, frames, *, codec: str = "libx264", rate: int = 25, **settings) -> None:
    """Write frames as they are: neither their matrix nor their tags are looked after."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream(codec, rate=rate, options=settings.pop("options", {}))
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for frame in frames:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode(None))


def first(path: Path) -> np.ndarray:
    pixels = next(read_frames(path)).pixels
    assert pixels is not None
    return pixels.astype(int)


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((-1, 0, 0, 1), lambda pixels: pixels[:, ::-1]),
        ((1, 0, 0, -1), lambda pixels: pixels[::-1]),
        ((-1, 0, 0, -1), lambda pixels: pixels[::-1, ::-1]),
        ((0, 1, 1, 0), lambda pixels: pixels.swapaxes(0, 1)),
        ((0, -1, -1, 0), lambda pixels: pixels.swapaxes(0, 1)[::-1, ::-1]),
        ((0, 1, -1, 0), lambda pixels: np.rot90(pixels, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((0.94, 0.34, -0.34, 0.94), lambda pixels: pixels),
    ],
    ids=["hflip", "vflip", "half", "transpose", "transverse", "clockwise", "counter", "20 degrees"],
)
def test_the_whole_display_matrix_is_applied(tmp_path, matrix, shown):
    path = tmp_path / "a.mp4"
    write_mp4(path, [image()] * 3, fps=25)
    data, one = path.read_bytes(), 1 << 16
    upright = struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30)
    a, b, c, d = (round(value * one) for value in matrix)
    at = data.index(upright, data.index(b"tkhd"))
    written = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data[:at] + written + data[at + len(upright) :])
    expected = shown(image())
    assert first(path).shape == expected.shape
    assert np.abs(first(path) - expected).mean() < 4


@pytest.mark.parametrize(
    ("aspect", "size"),
    [
        (Fraction(4, 3), (48, 85)),
        (Fraction(8, 9), (54, 64)),
        (Fraction(1), (48, 64)),
        (Fraction(99), (48, 64)),
    ],
)
def test_squeezed_pixels_become_square(tmp_path, aspect, size):
    encoded(tmp_path / "a.mp4", [image()], sample_aspect_ratio=aspect)
    pixels = first(tmp_path / "a.mp4")
    assert pixels.shape[:2] == size
    height, width = size
    assert np.abs(pixels[: height // 2 - 3, : width // 2 - 3] - 160).mean() < 6
    assert np.abs(pixels[height // 2 + 3 :, : width // 2] - 40).mean() < 6


@pytest.mark.parametrize("form", ["yuv420p", "rgb24"])
@pytest.mark.parametrize("width", [64, 50])
def test_pixels_are_those_that_ffmpeg_copies(form, width):
    given = np.random.default_rng(0).integers(0, 256, (48, width, 3), np.uint8)
    frame = av.VideoFrame.from_ndarray(given, "rgb24").reformat(format=form)
    found = frame_pixels(frame, None)
    wanted = frame.reformat(format="rgb24", src_colorspace=5).to_ndarray()
    assert found is not None
    assert np.array_equal(found, wanted)
    before = frame.to_ndarray()
    found[:] = 0  # who draws on it does not draw on what the decoder goes on from
    assert np.array_equal(frame.to_ndarray(), before)


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_time_never_runs_backwards(tmp_path, codec):
    frames = [image(4 * number) for number in range(20)]
    encoded(tmp_path / "a.avi", frames, codec=codec, options={"bf": "2"})
    found = list(read_frames(tmp_path / "a.avi"))
    assert [frame.time_s for frame in found] == [number / 25 for number in range(20)]
    levels = [frame.pixels[40, 20, 0] for frame in found if frame.pixels is not None]
    assert np.abs(np.array(levels, int) - 40 - 4 * np.arange(20)).max() <= 6
    assert [frame.index for frame in read_frames(tmp_path / "a.avi", fps=5)] == [0, 5, 10, 15]


@pytest.mark.parametrize(
    ("rate", "fps", "indices"),
    [
        (30, 1, [0, 30, 60]),
        (25, 1, [0, 25, 50]),
        (24, 10, [0, 2, 5, 7, 10, 12, 14, 17, 19, 22, 24]),
        (25, 2, [0, 13, 25, 38, 50]),
    ],
)
def test_the_frame_nearest_to_each_instant_is_taken(tmp_path, rate, fps, indices):
    write_mp4(tmp_path / "a.mp4", [image()] * 70, fps=rate)
    found = [frame.index for frame in read_frames(tmp_path / "a.mp4", fps=fps)]
    assert found[: len(indices)] == indices


def test_instants_are_counted_from_the_first_frame_shown(tmp_path):
    late = [Frame(image(), number, 0.844 + number / 30) for number in range(70)]
    write_mp4(tmp_path / "a.mp4", late, fps=30, sound_of=_with_sound(tmp_path / "b.mp4"))
    found = list(read_frames(tmp_path / "a.mp4", fps=1))
    assert [frame.index for frame in found] == [0, 30, 60]
    assert found[0].time_s == pytest.approx(0.844, abs=0.03)  # the sound begins before it


def test_a_size_that_changes_does_not_end_a_film(tmp_path):
    frames = [image(), image(height=96, width=64), image(height=24, width=32)]
    assert write_mp4(tmp_path / "a.mp4", frames, fps=25) == 3
    found = [frame.pixels for frame in read_frames(tmp_path / "a.mp4")]
    for pixels in found:
        assert pixels is not None
        assert pixels.shape == (48, 64, 3)
    tall, small = (np.asarray(pixels, dtype=int) for pixels in found[1:])
    assert tall[:, :12].max() < 20, "black beside what is too tall"
    assert np.abs(tall[2:20, 20:28] - 160).mean() < 8
    assert np.abs(small - image()).mean() < 8


@pytest.mark.parametrize("height", [48, 720])
@pytest.mark.parametrize("colour", [(253, 0, 0), (0, 250, 0), (10, 20, 240), (200, 150, 120)])
def test_written_colours_come_back(tmp_path, height, colour):
    write_mp4(tmp_path / "a.mp4", [flat(*colour, height=height)] * 2, fps=25)
    assert np.abs(first(tmp_path / "a.mp4")[20, 20] - colour).max() <= 3
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
        tags = frame.colorspace, frame.color_primaries, frame.color_trc, frame.color_range
        assert tags == (1, 1, 1, 1), "BT.709, limited range"


def test_a_video_says_its_matrix_or_it_goes_by_its_size(tmp_path):
    """Stored as BT.601, as this writer does; read as BT.709 where that is said or to be assumed."""
    red = (253, 0, 0)
    encoded(tmp_path / "small.mp4", [flat(*red)])
    assert np.abs(first(tmp_path / "small.mp4")[20, 20] - red).max() <= 3
    encoded(tmp_path / "said.mp4", [flat(*red, height=720)], colorspace=6)
    assert np.abs(first(tmp_path / "said.mp4")[20, 20] - red).max() <= 3
    encoded(tmp_path / "wrong.mp4", [flat(*red)], colorspace=1)
    encoded(tmp_path / "large.mp4", [flat(*red, height=720)])
    for name in ("wrong.mp4", "large.mp4"):
        assert np.abs(first(tmp_path / name)[20, 20] - [255, 24, 0]).max() <= 3


def test_every_frame_keeps_its_own_time(tmp_path):
    times = [0.0, 0.04, 0.1, 0.5, 0.52, 1.3]
    frames = [Frame(image(10 * n), n, time) for n, time in enumerate(times)]
    assert write_mp4(tmp_path / "a.mp4", frames, fps=25) == 6
    found = list(read_frames(tmp_path / "a.mp4"))
    assert [frame.time_s for frame in found] == pytest.approx(times, abs=1e-4)
    levels = [frame.pixels[40, 20, 0] for frame in found if frame.pixels is not None]
    assert levels == pytest.approx([40, 50, 60, 70, 80, 90], abs=3)


def _with_sound(path: Path, codec: str = "aac", *, seconds: int = 3, rate: int = 16_000) -> Path:
    """A film of grey frames and a tone that grows louder."""
    time = np.arange(seconds * rate) / rate
    tone = (np.sin(2 * np.pi * 440 * time) * time / seconds / 2).astype(np.float32)
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=25)
        assert isinstance(video, VideoStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio: Any = out.add_stream(codec, rate=rate, layout="mono")
        for _ in range(25 * seconds):
            out.mux(video.encode(av.VideoFrame.from_ndarray(image(), format="rgb24")))
        out.mux(video.encode(None))
        resampler = av.AudioResampler(audio.codec_context.format, "mono", rate)
        for start in range(0, len(tone), 1024):
            part = tone[None, start : start + 1024]
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(part), "flt", "mono")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for each in resampler.resample(frame):
                out.mux(audio.encode(each))
        out.mux(audio.encode(None))
    return path


def _loudness(path: Path) -> np.ndarray:
    """Greatest deflection in each half second."""
    with av.open(str(path)) as container:
        rate = container.streams.audio[0].rate
        pieces = [frame.to_ndarray() for frame in container.decode(audio=0)]
    sound = np.concatenate([p.reshape(-1) for p in pieces]).astype(float)
    sound /= 32768 if np.abs(sound).max() > 2 else 1
    return np.abs(sound[: len(sound) // (rate // 2) * (rate // 2)]).reshape(-1, rate // 2).max(1)


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "aac"), ("a.avi", "pcm_s16le")])
def test_the_sound_of_another_film_is_kept(tmp_path, name, codec):
    source = _with_sound(tmp_path / name, codec)
    write_mp4(tmp_path / "b.mp4", [image()] * 75, fps=25, sound_of=source)
    before, after = _loudness(source), _loudness(tmp_path / "b.mp4")
    assert after[:5] == pytest.approx(before[:5], abs=0.06)
    assert len(list(read_frames(tmp_path / "b.mp4"))) == 75


def test_a_film_without_sound_gives_none(tmp_path):
    write_mp4(tmp_path / "a.mp4", [image()] * 3, fps=25)
    write_mp4(tmp_path / "b.mp4", [image()] * 3, fps=25, sound_of=tmp_path / "a.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio


def _code(light: float) -> int:
    """PQ's signal for so many cd/m2, limited range of 8 bits, as a grey level of full range."""
    m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
    power = (light / 10_000) ** m1
    return round(255 * ((c1 + c2 * power) / (1 + c3 * power)) ** m2)


@pytest.mark.parametrize(
    ("curve", "level", "shown"),
    [
        (PQ, _code(203 * 0.2140), 127),  # sRGB's 127 is 0.214 of white
        (PQ, _code(203 * 0.0513), 64),
        (PQ, _code(203), 245),  # the knee: white keeps room for what is brighter
        (PQ, 255, 255),
        (PQ, 0, 0),
        (HLG, round(255 * 0.75), 245),  # BT.2408: reference white is 75 % of HLG's signal
        (HLG, round(255 * 0.38), 100),  # and 38 % is 26 cd/m2, 0.128 of it
    ],
)
def test_high_dynamic_range_is_mapped(tmp_path, curve, level, shown):
    grey = [flat(level, level, level)]
    encoded(tmp_path / "a.mp4", grey, colorspace=BT2020, color_primaries=BT2020, color_trc=curve)
    pixels = first(tmp_path / "a.mp4")[20, 20]
    assert np.abs(pixels - shown).max() <= 5, pixels
    assert np.ptp(pixels) <= 2, "grey stays grey"


def test_wide_primaries_become_srgb(tmp_path):
    """Display P3's (234, 51, 35) is sRGB's pure red, by the standards' own tables."""
    encoded(tmp_path / "a.mp4", [flat(234, 51, 35)], color_primaries=P3, color_trc=1)
    assert np.abs(first(tmp_path / "a.mp4")[20, 20] - [255, 0, 0]).max() <= 6
    encoded(tmp_path / "b.mp4", [flat(120, 120, 120)], color_primaries=BT2020, color_trc=14)
    assert np.abs(first(tmp_path / "b.mp4")[20, 20] - 120).max() <= 2


@pytest.mark.parametrize("name", ["a%d.mp4", "%03d.mp4", "100%.mp4", "a%d.jpg", "concat:a.mp4"])
def test_names_are_taken_literally(tmp_path, name):
    write_mp4(tmp_path / "plain.mp4", [image()] * 2, fps=25)
    shutil.copy(tmp_path / "plain.mp4", tmp_path / name)
    for number in range(3):
        write_mp4(tmp_path / f"{number}.mp4", [image(50)] * 5, fps=25)
        shutil.copy(tmp_path / "0.mp4", tmp_path / f"a{number}.jpg")
    assert len(list(read_frames(tmp_path / name))) == 2


@pytest.mark.parametrize(
    "text",
    [
        "ffconcat version 1.0\nfile 0.mp4\n",
        "#EXTM3U\n#EXTINF:1,\n0.mp4\n#EXT-X-ENDLIST\n",
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
    ],
    ids=["concat", "playlist", "session"],
)
def test_a_list_of_other_files_opens_none_of_them(tmp_path, text):
    write_mp4(tmp_path / "0.mp4", [image()] * 2, fps=25)
    (tmp_path / "list.mp4").write_text(text)
    with pytest.raises(MienError, match=r"list\.mp4"):
        list(read_frames(tmp_path / "list.mp4"))


def test_frames_made_to_fill_the_memory_are_refused(tmp_path, monkeypatch):
    write_mp4(tmp_path / "a.mp4", [image()] * 2, fps=25)
    monkeypatch.setattr("mien.media.video.MAX_FRAME_PIXELS", 64 * 48 - 1)
    with pytest.raises(MienError, match="64 x 48"):
        list(read_frames(tmp_path / "a.mp4"))
