"""Images of every mode and make become uint8 RGB; broken ones are refused in one line."""

from __future__ import annotations

import io
import os
import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from mien.errors import MienError
from mien.media.image import read, read_image, to_uint8, write_png


@pytest.fixture
def gradient() -> np.ndarray:
    """An image without symmetry. uint8 [6, 9, 3]."""
    rows, columns = np.mgrid[0:6, 0:9]
    return np.stack([columns * 25, rows * 40, (rows + columns) * 10], axis=2).astype(np.uint8)


def refused(path) -> str:
    with pytest.raises(MienError) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert path.name[:3] in message
    message.encode("utf-8")
    return message


def test_rgb_comes_back_as_written(tmp_path, gradient):
    write_png(tmp_path / "a.png", gradient)
    image = read_image(tmp_path / "a.png")
    assert image.pixels is not None
    assert np.array_equal(image.pixels, gradient)
    assert image.pixels.dtype == np.uint8
    assert image.scale == 1


def test_grey_and_bilevel(tmp_path, gradient):
    write_png(tmp_path / "l.png", gradient[:, :, 0])
    assert np.array_equal(read(tmp_path / "l.png"), gradient[:, :, :1].repeat(3, axis=2))
    Image.fromarray(gradient[:, :, 0]).convert("1", dither=Image.Dither.NONE).save(
        tmp_path / "1.png"
    )
    assert set(read(tmp_path / "1.png").ravel().tolist()) == {0, 255}


def test_alpha_lies_over_white(tmp_path):
    layers = np.array([[[200, 0, 0, 255], [200, 0, 0, 0], [100, 0, 0, 128]]], np.uint8)
    Image.fromarray(layers).save(tmp_path / "a.png")
    pixels = read(tmp_path / "a.png")[0]
    assert pixels[0].tolist() == [200, 0, 0]
    assert pixels[1].tolist() == [255, 255, 255]
    assert np.abs(pixels[2].astype(int) - [177, 127, 127]).max() <= 1
    Image.fromarray(layers[:, :, [0, 3]]).save(tmp_path / "la.png")
    assert read(tmp_path / "la.png")[0, :2, 0].tolist() == [200, 255]


def test_transparent_colour_and_palette(tmp_path):
    grey = Image.fromarray(np.array([[7, 90]], np.uint8))
    grey.save(tmp_path / "key.png", transparency=7)
    assert read(tmp_path / "key.png")[0, :, 0].tolist() == [255, 90]
    palette = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    palette.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    palette.save(tmp_path / "p.png")
    assert read(tmp_path / "p.png")[0].tolist() == [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    palette.save(tmp_path / "pt.png", transparency=bytes([255, 0, 255]))
    assert read(tmp_path / "pt.png")[0].tolist() == [[10, 20, 30], [255] * 3, [70, 80, 90]]


def test_sixteen_bits_keep_the_high_ones(tmp_path):
    values = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for name in ("a.png", "a.tiff"):
        Image.fromarray(values).save(tmp_path / name)
        assert read(tmp_path / name)[0, :, 1].tolist() == [0, 1, 128, 255]
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "i.tiff")
    assert read(tmp_path / "i.tiff")[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    data = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 65535, 32896, 257)))
    end = chunk(b"IEND", b"")
    (tmp_path / "rgb16.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + data + end)
    assert read(tmp_path / "rgb16.png")[0, 0].tolist() == [255, 128, 1]


@pytest.mark.parametrize("white", [1.0, 255.0, 65535.0])
def test_floating_point_grey(tmp_path, white):
    values = np.array([[0, 0.5, 1, np.nan]], np.float32) * np.float32(white)
    Image.fromarray(values).save(tmp_path / "f.tiff")
    assert read(tmp_path / "f.tiff")[0, :, 2].tolist() == [0, 128, 255, 0]


def test_cmyk(tmp_path):
    inks = np.zeros((8, 8, 4), np.uint8)
    inks[..., 1:3] = 255  # magenta + yellow = red
    Image.fromarray(inks, mode="CMYK").save(tmp_path / "c.jpg", quality=100)
    assert np.abs(read(tmp_path / "c.jpg").astype(int) - [255, 0, 0]).max() < 8


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation(tmp_path, gradient, orientation):
    stored = {
        1: gradient,
        2: gradient[:, ::-1],
        3: gradient[::-1, ::-1],
        4: gradient[::-1],
        5: gradient.transpose(1, 0, 2),
        6: np.rot90(gradient),
        7: gradient[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(gradient, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(stored)).save(tmp_path / "a.png", exif=exif)
    assert np.array_equal(read(tmp_path / "a.png"), gradient)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_plain_files_are_read_as_by_the_long_way(tmp_path, monkeypatch, gradient, name):
    Image.fromarray(gradient).save(tmp_path / name)
    found = read(tmp_path / name)
    assert found.flags.writeable
    monkeypatch.setattr("mien.media.image._is_plain", lambda image, factor: False)
    assert np.array_equal(found, read(tmp_path / name))


def test_broken_exif_is_passed_over(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.png", exif=b"Exif\0\0nonsense")
    assert np.array_equal(read(tmp_path / "a.png"), gradient)


def test_one_pixel(tmp_path):
    for name in ("a.png", "a.jpg", "a.gif", "a.webp", "a.bmp", "a.ppm"):
        Image.new("RGB", (1, 1), (255, 255, 255)).save(tmp_path / name)
        assert read(tmp_path / name).tolist() == [[[255, 255, 255]]]


@pytest.mark.parametrize("name", ["wide.png", "wide.jpg", "wide.bmp"])
def test_twenty_thousand_pixels_wide(tmp_path, name):
    stripes = np.repeat(np.arange(20, dtype=np.uint8) * 12, 1000)
    image = np.broadcast_to(stripes[None, :, None], (40, 20_000, 3))
    Image.fromarray(np.ascontiguousarray(image)).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert image.pixels is not None
    assert image.pixels.shape == (40 // image.scale, 20_000 // image.scale, 3)
    assert image.pixels.shape[1] <= 4096
    columns = np.arange(20) * 1000 + 500
    seen = image.pixels[2, columns // image.scale, 0].astype(int)
    assert np.abs(seen - np.arange(20) * 12).max() <= 2


def test_reduced_by_averaging_and_turned(tmp_path, gradient):
    tall = gradient.repeat(4, axis=0).repeat(4, axis=1)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.ascontiguousarray(np.rot90(tall))).save(tmp_path / "a.tiff", exif=exif)
    image = read_image(tmp_path / "a.tiff", max_side=9)
    assert image.pixels is not None
    assert np.array_equal(image.pixels, gradient)
    assert image.scale == 4


def test_reading_in_strips_changes_nothing(tmp_path, monkeypatch):
    image = np.random.default_rng(0).integers(0, 256, (101, 67, 4), np.uint8)
    Image.fromarray(image).save(tmp_path / "a.png")
    whole = read(tmp_path / "a.png", max_side=40)
    monkeypatch.setattr("mien.media.image._STRIP_PIXELS", 300)
    assert np.array_equal(read(tmp_path / "a.png", max_side=40), whole)
    assert whole.shape == (34, 23, 3)


def test_a_bomb_is_refused_and_pillows_own_limit_is_left_alone(tmp_path):
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    bomb = b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(100)))
    (tmp_path / "bomb.png").write_bytes(bomb)
    before = Image.MAX_IMAGE_PIXELS
    assert "too large: 60000 x 60000" in refused(tmp_path / "bomb.png")
    assert before is not None
    assert before == Image.MAX_IMAGE_PIXELS


def test_broken_files(tmp_path, gradient):
    for name in ("cut.jpg", "cut.png", "cut.webp", "cut.tiff"):
        whole = io.BytesIO()
        noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(noise).save(whole, format={"jpg": "JPEG"}.get(name[4:], name[4:]))
        data = whole.getvalue()
        for kept in (4, 30, len(data) // 2):
            (tmp_path / name).write_bytes(data[:kept])
            refused(tmp_path / name)
    (tmp_path / "empty.jpg").touch()
    assert "empty" in refused(tmp_path / "empty.jpg")
    (tmp_path / "text.jpg").write_text("hello, I am a text")
    assert "not an image" in refused(tmp_path / "text.jpg")
    (tmp_path / "page.png").write_text("<svg></svg>")
    refused(tmp_path / "page.png")


def test_what_is_no_file(tmp_path):
    assert "no such file" in refused(tmp_path / "missing.png")
    (tmp_path / "folder.png").mkdir()
    assert "is a folder" in refused(tmp_path / "folder.png")
    with pytest.raises(MienError, match="cannot read"):
        read("with\0nul.png")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    assert "ordinary" in refused(tmp_path / "pipe.png")


def test_unreadable_file(tmp_path, gradient, monkeypatch):
    path = tmp_path / "secret.png"
    write_png(path, gradient)
    path.chmod(0)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may read anything
    assert "permission denied" in refused(path)


@pytest.mark.skipif(os.name != "posix", reason="names are text there")
def test_names_that_are_not_utf8(tmp_path, gradient):
    path = tmp_path / os.fsdecode(b"caf\xe9\n.png")
    try:
        path.touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    assert "caf\\xe9\\x0a" in refused(path)
    path.unlink()
    write_png(path, gradient)
    assert np.array_equal(read(path), gradient)


def test_unknown_format_is_refused_though_pillow_reads_it(tmp_path, gradient):
    Image.fromarray(gradient).save(tmp_path / "a.sgi", format="SGI")
    assert "not an image" in refused(tmp_path / "a.sgi")


def test_first_image_of_an_animation(tmp_path):
    first, second = (Image.new("RGB", (4, 4), (level,) * 3) for level in (255, 0))
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    assert read(tmp_path / "a.gif").min() == 255


def test_writing(tmp_path, gradient):
    write_png(tmp_path / "a.png", gradient)
    with pytest.raises(MienError, match="exists"):
        write_png(tmp_path / "a.png", gradient)
    write_png(tmp_path / "a.png", gradient[::-1], overwrite=True)
    assert np.array_equal(read(tmp_path / "a.png"), gradient[::-1])
    for wrong in (gradient.astype(np.float32), gradient[:, :, :2]):
        with pytest.raises(ValueError, match="uint8"):
            write_png(tmp_path / "b.png", wrong)
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_float_gives_back_every_level():
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 256, 1).repeat(3, axis=3)
    image = torch.from_numpy(every).permute(0, 3, 1, 2).float() / 255
    assert np.array_equal(to_uint8(image), every)


def test_float_is_rounded_and_clipped():
    image = torch.tensor([-1.0, 0.5, 2.0]).reshape(3, 1, 1).to(torch.bfloat16)
    assert to_uint8(image)[0, 0].tolist() == [0, 128, 255]
    with pytest.raises(ValueError, match="NaN"):
        to_uint8(torch.full((3, 1, 1), torch.nan))
    with pytest.raises(ValueError, match="float"):
        to_uint8(torch.zeros(3, 2, 2, dtype=torch.uint8))


def profile_of(gamut: str, gamma: float) -> bytes:
    """An ICC profile of RGB: primaries by their places in CIE xy, a plain power law."""
    places = {
        "adobe": ((0.64, 0.33), (0.21, 0.71), (0.15, 0.06)),
        "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
        "srgb": ((0.64, 0.33), (0.30, 0.60), (0.15, 0.06)),
    }[gamut]
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in (*places, (0.3127, 0.3290))]).T
    columns = xyz[:, :3] * np.linalg.solve(xyz[:, :3], xyz[:, 3])
    bradford = np.array(
        [[1.0479, 0.0229, -0.0502], [0.0296, 0.9904, -0.0171], [-0.0092, 0.0151, 0.7519]]
    )
    columns = bradford @ columns

    def fixed(*numbers: float) -> bytes:
        return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)

    white = (0.9642, 1.0, 0.8249)
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(*white)}
    for name, column in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns.T, strict=True):
        tags[name] = b"XYZ \0\0\0\0" + fixed(*column)
    curve = b"curv\0\0\0\0" + struct.pack(">IHxx", 1, round(gamma * 256))
    tags |= dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve)
    tags[b"desc"] = b"desc\0\0\0\0" + struct.pack(">I", 2) + b"x\0" + bytes(78)
    table, body = b"", b""
    for name, data in tags.items():
        at = 128 + 4 + 12 * len(tags) + len(body)
        table += struct.pack(">4sII", name, at, len(data))
        body += data + bytes(-len(data) % 4)
    head = struct.pack(">I4xI4s4s4s", 0, 0x02400000, b"mntr", b"RGB ", b"XYZ ") + bytes(12)
    head += b"acsp" + bytes(28) + fixed(*white)
    head = head.ljust(128, b"\0")
    whole = head + struct.pack(">I", len(tags)) + table + body
    return struct.pack(">I", len(whole)) + whole[4:]


@pytest.mark.parametrize(
    ("gamut", "gamma", "stored", "shown"),
    [
        ("p3", 2.2, (234, 51, 35), (255, 0, 0)),  # sRGB's own corner, by the standards' tables
        ("adobe", 2.2, (219, 0, 0), (255, 0, 0)),
        ("adobe", 2.2, (200, 150, 120), (218, 150, 119)),
        ("p3", 2.2, (128, 128, 128), (128, 128, 128)),
        ("srgb", 1.0, (55, 55, 55), (128, 128, 128)),
    ],
)
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "tiff"])
def test_an_icc_profile_is_applied(tmp_path, gamut, gamma, stored, shown, suffix):
    lossless = {"quality": 100} if suffix == "jpg" else {"lossless": True}
    path = tmp_path / f"a.{suffix}"
    options = {"icc_profile": profile_of(gamut, gamma), **(lossless if suffix != "tiff" else {})}
    Image.new("RGB", (9, 8), stored).save(path, **options)
    assert np.abs(read(path)[4, 4].astype(int) - shown).max() <= 4


def test_a_profile_of_srgb_or_a_broken_one_changes_nothing(tmp_path, gradient):
    own = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for profile in (own, b"nonsense", own[:200], profile_of("p3", 2.2)[:300]):
        Image.fromarray(gradient).save(tmp_path / "a.png", icc_profile=profile)
        assert np.array_equal(read(tmp_path / "a.png"), gradient)
    # A profile of another kind of colour than the image's own.
    Image.fromarray(gradient[:, :, 0]).save(tmp_path / "l.png", icc_profile=profile_of("p3", 2.2))
    assert np.array_equal(read(tmp_path / "l.png")[:, :, 0], gradient[:, :, 0])


def test_a_profile_goes_with_alpha_reduction_and_rotation(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.new("RGBA", (40, 20), (234, 51, 35, 255))
    image.paste((0, 0, 0, 0), (0, 0, 20, 20))
    image.save(tmp_path / "a.png", icc_profile=profile_of("p3", 2.2), exif=exif)
    pixels = read(tmp_path / "a.png", max_side=20).astype(int)
    assert pixels.shape == (20, 10, 3)
    assert np.abs(pixels[15:, 5] - [255, 0, 0]).max() <= 4
    assert (pixels[:5] == 255).all()


def test_white_is_found_in_strips(tmp_path, monkeypatch):
    values = np.linspace(0, 200, 77 * 30, dtype=np.float32).reshape(77, 30)
    values[0, 0] = np.nan
    Image.fromarray(values).save(tmp_path / "f.tiff")
    whole = read(tmp_path / "f.tiff")
    monkeypatch.setattr("mien.media.image._STRIP_PIXELS", 100)
    assert np.array_equal(read(tmp_path / "f.tiff"), whole)
    assert whole[-1, -1].tolist() == [200, 200, 200]
