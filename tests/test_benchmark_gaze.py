"""Gaze benchmark on made-up faces and eye-region crops, by a model that reads their colour."""

import importlib.util
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

import mien
from mien.geometry.gaze import gaze_vector
from mien.geometry.rotation import angles_to_rotation
from mien.types import Factors, GazeCode, Light, Pose

PEOPLE, FRAMES, SIZE = 12, 10, 24
FIND = Path(__file__).parents[1] / "benchmarks" / "gaze.py"


@pytest.fixture(scope="module")
def benchmark():
    spec = importlib.util.spec_from_file_location("benchmark_gaze", FIND)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["benchmark_gaze"] = module
    spec.loader.exec_module(module)
    yield module
    del sys.modules["benchmark_gaze"]


class Seer:
    """Reads the eyes' turn off red and green and the head's off blue."""

    crop_size, eye_crop_size = SIZE, (16, 32)

    def __init__(self, weights_id="seer", blind=False):
        self.weights_id, self.blind = weights_id, blind

    def encode(self, images):
        colour = images.float().mean(dim=(2, 3)) / 255 - 0.5
        rows = len(images)
        rotation = angles_to_rotation(colour[:, 2], 0 * colour[:, 2], 0 * colour[:, 2])
        light = Light(torch.ones(rows), torch.ones(rows), torch.eye(3)[2].repeat(rows, 1))
        noise = torch.randn(4, rows, 5, generator=torch.Generator().manual_seed(0)).unbind()
        gaze = None if self.blind else self._code(colour[:, :2])
        pose = Pose(rotation, torch.zeros(rows, 3))
        return Factors(*noise, pose=pose, light=light, gaze=gaze)

    def encode_eyes(self, eye_crops):
        assert eye_crops.shape[1:] == (3, *self.eye_crop_size)
        return self._code(eye_crops.float().mean(dim=(2, 3))[:, :1] / 255)

    def _code(self, code):
        found = torch.ones(len(code), dtype=torch.bool)
        found[::7] = False
        code = torch.where(found[:, None], code, torch.nan)
        eyes = torch.full((len(code), 2, 2), 0.5)
        return GazeCode(code, found, eyes, found.float())


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A folder as `mien synth` writes it: gaze = turn of the head + turn of the eyes."""
    folder = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    rows = PEOPLE * FRAMES
    levels = rng.integers(60, 200, (rows, 3)).astype(np.uint8)
    turn = levels / 255 - 0.5
    gaze = gaze_vector(turn[:, 0] + turn[:, 2], turn[:, 1])
    labels = pd.DataFrame(
        {
            "path": [f"{i:03}.png" for i in range(rows)],
            "person": np.repeat(np.arange(PEOPLE) + 1, FRAMES),
            **{f"gaze_{axis}": gaze[:, k] for k, axis in enumerate("xyz")},
            "yaw_rad": turn[:, 2],
            "pitch_rad": 0.0,
            "roll_rad": 0.0,
        }
    )
    for path, level in zip(labels["path"], levels, strict=True):
        cv2.imwrite(str(folder / path), np.full((SIZE, SIZE, 3), level[::-1], np.uint8))
    labels.to_parquet(folder / "labels.parquet")
    return folder


@pytest.fixture(scope="module")
def eye_crops(tmp_path_factory):
    """Eye-region crops of eight people whose brightness is their horizontal gaze."""
    folder = tmp_path_factory.mktemp("eye_crops")
    for person in range(1, 9):
        for right in (-15, -10, -5, 0, 5, 10, 15):
            grey = np.full((14, 32), 128 + 4 * right, np.uint8)
            cv2.imwrite(str(folder / f"{person:04}_2m_0P_0V_{right}H.jpg"), grey)
    return folder


def measure(benchmark, monkeypatch, out, *words, **models):
    known = models or {"W": Seer()}
    monkeypatch.setattr(mien, "load", lambda where: known[where])
    benchmark.main(["--weights", *known, "--draws", "2", "--out", str(out), *map(str, words)])
    return json.loads(out.read_text())


def test_rendered_people(benchmark, monkeypatch, people, tmp_path):
    found = measure(benchmark, monkeypatch, tmp_path / "o.json", "--rendered", people)
    scores = found["rendered"]
    assert (scores["people"], scores["images"]) == (PEOPLE, PEOPLE * FRAMES)
    assert set(scores["gaze code"]) == {"9", "50", "all"}
    # Red, green and blue together say all; where no eyes are found the mean code says nothing.
    seen = scores["where eyes are found: gaze code, predicted pose"]
    assert seen["50"]["mean_deg"] < 0.5
    assert seen["50"]["mean_deg"] < scores["gaze code, predicted pose"]["50"]["mean_deg"]
    assert scores["gaze code, predicted pose"]["all"] == pytest.approx(
        scores["gaze code, true pose"]["all"], abs=0.3
    )
    for poorer in ("gaze code", "predicted pose alone", "true pose alone"):
        assert (
            2 * scores["gaze code, predicted pose"]["50"]["mean_deg"]
            < scores[poorer]["50"]["mean_deg"]
        )
        assert scores[poorer]["50"]["mean_deg"] < 1.05 * scores["mean predictor"]
    # Plain colours have no edges.
    assert scores["HOG"]["all"]["mean_deg"] == pytest.approx(scores["mean predictor"], rel=0.05)
    assert scores["same person AUC"]["identity"] == pytest.approx(0.5, abs=0.1)
    assert found["weights"] == ["seer"]
    assert found["speed"]["batch"] == 32


def test_eye_crops_with_one_model_and_with_one_for_each_fold(
    benchmark, monkeypatch, eye_crops, tmp_path
):
    one = measure(benchmark, monkeypatch, tmp_path / "1.json", "--eye-crops", eye_crops)[
        "eye_crops"
    ]
    assert (one["people"], one["images"]) == (8, 56)
    assert one["where eyes are found: gaze code"]["all"]["mean_deg"] < 0.5
    assert one["eyes found"] == pytest.approx(1 - 9 / 56, abs=1e-4)
    assert one["mean predictor"] == pytest.approx(60 / 7, abs=0.01)
    assert one["true pose alone"]["all"]["mean_deg"] == pytest.approx(60 / 7, abs=0.01)
    four = {f"W{i}": Seer(f"seer {i}") for i in range(4)}
    found = measure(benchmark, monkeypatch, tmp_path / "4.json", "--eye-crops", eye_crops, **four)
    assert found["weights"] == [f"seer {i}" for i in range(4)]
    assert found["eye_crops"].pop("weights for each fold")
    assert not one.pop("weights for each fold")
    assert found["eye_crops"] == one


def test_time_is_that_of_one_face(benchmark, monkeypatch):
    now = [0.0]  # a clock of its own: a busy machine changes nothing
    monkeypatch.setattr("time.perf_counter", lambda: now[0])

    class Slow(Seer):
        def encode(self, images):
            now[0] += 0.02
            return super().encode(images)

    found = benchmark.milliseconds_a_face(Slow(), torch.zeros(4, 3, 8, 8), repeats=3)
    assert found == pytest.approx(5)


def refused(benchmark, monkeypatch, capsys, *words, **models):
    with pytest.raises(SystemExit) as stopped:
        measure(benchmark, monkeypatch, Path("never.json"), *words, **models)
    assert stopped.value.code == 2
    assert not Path("never.json").exists()
    return capsys.readouterr().err


def test_what_cannot_be_measured_is_said(
    benchmark, monkeypatch, capsys, people, eye_crops, tmp_path
):
    monkeypatch.chdir(tmp_path)
    refuse = (benchmark, monkeypatch, capsys)
    assert "labels.parquet does not exist" in refused(*refuse, "--rendered", tmp_path)
    assert "no gaze branch" in refused(*refuse, "--rendered", people, W=Seer(blind=True))
    assert "2 weights" in refused(*refuse, "--eye-crops", eye_crops, V=Seer(), W=Seer())


def test_training_eye_crops_of_each_fold_are_written(benchmark, eye_crops, tmp_path):
    benchmark.main(["--eye-crops", str(eye_crops), "--folds-to", str(tmp_path / "folds")])
    everybody = {f"{p:04}" for p in range(1, 9)}
    left_out = []
    for number in range(1, 5):
        files = list((tmp_path / "folds" / f"fold_{number}").iterdir())
        assert len(files) == 42
        left_out.append(everybody - {path.name[:4] for path in files})
        for path in files:
            assert path.read_bytes() == (eye_crops / path.name).read_bytes()
    assert left_out == [{"0001", "0005"}, {"0002", "0006"}, {"0003", "0007"}, {"0004", "0008"}]
    with pytest.raises(SystemExit):
        benchmark.main(["--eye-crops", str(eye_crops), "--folds-to", str(tmp_path / "folds")])
