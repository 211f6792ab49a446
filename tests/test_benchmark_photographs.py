"""Benchmarks of photographs: what is cut, how heads stand, who is mixed up."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from benchmarks import turns
from benchmarks.false_matches import similarities
from benchmarks.framings import FRAMINGS, framed
from benchmarks.photographs import LANDMARKS, read_landmarks, read_list, without_room
from benchmarks.turns import landmark_angles
from PIL import Image

from made_clips import write_clips
from mien.errors import MienError
from mien.faces.face import Face
from mien.synth.head_model import load_head_model
from mien.synth.photo_views import PhotoViews
from mien.synth.toy import toy_head
from mien.synth.writer import SynthConfig

ICT = Path(__file__).parents[2] / "shared" / "data" / "ict-facekit" / "ict_facekit.npz"


def squares() -> np.ndarray:
    y, x = np.mgrid[:96, :96]
    return np.stack([x, y, (x // 8 + y // 8) % 2 * 200], axis=-1).astype(np.uint8)[None]


def test_the_usual_framing_is_the_middle_of_the_crop() -> None:
    usual = framed(squares(), *FRAMINGS["as mien embed cuts"])
    np.testing.assert_array_equal(usual, without_room(squares()))


def test_framings_show_more_less_and_elsewhere() -> None:
    wider = framed(squares(), 1.25, 0, 0)[0]
    assert wider[32, -1, 0].astype(int) - wider[32, 0, 0] == pytest.approx(79, abs=2)
    closer = framed(squares(), 0.8, 0, 0)[0]
    assert closer[32, -1, 0].astype(int) - closer[32, 0, 0] == pytest.approx(50, abs=2)
    moved = framed(squares(), 1.0, 0.125, 0)[0]
    assert tuple(moved[0, 0, :2]) == (24, 24)
    rolled = framed(squares(), 1.0, 0, 15)[0]
    assert rolled[32, -4, 1].astype(int) - rolled[32, 4, 1] > 10


def test_a_list_without_a_column_is_refused(tmp_path: Path) -> None:
    (tmp_path / "faces.csv").write_text("path,person\na.png,1\n")
    assert len(read_list(tmp_path / "faces.csv", ("person",))) == 1
    with pytest.raises(MienError, match="no column age"):
        read_list(tmp_path / "faces.csv", ("age",))


@pytest.mark.skipif(not ICT.is_file(), reason="ICT-FaceKit is not in shared/data")
def test_heads_stand_as_their_landmarks_say(tmp_path: Path) -> None:
    views = PhotoViews(load_head_model(ICT))
    frontal = "37,40,61,40,49,54,39,66,59,66"
    right = "46,40,62,40,60,54,47,66,60,66"
    columns = ",".join(f"{name}_{axis}" for name in LANDMARKS for axis in "xy")
    (tmp_path / "faces.csv").write_text(f"path,{columns}\na.png,{frontal}\nb.png,{right}\n")
    angles = landmark_angles(views, read_landmarks(read_list(tmp_path / "faces.csv", ())))
    assert abs(angles[0, 0]) < 3
    assert abs(angles[1, 0]) > 20
    assert angles[1, 0] < 0  # positive yaw turns the nose to the left of the image


def test_all_pairs_once() -> None:
    unit = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    assert similarities(unit).tolist() == [0, 1, 0]


def test_landmarks_of_rendered_people_stand_beside_the_yaw_that_is_known(tmp_path, monkeypatch):
    """The made-up landmarks are the number of the image that the detector is given."""
    write_clips(toy_head(), SynthConfig(identities=3, frames=2, size=32), tmp_path / "people")
    labels = pq.read_table(tmp_path / "people" / "labels.parquet").to_pandas()
    missed = labels["path"][4]

    def find(image):
        assert image.shape == (288, 288, 3)
        distance = {
            path: np.abs(shown(path) - image.astype(float)).max() for path in labels["path"]
        }
        path = min(distance, key=distance.__getitem__)
        row = int(labels.index[labels["path"] == path][0])
        marks = np.full((5, 2), row, np.float32)
        return [] if path == missed else [Face((0, 0, 9, 9), 0.9, marks, "yunet")]

    def shown(path):
        pixels = Image.open(tmp_path / "people" / path).convert("RGB").resize((192, 192))
        return np.pad(np.asarray(pixels), ((48, 48), (48, 48), (0, 0)), mode="edge")

    monkeypatch.setattr(turns, "open_detector", lambda name: find)
    monkeypatch.setattr(turns, "landmark_angles", lambda _, marks: marks[:, 0])
    head = PhotoViews(toy_head())
    marked, known = turns.rendered_yaw(head, tmp_path / "people", 99).T
    assert sorted(marked) == [0, 1, 2, 3, 5]
    truth = np.rad2deg(labels["yaw_rad"].to_numpy())
    np.testing.assert_allclose(known, truth[marked.astype(int)], rtol=1e-5)
    assert len(turns.rendered_yaw(head, tmp_path / "people", 2)) <= 2
