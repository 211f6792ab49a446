"""`mien render --gaze` and `--eyes-from`, with a model whose answers are known."""

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest
import torch
from PIL import Image

from fake_config import CONFIG, FakeConfig
from mien.cli.main import run
from mien.errors import MienError
from mien.faces.face import Face
from mien.geometry.gaze import gaze_angles, gaze_vector
from mien.media.video import read_frames, write_mp4
from mien.probes.fit import fit_calibration
from mien.types import Factors, GazeCode, Light, Pose
from mien.views.gaze_film import GazeReader, film_gaze, image_gaze, redirect_gaze

EYES = torch.tensor([[0.3, 0.4], [0.7, 0.4]])


@dataclass
class FakeModel:
    """Red says where a face looks, 128 = ahead, more = image-left; a dark one has its eyes shut."""

    weights_id: str = "feed"
    crop_size: int = 32
    eye_crop_size: tuple[int, int] = (4, 8)
    features_dim: int = 1
    config: FakeConfig = CONFIG

    def encode_eyes(self, eye_crops):
        raise AssertionError("faces are read")

    def encode(self, images, *, features=False):
        pixels = images.float() * (1 if images.dtype == torch.uint8 else 255)
        count, means = len(images), pixels.mean(dim=(2, 3))
        found = means.mean(dim=1) > 40
        code = torch.stack([(means[:, 0] - 128) / 128, torch.zeros(count)], dim=1)
        code[~found] = 1e9  # means nothing, and must not be used
        gaze = GazeCode(code, found, EYES.expand(count, 2, 2), found.float())
        pose = Pose(torch.eye(3).expand(count, 3, 3), torch.zeros(count, 3))
        light = Light(torch.ones(count), torch.ones(count), torch.zeros(count, 3))
        return Factors(*(torch.zeros(4, count, 1)), pose=pose, light=light, gaze=gaze)

    def redirect_gaze(self, images, codes):
        rendered = images.clone()
        rendered[:, :, 10:16] = codes[:, :1, None, None]
        return rendered


@cache
def calibration(model_id="feed", dim=2, pose=False):
    """The code's first numbers are yaw and pitch, to 0.02 rad; a pose, where used, says nothing."""
    rng = np.random.default_rng(0)
    codes = rng.uniform(-1, 1, (120, dim))
    yaw, pitch = codes[:, :2].T + rng.normal(0, 0.02, (2, 120))
    return fit_calibration(
        codes=codes,
        targets=gaze_vector(yaw, pitch),
        rng=rng,
        head_pose=rng.normal(0, 0.1, (120, 3)) if pose else None,
        model_id=model_id,
    )


def face(red=200, side=64):
    """An image that is one face of a plain colour."""
    return np.full((side, side, 3), (red, 100, 100), np.uint8)


@pytest.fixture
def faces_at(monkeypatch):
    """Let faces be found at these boxes."""

    def place(*boxes):
        found = [Face(box, 1.0, framing="image") for box in boxes]
        monkeypatch.setattr("mien.pipeline.crops.open_detector", lambda _: lambda _: found)

    return place


@pytest.fixture
def fake_weights(monkeypatch):
    model = FakeModel()
    monkeypatch.setattr("mien.model.load", lambda *_, **__: model)
    return model


def changed(before, after):
    return np.argwhere((np.abs(before.astype(int) - after) > 30).any(axis=2))


def test_each_face_gets_its_own_gaze_between_its_own_eyes(faces_at):
    image = np.full((100, 300, 3), 90, np.uint8)
    image[10:60, 20:70, 0] = 192  # to image-left: yaw 0.5
    image[30:90, 120:180] = 5  # shut
    image[20:60, 240:280, 0] = 64  # to image-right
    faces_at((240, 20, 280, 60), (20, 10, 70, 60), (120, 30, 180, 90))
    first, shut, last = GazeReader(FakeModel(), calibration())(image)
    assert shut is None
    assert first is not None
    assert last is not None
    np.testing.assert_allclose(first.eyes, (20 + 25, 10 + 20), atol=1e-5)
    np.testing.assert_allclose(last.eyes, (240 + 20, 20 + 16), atol=1e-5)
    # The crop's edge takes in a little of what is around it.
    assert gaze_angles(first.direction)[0] == pytest.approx(0.5, abs=0.03)
    assert gaze_angles(last.direction)[0] == pytest.approx(-0.5, abs=0.03)
    assert first.length / last.length == pytest.approx(50 / 40)
    assert first.std_rad == pytest.approx(0.02, rel=0.2)


def test_the_head_pose_is_given_where_the_calibration_wants_it(faces_at):
    faces_at((0, 0, 64, 64))
    (gaze,) = GazeReader(FakeModel(), calibration(pose=True))(face(red=160))
    assert gaze is not None
    assert gaze_angles(gaze.direction)[0] == pytest.approx(0.25, abs=0.02)


def test_an_image_without_a_face_or_without_eyes_has_no_arrow(tmp_path, faces_at):
    Image.fromarray(face() // 20).save(tmp_path / "dark.png")
    reader = GazeReader(FakeModel(), calibration(), detector="none")
    with pytest.raises(MienError, match=r"no open eyes are seen in .*dark\.png"):
        image_gaze(tmp_path / "dark.png", reader)
    faces_at()
    reader = GazeReader(FakeModel(), calibration())
    with pytest.raises(MienError, match=r"no face found in .*dark\.png"):
        image_gaze(tmp_path / "dark.png", reader)


def test_what_does_not_fit_the_weights_is_refused():
    for wrong in (calibration(model_id="cafe"), calibration(dim=3)):
        with pytest.raises(MienError, match="the calibration"):
            GazeReader(FakeModel(), wrong, detector="none")
    blind = FakeModel(config=FakeConfig(None))
    with pytest.raises(MienError, match="the weights feed have no gaze branch"):
        GazeReader(blind, calibration(), detector="none")


def test_every_frame_of_a_film_is_shown_and_none_is_made_up(tmp_path):
    frames = [face(60), face() // 20, face(250)]
    write_mp4(tmp_path / "in.mp4", frames, fps=5)
    reader = GazeReader(FakeModel(), calibration(), detector="none")
    shown = [frame.pixels for frame in film_gaze(tmp_path / "in.mp4", reader)]
    seen = [frame.pixels for frame in read_frames(tmp_path / "in.mp4")]
    assert len(shown) == len(seen) == 3
    assert [len(changed(a, b)) > 0 for a, b in zip(seen, shown, strict=True)] == [True, False, True]
    # The arrow starts in the middle, at two fifths of the height.
    assert changed(seen[0], shown[0])[:, 1].mean() > 33 > 31 > changed(seen[2], shown[2]).mean(0)[1]
    write_mp4(tmp_path / "dark.mp4", frames[1:2] * 3, fps=5)
    reader = GazeReader(FakeModel(), calibration(), detector="none")
    with pytest.raises(MienError, match="no open eyes"):
        list(film_gaze(tmp_path / "dark.mp4", reader))


def test_eyes_are_rendered_anew_only_where_there_are_any():
    model = FakeModel()
    crops = torch.from_numpy(np.stack([face(200, 32), face(200, 32) // 20])).permute(0, 3, 1, 2)
    gaze = model.encode(torch.full((1, 3, 32, 32), 192, dtype=torch.uint8)).gaze
    assert gaze is not None
    rendered, found = redirect_gaze(model, crops, gaze)
    assert found.tolist() == [True, False]
    torch.testing.assert_close(rendered[0, :, 10:16], torch.full((3, 6, 32), 0.5))
    torch.testing.assert_close(rendered[0, :, 20:], crops[0, :, 20:].float() / 255)
    torch.testing.assert_close(rendered[1], crops[1].float() / 255)
    with pytest.raises(MienError, match="no open eyes"):
        redirect_gaze(model, crops, replace(gaze, eyes_found=torch.tensor([False])))


def test_the_command_draws_on_an_image_and_on_a_film(tmp_path, fake_weights, capsys):
    Image.fromarray(face()).save(tmp_path / "in.png")
    write_mp4(tmp_path / "in.mp4", [face(60), face(250)], fps=5)
    calibration().save(tmp_path / "c.json")
    options = ["--gaze", "--calibration", str(tmp_path / "c.json"), "--detector", "none"]
    for name in ("in.png", "in.mp4"):
        out = tmp_path / f"out{name[2:]}"
        assert run(["render", str(tmp_path / name), "-o", str(out), *options]) == 0
        assert run(["render", str(tmp_path / name), "-o", str(out), *options]) == 2
        assert "exists" in capsys.readouterr().err
    found = changed(face(), np.asarray(Image.open(tmp_path / "out.png")))
    assert found[:, 1].mean() < 30, "to image-left"
    films = [list(read_frames(tmp_path / name)) for name in ("in.mp4", "out.mp4")]
    for before, after in zip(*films, strict=True):
        assert len(changed(before.pixels, after.pixels)) > 20


def test_the_command_gives_a_face_other_eyes(tmp_path, fake_weights, capsys):
    for name, image in (("in", face()), ("other", face(192)), ("dark", face() // 20)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    write_mp4(tmp_path / "in.mp4", [face(60), face() // 20], fps=5)

    def render(name, eyes, out, *more):
        words = ["render", str(tmp_path / name), "--eyes-from", str(tmp_path / eyes)]
        return run([*words, "-o", str(tmp_path / out), "--detector", "none", *more])

    assert render("in.png", "other.png", "out.png", "--size", "64") == 0
    rendered = np.asarray(Image.open(tmp_path / "out.png"))
    assert rendered.shape == (64, 64, 3)
    assert abs(int(rendered[26, 32, 1]) - 128) <= 1
    assert abs(int(rendered[50, 32, 1]) - 100) <= 1
    assert render("in.mp4", "other.png", "out.mp4") == 0
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 2
    capsys.readouterr()
    for eyes, image in (("dark.png", "in.png"), ("other.png", "dark.png")):
        assert render(image, eyes, "none.png") == 2
        assert re.search(r"no open eyes are seen in .*dark\.png", capsys.readouterr().err)
    assert not (tmp_path / "none.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--gaze"], "--gaze needs --calibration"),
        (["--calibration", "c.json"], "--calibration goes with --gaze"),
        (["--gaze", "--calibration", "c.json", "--frontal"], "leave --frontal out"),
        (["--gaze", "--calibration", "c.json", "--eyes-from", "b.png"], "leave --eyes-from out"),
        (["--gaze", "--calibration", "c.json", "--size", "64"], "leave --size out"),
        (["--eyes-from", "b.png", "--light", "0,0,-1", "--depth"], "leave --light, --depth out"),
        (["--gaze", "--calibration", "c.json", "--mesh", "m.glb"], "leave --mesh out"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options, message, tmp_path, capsys):
    out = tmp_path / "out.png"
    assert run(["render", "a.png", "-o", str(out), *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_an_image_makes_no_film_and_a_missing_calibration_is_named(tmp_path, fake_weights, capsys):
    Image.fromarray(face()).save(tmp_path / "in.png")
    words = ["render", str(tmp_path / "in.png"), "--gaze", "--calibration", "nowhere.json"]
    assert run([*words, "-o", str(tmp_path / "out.mp4")]) == 2
    assert "is no video" in capsys.readouterr().err
    assert run([*words, "-o", str(tmp_path / "out.png")]) == 2
    assert "nowhere.json" in capsys.readouterr().err


def test_weights_without_a_gaze_branch_are_refused(tmp_path, tiny_folder, capsys):
    Image.fromarray(face()).save(tmp_path / "in.png")
    calibration().save(tmp_path / "c.json")
    words = ["render", str(tmp_path / "in.png"), "-o", str(tmp_path / "out.png")]
    words += ["--weights", str(tiny_folder), "--detector", "none"]
    asked = (
        ["--gaze", "--calibration", str(tmp_path / "c.json")],
        ["--eyes-from", str(tmp_path / "in.png")],
    )
    for options in asked:
        assert run([*words, *options]) == 2
        assert "have no gaze branch" in capsys.readouterr().err
    assert not (tmp_path / "out.png").exists()
