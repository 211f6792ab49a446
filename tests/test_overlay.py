"""`mien render --overlay`, with a model whose answers are known."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from fake_config import CONFIG, FakeConfig
from mien.cli.main import run
from mien.errors import MienError
from mien.faces.face import Face
from mien.geometry.gaze import gaze_vector
from mien.geometry.rotation import angles_to_rotation
from mien.media.video import read_frames, write_mp4
from mien.probes.fit import fit_calibration
from mien.types import Factors, GazeCode, Light, Pose
from mien.views.overlay import OverlayReader, film_overlay, image_overlay

BLUE, BOX = (90, 162, 255), (90, 160, 255)


@dataclass
class FakeModel:
    """Red says how far a head is turned, 128 = not; green how strong its expression is."""

    weights_id: str = "feed"
    crop_size: int = 32
    eye_crop_size: tuple[int, int] = (4, 8)
    features_dim: int = 1
    config: FakeConfig = CONFIG

    def encode_eyes(self, eye_crops):
        raise AssertionError("faces are read")

    def encode(self, images, *, features=False):
        count, means = len(images), images.float().mean(dim=(2, 3))
        yaw = (means[:, 0] - 128) / 128
        none = torch.zeros(count)
        pose = Pose(angles_to_rotation(yaw, none, none), torch.zeros(count, 3))
        light = Light(torch.ones(count), torch.ones(count), torch.zeros(count, 3))
        eyes = torch.tensor([[0.3, 0.4], [0.7, 0.4]]).expand(count, 2, 2)
        code = torch.stack([-yaw, none], dim=1)
        gaze = GazeCode(code, torch.ones(count, dtype=torch.bool), eyes, torch.ones(count))
        parts = torch.zeros(count, 1), torch.zeros(count, 1), means[:, 1:2], torch.zeros(count, 1)
        return Factors(*parts, pose=pose, light=light, gaze=gaze)


def calibration(model_id="feed"):
    rng = np.random.default_rng(0)
    codes = rng.uniform(-1, 1, (60, 2))
    return fit_calibration(codes=codes, targets=gaze_vector(*codes.T), rng=rng, model_id=model_id)


def face(red=128, green=100, side=120):
    return np.full((side, side, 3), (red, green, 90), np.uint8)


@pytest.fixture
def faces_at(monkeypatch):
    def place(*boxes):
        found = [Face(box, 1.0, framing="image") for box in boxes]
        monkeypatch.setattr("mien.pipeline.crops.open_detector", lambda _: lambda _: found)

    return place


def near(image, colour):
    """Places of a colour, y and x."""
    return np.argwhere((np.abs(image.astype(int) - colour) < 12).all(axis=2))


def test_a_head_points_where_it_is_turned(tmp_path, faces_at):
    faces_at((20, 20, 100, 100))
    columns = []
    for red in (64, 128, 192):  # turned to image-right, not, to image-left
        Image.fromarray(face(red)).save(tmp_path / "in.png")
        drawn = image_overlay(tmp_path / "in.png", OverlayReader(FakeModel(), None))
        places = near(drawn[25:95, 25:95], BLUE)
        columns.append(places[:, 1].mean() + 25 if len(places) else np.nan)
        assert len(near(drawn[17:24, 30:90], BOX)) > 50, "the box's upper side"
        assert drawn.shape == (120, 120, 3)
    assert columns[0] > 64 > 56 > columns[2]


def test_gaze_is_drawn_where_there_is_a_calibration(tmp_path, faces_at):
    faces_at((20, 20, 100, 100))
    Image.fromarray(face(64)).save(tmp_path / "in.png")
    plain, gaze = (
        image_overlay(tmp_path / "in.png", OverlayReader(FakeModel(), known))
        for known in (None, calibration())
    )
    arrow = np.argwhere((plain != gaze).any(axis=2))
    assert arrow[:, 1].mean() < 55, "to image-left"
    with pytest.raises(MienError, match="the calibration"):
        OverlayReader(FakeModel(), calibration("cafe"))
    with pytest.raises(MienError, match="no gaze branch"):
        OverlayReader(FakeModel(config=FakeConfig(None)), calibration())


def test_a_film_has_a_strip_that_rises_with_the_expression(tmp_path, faces_at):
    faces_at((20, 20, 100, 100))
    frames = [face(green=level) for level in (40, 40, 200)]
    write_mp4(tmp_path / "in.mp4", frames, fps=2)
    reader = OverlayReader(FakeModel(), None)
    shown = list(film_overlay(tmp_path / "in.mp4", reader))
    seen = list(read_frames(tmp_path / "in.mp4"))
    assert [one.time_s for one in shown] == [one.time_s for one in seen]
    assert reader.faces == 3
    last = shown[-1].pixels
    assert last is not None
    assert last.shape == (144, 120, 3)
    line = near(last[120:], BOX)
    start, end = (line[line[:, 1] < 103], line[line[:, 1] > 112])
    assert start[:, 0].mean() > end[:, 0].mean() + 6, "higher is stronger"


def test_where_no_face_is_there_is_nothing_to_draw(tmp_path, faces_at):
    faces_at()
    write_mp4(tmp_path / "in.mp4", [face(), face()], fps=2)
    with pytest.raises(MienError, match="no face found in"):
        list(film_overlay(tmp_path / "in.mp4", OverlayReader(FakeModel(), None)))


def test_the_command(tmp_path, faces_at, monkeypatch, capsys):
    monkeypatch.setattr("mien.model.load", lambda *_, **__: FakeModel())
    faces_at((20, 20, 100, 100))
    Image.fromarray(face()).save(tmp_path / "in.png")
    write_mp4(tmp_path / "in.mp4", [face(), face(red=90)], fps=2)
    for name in ("in.png", "in.mp4"):
        out = tmp_path / f"out{name[2:]}"
        assert run(["render", str(tmp_path / name), "-o", str(out), "--overlay"]) == 0
        assert "faces" in capsys.readouterr().out
    assert len(list(read_frames(tmp_path / "out.mp4"))) == 2
    for more, said in (
        (["--frontal"], "--overlay goes alone; leave --frontal out"),
        (["--size", "64"], "leave --size out"),
        (["--gaze"], "--gaze goes alone; leave --overlay out"),
    ):
        words = ["render", str(tmp_path / "in.png"), "-o", str(tmp_path / "x.png"), "--overlay"]
        assert run([*words, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
