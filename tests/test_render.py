import json
import shutil
import struct

import numpy as np
import pytest
from PIL import Image

from mien.cli.main import run
from mien.faces.face import Face
from mien.media.image import read, write_png
from mien.media.video import read_frames, write_mp4
from mien.pipeline.portrait import read_clip, read_faces


def image(seed, side=48):
    """Soft colours that no detector takes for a face. uint8 [side, side, 3]."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(40, 215, (6, 6, 3))
    return np.kron(coarse, np.ones((side // 6, side // 6, 1))).astype(np.uint8)


@pytest.fixture
def photo(tmp_path):
    write_png(tmp_path / "photo.png", image(0))
    return str(tmp_path / "photo.png")


@pytest.fixture
def film(tmp_path):
    write_mp4(tmp_path / "film.mp4", [image(i) for i in range(4)], fps=10)
    return str(tmp_path / "film.mp4")


@pytest.fixture
def render(tiny_folder, capsys):
    """Run `mien render` with the tiny model on face crops; returns exit code and stderr."""

    def go(*words):
        options = ["--weights", str(tiny_folder), "--detector", "none", "--size", "48"]
        code = run(["render", *words, *options])
        return code, capsys.readouterr().err

    return go


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--frontal",),
        ("--yaw", "30", "--pitch=-10"),
        ("--light=-1,0,-1",),
        ("--neutral", "--frontal"),
        ("--depth",),
        ("--normals",),
    ],
    ids=" ".join,
)
def test_an_image_is_rendered(options, photo, render, tmp_path):
    out = tmp_path / "out.png"
    assert render(photo, "--out", str(out), *options) == (0, "")
    rendered = read(out)
    assert rendered.shape == (48, 48, 3)
    assert rendered.std() > 1


@pytest.mark.parametrize(("suffix", "format"), [("jpg", "JPEG"), ("webp", "WEBP"), ("PNG", "PNG")])
def test_images_are_written_as_their_suffix_says(
    suffix, format, photo, tiny_folder, tmp_path, capsys
):
    out = tmp_path / f"out.{suffix}"
    words = ["render", photo, "--out", str(out), "--weights", str(tiny_folder), "--size", "48"]
    assert run([*words, "--detector", "none"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{out}: 48 x 48 pixels; the one face found\n"
    with Image.open(out) as written:
        assert (written.format, written.size) == (format, (48, 48))


def test_a_face_can_be_chosen_and_all_can_be_rendered(tiny_folder, tmp_path, monkeypatch, capsys):
    faces = [Face((x, 0, x + 48, 48), 1.0, framing="image") for x in (96, 0, 48)]
    faces[2] = Face((48, 0, 97, 49), 1.0, framing="image")  # the largest
    finder = type("Finder", (), {"name": "finder", "__call__": lambda *_: faces})()
    monkeypatch.setattr("mien.pipeline.crops.open_detector", lambda _: finder)
    write_png(tmp_path / "a.png", np.concatenate([image(i) for i in range(3)], axis=1))
    words = ["render", str(tmp_path / "a.png"), "--weights", str(tiny_folder), "--size", "48"]
    seen = {}
    for name, options, part in (
        ("0", ["--face", "0"], "face 0 of 3 found"),
        ("1", ["--face", "1"], "face 1 of 3 found"),
        ("2", ["--face", "2"], "face 2 of 3 found"),
        ("largest", [], "face 1 of 3 found"),
        ("all", ["--all"], "all 3 faces found"),
    ):
        assert run([*words, "--out", str(tmp_path / f"{name}.png"), *options]) == 0
        assert part in capsys.readouterr().out
        seen[name] = read(tmp_path / f"{name}.png")
    assert np.array_equal(seen["largest"], seen["1"])
    apart = np.concatenate([seen["0"], seen["1"], seen["2"]], axis=1)
    # Sums of a batch are rounded otherwise by some versions.
    assert np.abs(seen["all"].astype(int) - apart).max() <= 1
    assert not np.array_equal(seen["0"], seen["2"])
    assert run([*words, "--out", str(tmp_path / "x.png"), "--face", "3"]) == 2
    assert "shows no face 3: 3 found" in capsys.readouterr().err


def test_a_failed_second_output_leaves_the_first_unwritten(photo, render, tmp_path):
    (tmp_path / "head.mtl").write_text("mine")
    code, err = render(
        photo, "--out", str(tmp_path / "out.jpg"), "--mesh", str(tmp_path / "head.obj")
    )
    assert code == 2
    assert "head.mtl exists" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["head.mtl", "photo.png"]


def test_turning_to_the_left_and_right_differ(photo, render, tmp_path):
    for name, yaw in (("left", "40"), ("right", "-40")):
        assert render(photo, "--out", str(tmp_path / f"{name}.png"), "--yaw", yaw)[0] == 0
    assert not np.array_equal(read(tmp_path / "left.png"), read(tmp_path / "right.png"))


def test_two_maps_stand_side_by_side(photo, render, tmp_path):
    out = tmp_path / "out.png"
    assert render(photo, "--out", str(out), "--depth", "--normals")[0] == 0
    assert read(out).shape == (48, 96, 3)


def test_anothers_expression_changes_the_image(photo, render, tmp_path):
    write_png(tmp_path / "other.png", image(5))
    plain, transferred = tmp_path / "plain.png", tmp_path / "transferred.png"
    assert render(photo, "--out", str(plain))[0] == 0
    words = (photo, "--out", str(transferred), "--expression-from", str(tmp_path / "other.png"))
    assert render(*words)[0] == 0
    assert not np.array_equal(read(plain), read(transferred))


@pytest.mark.parametrize("name", ["head.glb", "head.obj"])
def test_a_mesh_can_be_all_that_is_asked_for(name, photo, render, tmp_path):
    assert render(photo, "--mesh", str(tmp_path / name)) == (0, "")
    data = (tmp_path / name).read_bytes()
    if name.endswith("glb"):
        (length,) = struct.unpack("<I", data[12:16])
        document = json.loads(data[20 : 20 + length])
        (primitive,) = document["meshes"][0]["primitives"]
        count = document["accessors"][primitive["attributes"]["POSITION"]]["count"]
        assert count == 32 * 32
    else:
        assert data.count(b"\nf ") == 2 * 31 * 31
        assert (tmp_path / "head.png").exists()


def test_a_turntable_is_a_film(photo, render, tmp_path, monkeypatch):
    monkeypatch.setattr("mien.cli.render._FRAMES", 6)
    out = tmp_path / "turn.mp4"
    assert render(photo, "--out", str(out), "--turntable") == (0, "")
    frames = [frame.pixels for frame in read_frames(out) if frame.pixels is not None]
    assert len(frames) == 6
    assert not np.array_equal(frames[1], frames[5])


def test_a_film_is_rendered_frame_by_frame(film, render, tmp_path):
    out = tmp_path / "again.mp4"
    assert render(film, "--out", str(out), "--frontal") == (0, "")
    assert len(list(read_frames(out))) == 4
    assert render(film, "--out", str(tmp_path / "first.png"))[0] == 0


@pytest.mark.parametrize(
    ("words", "part"),
    [
        ((), "nothing to write"),
        (("--out", "x.gif"), "--out is .png, .jpg"),
        (("--out", "x.png", "--yaw", "nan"), "--yaw is an angle"),
        (("--out", "x.png", "--pitch=-inf"), "--pitch is an angle"),
        (("--out", "x.png", "--light=inf,0,0"), "points nowhere"),
        (("--out", "x.png", "--face", "0", "--all"), "not both"),
        (("--out", "x.mp4", "--turntable", "--all"), "into one image"),
        (("--out", "x.png", "--face", "3"), "shows no face 3: 1 found"),
        (("--out", "m.png", "--mesh", "m.obj"), "would be written twice"),
        (("--out", "photo.png", "--overwrite"), "is read and would be overwritten"),
        (("--mesh", "photo.obj", "--overwrite"), "is read and would be overwritten"),
        (("--out", "x.png", "--turntable"), "name --out something.mp4"),
        (("--out", "x.png", "--frontal", "--yaw", "3"), "give one of"),
        (("--out", "x.png", "--neutral", "--expression-from", "y.png"), "not both"),
        (("--out", "x.png", "--light", "1,2"), "three numbers"),
        (("--out", "x.png", "--light", "0,0,0"), "points nowhere"),
        (("--out", "x.png", "--light", "nan,0,0"), "points nowhere"),
        (("--out", "x.mp4"), "is no video"),
        (("--mesh", "x.stl"), "name it .obj or .glb"),
        (("--out", "x.png", "--device", "cuda:99"), "cuda:99"),
    ],
)
def test_what_cannot_be_rendered_is_one_line(words, part, photo, render, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, err = render(photo, *words)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert part in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["photo.png"]


def test_files_are_replaced_only_when_asked(photo, render, tmp_path):
    out = tmp_path / "out.png"
    out.write_bytes(b"mine")
    code, err = render(photo, "--out", str(out))
    assert code == 2
    assert "exists" in err
    assert out.read_bytes() == b"mine"
    assert render(photo, "--out", str(out), "--overwrite")[0] == 0
    assert read(out).shape == (48, 48, 3)


@pytest.mark.parametrize("name", ["photo.png", "film.mp4"])
def test_no_face_is_one_line(name, photo, film, tiny_folder, tmp_path, capsys):
    out = tmp_path / "out.png"
    words = [str(tmp_path / name), "--out", str(out), "--weights", str(tiny_folder)]
    assert run(["render", *words, "--detector", "haar"]) == 2
    err = capsys.readouterr().err
    assert "no face found in" in err
    assert err.count("\n") == 1
    assert not out.exists()


def test_files_that_cannot_be_read_are_one_line(render, tmp_path):
    (tmp_path / "text.jpg").write_text("not an image")
    for name in ("text.jpg", "absent.png"):
        code, err = render(str(tmp_path / name), "--out", str(tmp_path / "out.png"))
        assert code == 2
        assert name in err
        assert err.count("\n") == 1


def test_frames_without_a_face_show_the_one_before(film, monkeypatch):
    import mien.pipeline.portrait as portrait

    real, calls = portrait.find_faces, []

    def sometimes(pixels, detector):
        calls.append(0)
        return [] if len(calls) in (1, 3) else real(pixels, detector)

    monkeypatch.setattr(portrait, "find_faces", sometimes)
    crops = list(read_faces(film, detector="none", size=16))
    assert len(crops) == 3
    assert crops[0].pixels is crops[1].pixels
    assert crops[2].pixels is not crops[1].pixels


def test_a_clip_is_a_video_or_a_folder_of_frames(film, tmp_path):
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(3):
        write_png(folder / f"{i}.png", image(i))
    assert read_clip(folder, detector="none", size=16).shape == (3, 3, 16, 16)
    assert read_clip(film, detector="none", size=16).shape == (4, 3, 16, 16)
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(Exception, match="no face found in the clip"):
        read_clip(folder, detector="none", size=16)


def test_kernels_are_compiled_without_a_cache_where_none_can_be_kept(monkeypatch):
    import numba.core.caching as caching

    from mien.render.compiled import compiled

    def no_place(*_):
        raise RuntimeError("cannot cache function: no locator available")

    monkeypatch.setattr(caching.CompileResultCacheImpl, "__init__", no_place)
    twice = compiled(nogil=True)(lambda x: 2 * x)
    assert twice(21) == 42
