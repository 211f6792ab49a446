"""Gaze protocols on a tiny Columbia tree with codes whose answer is known; across data sets."""

from __future__ import annotations

import importlib.util
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets.columbia import columbia_eye_crops, columbia_faces
from mien.evaluate.datasets.eyediap import read_eyediap
from mien.evaluate.datasets.mpii import read_mpiifacegaze
from mien.evaluate.datasets.sets import evenly
from mien.evaluate.protocols import find_gaze_sets, find_protocol
from mien.linear.folds import folds_of_people

COLUMBIA = find_protocol("columbia")
COLUMBIA_EYE_CROPS = find_protocol("columbia-eyes")
GAZE_CROSS = find_protocol("gaze-cross")

SPEC = importlib.util.spec_from_file_location("gaze_sets", Path(__file__).with_name("gaze_sets.py"))
assert SPEC is not None
assert SPEC.loader is not None
sets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sets)

REAL = Path(__file__).parents[2] / "shared" / "data" / "columbia-gaze-strips" / "images.zip"
CODE_100 = "error, gaze code, 100 samples"
CODE_ALL = "error, gaze code, all samples"


def test_people_are_apart_and_each_is_tested_once():
    person = np.array([3, 3, 9, 7, 9, 1])
    folds = folds_of_people(person, 3)
    for train, test in folds:
        assert not set(person[train]) & set(person[test])
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(6))
    assert len(folds_of_people(person, 10)) == 4
    with pytest.raises(MienError, match="two people"):
        folds_of_people(np.array([4, 4]), 2)
    assert evenly(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly(3, 4).tolist() == [0, 1, 2]


def test_columbia_is_told_apart_from_its_eye_crops(tmp_path):
    faces = sets.columbia_tree(tmp_path / "Columbia Gaze Data Set")
    eye_crops = sets.columbia_tree(tmp_path / "eye_crops", shape=(48, 100))
    with zipfile.ZipFile(tmp_path / "eye_crops.zip", "w") as archive:
        for path in eye_crops.rglob("*.jpg"):
            archive.write(path, path.name)
    assert (COLUMBIA.matches(faces), COLUMBIA_EYE_CROPS.matches(faces)) == (True, False)
    for place in (eye_crops, tmp_path / "eye_crops.zip"):
        assert (COLUMBIA.matches(place), COLUMBIA_EYE_CROPS.matches(place)) == (False, True)
    assert len(columbia_faces(faces).folds) == 5
    data = columbia_eye_crops(tmp_path / "eye_crops.zip")
    assert (len(data.folds), data.images.crop, len(data)) == (4, "eyes", 162)
    assert data.images.read(3).shape == (48, 100, 3)
    assert not COLUMBIA.matches(tmp_path / "missing")


def test_perfect_codes_have_no_error_and_noise_has_its_own(tmp_path):
    root = sets.columbia_tree(tmp_path)
    data = columbia_faces(root)
    oracle = sets.Oracle(data)
    found = COLUMBIA.run(root, oracle.context())
    assert sets.score(found, CODE_100).value < 0.05
    assert sets.score(found, CODE_ALL).value < 0.01
    assert sets.score(found, "error, predicted head pose alone, 100 samples").value > 5
    mean = sets.score(found, "error, mean gaze of the training part").value
    # The grid's mean is straight ahead: the mean of its angles to (0, 0, -1).
    assert mean == pytest.approx((4 * 10 + 4 * 14.11) / 9, abs=0.02)
    assert [s.name for s in found.scores if s.main] == [
        CODE_100,
        "error, gaze code and true head pose, 100 samples",
    ]
    assert oracle.asked == [("detect", ("gaze_code", "yaw_rad", "pitch_rad", "roll_rad"))]
    noisy = COLUMBIA.run(root, sets.Oracle(data, noise=np.radians(2)).context())
    # Noise of 2 degrees on both angles is an error of 2 sqrt(pi / 2) before ridge shrinks it.
    one = sets.score(noisy, CODE_ALL)
    assert one.value == pytest.approx(2.4, abs=0.3)
    assert one.low is not None
    assert one.high is not None
    assert one.low < one.value < one.high
    assert (one.unit, one.higher_is_better, one.count) == ("degrees", False, 162)
    assert found.data == noisy.data


def test_the_tables_the_plot_and_the_worst_cases(tmp_path):
    root = sets.columbia_tree(tmp_path)
    data = columbia_faces(root)
    bad = "0002/0002_2m_15P_10V_-10H.jpg"
    found = COLUMBIA.run(root, sets.Oracle(data, blind=[bad]).context())
    assert found.failures[0].caption == (
        f"{bad}: off by 14 degrees; looks 10 to the left of the image and 10 up"
    )
    assert found.failures[0].images[0].shape == (48, 64, 3)
    assert "eyes are not found in 1 of 162 tested images" in found.notes
    assert any("too few training images for 200 samples" in note for note in found.notes)
    errors, by_yaw = found.tables
    assert errors.columns[:3] == ("regressed on", "9 samples", "std over trials")
    assert [row[0] for row in errors.rows][:2] == ["gaze code", "gaze code and predicted head pose"]
    assert by_yaw.title == "Error in degrees by true head yaw, 100 samples"
    assert [row[1] for row in by_yaw.rows] == [54, 108, 0, 0]
    near, rotated = float(by_yaw.rows[0][2] or 0), float(by_yaw.rows[1][2] or 0)
    assert near < 0.05 < rotated
    assert list(found.plots[0].lines["gaze code"][0]) == [9, 50, 100, 107]


def test_many_blind_images_have_a_score_of_the_others(tmp_path):
    root = sets.columbia_tree(tmp_path, people=9)
    data = columbia_faces(root)
    found = COLUMBIA.run(root, sets.Oracle(data, blind=data.images.names[::3]).context())
    others = sets.score(found, f"{CODE_100}, where eyes are found")
    assert (others.count, others.value < 0.2) == (162, True)
    assert sets.score(found, CODE_100).value > 2
    note = "no samples come from the 33.3 % of training images without eyes"
    assert note in found.notes
    blind = list(set(data.images.names) - set(data.images.names[:1]))
    with pytest.raises(MienError, match="fewer than two training images"):
        COLUMBIA.run(root, sets.Oracle(data, blind=blind).context())
    with pytest.raises(MienError, match="eyes are found in no image"):
        COLUMBIA.run(root, sets.Oracle(data, blind=data.images.names).context())


def test_what_is_fitted_to_one_set_is_tested_on_another(tmp_path):
    columbia = sets.columbia_tree(tmp_path / "columbia", people=5)
    sets.face_tree(tmp_path / "faces")
    sets.eyediap_tree(tmp_path / "eyes")
    sets.write(tmp_path / "other" / "notes.txt", "no data set")
    places = find_gaze_sets(tmp_path)
    assert {name: place.name for name, place in places.items()} == {
        "columbia": "columbia",
        "mpiifacegaze": "faces",
        "eyediap": "eyes",
    }
    assert GAZE_CROSS.matches(tmp_path)
    assert not GAZE_CROSS.matches(columbia)
    data = [
        columbia_faces(columbia),
        read_mpiifacegaze(tmp_path / "faces"),
        read_eyediap(tmp_path / "eyes"),
    ]
    found = GAZE_CROSS.run(tmp_path, sets.Oracle(*data).context())
    assert len(found.scores) == 3 * 2 * 2
    name = "error, columbia to mpiifacegaze, gaze code"
    assert sets.score(found, name).value < 0.5
    assert sets.score(found, name).count == 12
    assert sets.score(found, name).main
    assert sets.score(found, f"{name} and predicted head pose").value < 5
    plain, posed = found.tables
    assert plain.columns == ("trained on", "columbia", "mpiifacegaze", "eyediap")
    assert plain.rows[0][:2] == ("columbia", None)
    assert plain.rows[0][2] == pytest.approx(sets.score(found, name).value, abs=1e-3)
    assert posed.rows[1][1] is not None
    assert len(found.failures) == 2
    assert any("faces" in note or "mpiifacegaze" in note for note in found.notes)


def test_one_set_alone_has_no_other(tmp_path):
    sets.face_tree(tmp_path / "faces")
    assert not GAZE_CROSS.matches(tmp_path)
    with pytest.raises(MienError, match="holds 1 gaze data sets, of which at least two"):
        GAZE_CROSS.run(tmp_path, sets.Oracle().context())


@pytest.mark.data
@pytest.mark.skipif(not REAL.is_file(), reason="needs ../shared/data/columbia-gaze-strips")
def test_the_real_eye_crops_are_known_and_complete():
    assert COLUMBIA_EYE_CROPS.matches(REAL)
    assert not COLUMBIA.matches(REAL)
    data = columbia_eye_crops(REAL)
    assert (len(data), len(set(data.person)), len(data.folds)) == (4199, 40, 4)
    assert data.checksum == "dc405ecdd746"
    assert find_gaze_sets(REAL.parents[1]) == {"columbia-eyes": REAL}
