"""The direction of light: signs, correlations and maps on a tiny tree; and the real set."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mien.errors import MienError
from mien.evaluate.datasets.yale_b import dome_direction, read_yale_b
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks.gaze_few_shot import angular_error_deg
from mien.evaluate.tasks.light import COLUMNS, off_axis_deg, unit_rows
from mien.linear.cross_subject import mean_cross_subject, predict_cross_subject
from mien.linear.ridge import Ridge as RidgeFit
from mien.table.rows import factor_columns
from mien.types import Factors, Light, Pose

YALE_B = find_protocol("yale-b")

REAL = Path(__file__).parents[2] / "shared/data/yale-b/images.zip"
LAMPS = [(0, 0), (35, 15), (-35, 40), (70, -35), (-70, 0), (20, -40), (-110, 15), (0, 90)]
X, Y = ("light x correlation, predicted direction", "light y correlation, predicted direction")


def tree(root, *, people=6, shape=(192, 168), poses=(0,)):
    for person in range(1, people + 1):
        for pose in poses:
            for a, e in LAMPS:
                path = root / f"yaleB{person:02}/yaleB{person:02}_P{pose:02}A{a:+04}E{e:+03}.pgm"
                path.parent.mkdir(parents=True, exist_ok=True)
                header = f"P5 {shape[1]} {shape[0]} 255\n".encode()
                path.write_bytes(header + bytes(shape[0] * shape[1]))
        (root / f"yaleB{person:02}/yaleB{person:02}_P00_Ambient.pgm").write_bytes(b"")
    (root / "yaleB01/yaleB01_P00A+050E+00.pgm.bad").write_bytes(b"")
    return root


class Oracle:
    """The light as a function of the true one; codes that hold it."""

    columns, reads_pixels = frozenset(COLUMNS), True

    def __init__(self, data, said, *, blind=(), peer=False):
        self.truth = dict(zip(data.images.names, data.direction, strict=True))
        self.said, self.blind, self.peer, self.asked = said, set(blind), peer, []

    def __call__(self, images, columns, /):
        self.asked.append(images)
        truth = np.array([self.truth[name] for name in images.names])
        seen = np.array([name not in self.blind for name in images.names])
        said = np.array(self.said(truth), dtype=np.float32)
        said[~seen | self.peer] = np.nan
        table = {f"light_{axis}": said[:, i] for i, axis in enumerate("xyz")}
        table |= {"light_ambient": said[:, 0] * 0 + 0.3, "light_diffuse": said[:, 0] * 0 + 0.6}
        table |= {"texture_code": truth, "shape_code": truth[:, :1], "yaw_rad": said[:, 0] * 0}
        return FactorColumns(seen, seen, {name: np.asarray(table[name]) for name in columns})

    def context(self):
        return EvalContext(self, gallery=3)


def scores(result):
    return {score.name: score.value for score in result.scores}


def test_azimuth_is_to_image_left_and_elevation_is_up():
    found = dome_direction(np.array([0, 90, -90, 0, 0, 180]), np.array([0, 0, 0, 90, -90, 0]))
    wanted = [[0, 0, -1], [-1, 0, 0], [1, 0, 0], [0, -1, 0], [0, 1, 0], [0, 0, 1]]
    assert found == pytest.approx(np.array(wanted), abs=1e-12)
    one = dome_direction(np.array([35]), np.array([40]))
    assert np.linalg.norm(one) == pytest.approx(1)
    cosine = np.cos(np.radians(35)) * np.cos(np.radians(40))
    assert off_axis_deg(one) == pytest.approx(np.degrees(np.arccos(cosine)))
    assert angular_error_deg(predicted=3 * one, truth=-one) == pytest.approx(180)
    assert unit_rows(np.array([[0, 3, 4], [0, 0, 0]])) == pytest.approx(
        np.array([[0, 0.6, 0.8], [0, 0, -1]])
    )


def test_the_set_is_read(tmp_path):
    data = read_yale_b(tree(tmp_path))
    assert (len(data), data.images.crop) == (48, "box")
    assert data.images.boxes is not None
    assert data.images.boxes[0] == pytest.approx([-49.2, -50.9, 221.5, 219.8])
    assert data.notes[0].startswith("6 people, 8 lamps, 1 poses, cropped images; 1 are marked")
    row = data.images.names.index("yaleB02/yaleB02_P00A+070E-35.pgm")
    assert data.person[row] == 2
    # From image-left and below.
    assert data.direction[row, 0] < -0.7
    assert data.direction[row, 1] > 0.5
    assert YALE_B.matches(tmp_path)
    small = read_yale_b(tree(tmp_path / "half", people=1, shape=(96, 84)))
    assert small.images.boxes is not None
    assert small.images.boxes[0, 2] == pytest.approx(221.5 / 2)
    whole = read_yale_b(tree(tmp_path / "whole", people=2, shape=(48, 64), poses=(0, 7)))
    assert whole.images.crop == "detect"
    assert set(whole.pose) == {0, 7}


def test_a_folder_with_one_zip_and_what_is_wrong(tmp_path):
    root = tree(tmp_path / "CroppedYale")
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        for path in root.rglob("*.pgm"):
            archive.write(path, path.name)
    (tmp_path / "kept").mkdir()
    (tmp_path / "set.zip").rename(tmp_path / "kept/set.zip")
    assert YALE_B.matches(tmp_path / "kept")
    assert YALE_B.matches(tmp_path / "kept/set.zip")
    assert len(read_yale_b(tmp_path / "kept")) == 48
    (tmp_path / "empty").mkdir()
    assert not YALE_B.matches(tmp_path / "empty")
    assert not YALE_B.matches(tmp_path / "missing")
    with pytest.raises(MienError, match=r"no image like yaleB01_P00A\+000E\+00.pgm; obtain"):
        read_yale_b(tmp_path / "empty")
    tree(tmp_path / "CroppedYale/again", people=1)
    with pytest.raises(MienError, match="images of one name in several folders"):
        read_yale_b(tmp_path / "CroppedYale")


def test_the_axes_of_the_light_are_the_columns_of_the_table():
    """Swapped y and z would turn light from above into light from behind."""
    axis = torch.eye(3)[None]
    code = torch.zeros(1, 4)
    light = Light(torch.ones(1), torch.ones(1), torch.tensor([[0.1, 0.2, -0.97]]))
    pose = Pose(axis, torch.zeros(1, 3))
    columns = factor_columns(Factors(code, code, code, code, pose=pose, light=light))
    found = [float(columns[f"light_{name}"][0]) for name in "xyz"]
    assert found == pytest.approx([0.1, 0.2, -0.97])


def test_swapped_axes_are_no_light_from_above(tmp_path):
    data = read_yale_b(tree(tmp_path))
    swapped = Oracle(data, lambda truth: truth[:, [0, 2, 1]])
    found = scores(YALE_B.run(tmp_path, swapped.context()))
    assert found[X] == pytest.approx(1)
    assert found[Y] < 0.9
    assert found["angular error, predicted direction"] > 30


def test_a_mirrored_light_has_the_other_sign_and_a_map_mends_it(tmp_path):
    data = read_yale_b(tree(tmp_path))
    exact = YALE_B.run(tmp_path, Oracle(data, lambda truth: truth).context())
    found = scores(exact)
    assert found[X] == pytest.approx(1)
    assert found[Y] == pytest.approx(1)
    assert found["angular error, predicted direction"] == pytest.approx(0, abs=1e-3)
    assert [s.name for s in exact.scores if s.main] == [X, Y, "angular error, linear map"]
    mirror = YALE_B.run(tmp_path, Oracle(data, lambda truth: truth * [-1, 1, 1]).context())
    turned = scores(mirror)
    assert turned[X] == pytest.approx(-1)
    assert turned[Y] == pytest.approx(1)
    assert turned["angular error, predicted direction"] == pytest.approx(
        np.mean(2 * np.degrees(np.arcsin(np.abs(data.direction[:, 0])))), abs=1e-3
    )
    assert turned["angular error, linear map"] == pytest.approx(0, abs=1e-2)
    assert turned["angular error, all codes, ridge"] == pytest.approx(0, abs=1e-2)
    assert turned["angular error, mean predictor"] > 30
    assert exact.data == mirror.data
    subsets, turns, by_yaw = mirror.tables
    assert [row[0] for row in subsets.rows] == [
        *("0-12 degrees", "25-50 degrees", "50-77 degrees"),
        "over 77 degrees",
    ]
    assert sum(int(str(row[1])) for row in subsets.rows) == 48
    assert turns.rows[0][2:] == (0.0, 0.0)
    assert by_yaw.rows[0][1] == 48
    assert mirror.failures[0].images[0].shape == (160, 140, 3)


def test_images_without_a_face_and_features_without_light(tmp_path):
    data = read_yale_b(tree(tmp_path))
    row = data.images.names.index("yaleB02/yaleB02_P00A+070E-35.pgm")
    result = YALE_B.run(
        tmp_path, Oracle(data, lambda truth: truth, blind=[data.images.names[row]]).context()
    )
    found = scores(result)
    away = off_axis_deg(data.direction)[row]
    assert found["angular error, predicted direction"] == pytest.approx(away / 48, abs=1e-3)
    assert found["angular error, linear map, where a face is found"] < 0.01
    assert found["angular error, linear map"] > 0.5
    assert result.failures[0].caption.startswith(data.images.names[row])
    assert "lit from 70 left and 35 down" in result.failures[0].caption
    peer = YALE_B.run(tmp_path, Oracle(data, lambda truth: truth, peer=True).context())
    assert [s.name for s in peer.scores if s.main] == ["angular error, all codes, ridge"]
    assert scores(peer)["angular error, all codes, ridge"] == pytest.approx(0, abs=1e-2)
    with pytest.raises(MienError, match="faces are found in no image"):
        YALE_B.run(tmp_path, Oracle(data, lambda truth: truth, blind=data.images.names).context())


def test_nothing_is_learned_of_the_person_who_is_predicted():
    rng = np.random.default_rng(0)
    person = np.repeat(np.arange(10), 20)
    features = rng.standard_normal((200, 4))
    weights = rng.standard_normal((4, 2))
    targets = features @ weights + 3
    exact = predict_cross_subject(features=features, targets=targets, person=person)
    assert exact == pytest.approx(targets, abs=1e-3)
    # A person's own level cannot be known from others.
    level = rng.standard_normal(10)[person][:, None]
    who = np.eye(10)[person]
    found = predict_cross_subject(features=who, targets=level, person=person)
    assert abs(np.corrcoef(found[:, 0], level[:, 0])[0, 1]) < 0.9
    assert np.abs(found - level).mean() > 0.3
    noise = predict_cross_subject(
        features=rng.standard_normal((200, 150)), targets=targets, person=person
    )
    # With nothing to learn the prediction is near the mean.
    assert (noise - 3).std() < 0.5 * targets.std()
    features[7] = np.nan
    again = predict_cross_subject(features=features, targets=targets, person=person)
    others = targets[person % 5 != 0]
    assert again[7] == pytest.approx(others.mean(axis=0))
    mean = mean_cross_subject(targets=targets, person=person)
    assert mean[7] == pytest.approx(others.mean(axis=0))
    with pytest.raises(MienError, match="two people"):
        predict_cross_subject(features=features, targets=targets, person=person * 0)


def test_wide_features_are_learned_from_as_ridge_regression_has_it():
    rng = np.random.default_rng(2)
    features, targets = rng.standard_normal((60, 400)), rng.standard_normal((60, 2))
    ridge = RidgeFit.fit(features, targets)
    assert ridge.right.shape == (400, 59)  # centred rows span one less
    known = make_pipeline(StandardScaler(), Ridge(alpha=60 * 0.3)).fit(features, targets)
    fresh = rng.standard_normal((5, 400))
    np.testing.assert_allclose(ridge.predict(fresh, 60 * 0.3), known.predict(fresh), atol=1e-8)


@pytest.mark.data
def test_the_real_images_are_lit_from_where_the_names_say():
    if not REAL.is_file():
        pytest.skip(f"{REAL} is not here")
    data = read_yale_b(REAL.parent)
    assert (len(data), len(set(data.person))) == (1198, 19)
    right, down = [], []
    rows = np.flatnonzero(data.direction[:, 2] < -0.2)[::7]
    for row in rows:
        grey = data.images.read(int(row)).mean(axis=2)
        height, width = grey.shape
        right.append((grey[:, width // 2 :].sum() - grey[:, : width // 2].sum()) / grey.sum())
        down.append((grey[height // 2 :].sum() - grey[: height // 2].sum()) / grey.sum())
    assert np.corrcoef(right, data.direction[rows, 0])[0, 1] > 0.95
    assert np.corrcoef(down, data.direction[rows, 1])[0, 1] > 0.7
