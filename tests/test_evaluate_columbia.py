"""Columbia's names, signs and folds; on the images themselves where they are there."""

import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmarks.columbia import read_columbia
from benchmarks.gaze_few_shot import few_shot, mean_over_folds, mean_predictor_deg
from benchmarks.hog import hog_features

from mien.errors import MienError
from mien.geometry.gaze import gaze_angles

REAL = Path(__file__).parents[2] / "shared" / "data" / "columbia-gaze-strips" / "images.zip"
on_real_images = pytest.mark.skipif(
    not REAL.is_file(), reason="needs ../shared/data/columbia-gaze-strips"
)


def jpeg(shape=(45, 100), grey=90):
    return cv2.imencode(".jpg", np.full(shape, grey, np.uint8))[1].tobytes()


def folder_of(place, names, data=None):
    for name in names:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(jpeg() if data is None else data)
    return place


def zip_of(path, names, data=None):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, jpeg() if data is None else data)
    return path


def test_labels_are_read_off_names_with_our_signs(tmp_path):
    names = ["0005_2m_30P_-10V_15H.jpg", "0005_2m_0P_0V_0H.jpg", "0041_2m_-15P_10V_-5H.jpg"]
    data = read_columbia(folder_of(tmp_path, [*names, "notes.txt", "0005_2m_0P_0V.jpg"]))
    assert data.names == tuple(sorted(names))
    assert data.person.tolist() == [5, 5, 41]
    assert np.degrees(data.head_yaw_rad) == pytest.approx([0, -30, 15])
    yaw, pitch = gaze_angles(data.gaze)
    assert np.degrees(yaw) == pytest.approx([0, -15, 5])
    assert np.degrees(pitch) == pytest.approx([0, -10, 10])
    # To image-right (x > 0) and down (y > 0) and towards the camera.
    assert data.gaze[1, 0] > 0 < data.gaze[1, 1]
    assert (data.gaze[:, 2] < 0).all()


def test_a_zip_and_the_published_folders_say_the_same(tmp_path):
    names = [f"000{p}_2m_0P_0V_{h}H.jpg" for p in range(1, 5) for h in (-5, 5)]
    published = folder_of(tmp_path / "all", [f"{name[:4]}/{name}" for name in names])
    zipped = read_columbia(zip_of(tmp_path / "images.zip", names))
    found = read_columbia(published)
    assert found.gaze.tolist() == zipped.gaze.tolist()
    assert [name.split("/")[-1] for name in found.names] == list(zipped.names)
    for one, other in zip(found.images(), zipped.images(), strict=True):
        assert one.shape == other.shape == (45, 100)
        assert abs(int(one[20, 50]) - 90) <= 1
        assert (one == other).all()


def test_rows_that_are_taken_keep_image_and_label_together(tmp_path):
    for place, name in enumerate(["0001_2m_0P_0V_5H.jpg", "0002_2m_0P_0V_10H.jpg"]):
        folder_of(tmp_path, [name], jpeg(grey=50 + 100 * place))
    data = read_columbia(tmp_path).take(np.array([1, 0]))
    assert len(data) == 2
    assert data.person.tolist() == [2, 1]
    assert [round(float(p.mean()), -1) for p in data.images()] == [150, 50]
    assert np.degrees(gaze_angles(data.gaze)[0]) == pytest.approx([-10, -5])


def test_folds_share_nobody_and_test_everybody_once(tmp_path):
    names = [f"{p:04}_2m_0P_0V_{h}H.jpg" for p in (2, 3, 5, 8, 13, 21, 34, 55, 89) for h in (0, 5)]
    data = read_columbia(folder_of(tmp_path, names))
    tested = []
    for train, test in data.folds(4):
        assert not set(data.person[train]) & set(data.person[test])
        assert len(train) + len(test) == len(data)
        tested += test.tolist()
    assert sorted(tested) == list(range(len(data)))
    assert set(data.person[data.folds(4)[0][1]]) == {2, 13, 89}
    with pytest.raises(MienError, match="9 people, too few for 10 folds"):
        data.folds(10)


def test_eye_crops_have_one_size_and_faces_are_refused(tmp_path):
    folder_of(tmp_path, ["0001_2m_0P_0V_0H.jpg"], jpeg((90, 200)))
    folder_of(tmp_path, ["0002_2m_0P_0V_0H.jpg"], jpeg((60, 100)))
    assert [eye_crop.shape for eye_crop in read_columbia(tmp_path).eye_crops((96, 200))] == [
        (96, 200)
    ] * 2
    folder_of(tmp_path, ["0003_2m_0P_0V_0H.jpg"], jpeg((100, 150)))
    with pytest.raises(
        MienError, match=r"0003_2m_0P_0V_0H\.jpg is no eye-region crop \(150 x 100\)"
    ):
        list(read_columbia(tmp_path).eye_crops((96, 200)))


@pytest.mark.parametrize("data", [b"", b"no image"])
def test_a_broken_image_is_named(tmp_path, data):
    folder_of(tmp_path, ["0001_2m_0P_0V_0H.jpg"], data)
    with pytest.raises(MienError, match=r"0001_2m_0P_0V_0H\.jpg is not an image"):
        list(read_columbia(tmp_path).images())


def test_sources_of_no_use_are_refused(tmp_path):
    with pytest.raises(MienError, match="does not exist"):
        read_columbia(tmp_path / "missing.zip")
    (tmp_path / "text.zip").write_text("no archive")
    with pytest.raises(MienError, match="neither a folder nor a zip"):
        read_columbia(tmp_path / "text.zip")
    with pytest.raises(MienError, match="holds no image"):
        read_columbia(zip_of(tmp_path / "other.zip", ["face.jpg"]))
    twice = folder_of(tmp_path / "twice", [f"{f}/0001_2m_0P_0V_0H.jpg" for f in "ab"])
    with pytest.raises(MienError, match="are one image"):
        read_columbia(twice)


def test_a_source_that_goes_away_is_said(tmp_path):
    data = read_columbia(folder_of(tmp_path, ["0001_2m_0P_0V_0H.jpg"]))
    (tmp_path / "0001_2m_0P_0V_0H.jpg").unlink()
    with pytest.raises(MienError, match="is missing"):
        list(data.images())


@pytest.mark.data
@on_real_images
def test_the_signs_are_those_of_the_images():
    data = read_columbia(REAL)
    eye_crops = np.stack(list(data.eye_crops((96, 200)))).astype(np.float32)
    yaw, pitch = gaze_angles(data.gaze)
    straight = abs(data.head_yaw_rad) < 0.01
    eye = eye_crops[:, 32:66, 22:62]
    across = np.arange(40) - 19.5

    def difference(one, other):
        return eye[straight & one].mean(axis=0) - eye[straight & other].mean(axis=0)

    # The iris, dark, is further left in the image where yaw > 0.
    assert (difference(yaw > 0.05, yaw < -0.05) * across).sum() > 0
    # Lowered lids hide the white below the iris.
    assert difference(pitch > 0.05, pitch < -0.05)[14:24, 10:30].mean() > 0
    # The dark background shows on the side that the face turns to.
    left = eye_crops[data.head_yaw_rad > 0.4].mean(axis=0)
    right = eye_crops[data.head_yaw_rad < -0.4].mean(axis=0)
    assert left[:, :12].mean() < left[:, -12:].mean() - 30
    assert right[:, :12].mean() > right[:, -12:].mean() + 30


@pytest.mark.data
@on_real_images
def test_the_numbers_to_be_beaten():
    data = read_columbia(REAL)
    folds = data.folds()
    assert (len(data), len(set(data.person))) == (4199, 40)
    assert [len(set(data.person[test])) for _, test in folds] == [10] * 4
    errors = [mean_predictor_deg(train_gaze=data.gaze[a], test_gaze=data.gaze[b]) for a, b in folds]
    assert np.mean(errors) == pytest.approx(12.0, abs=0.1)
    features = hog_features(images=data.eye_crops((96, 200)), size=(48, 96))
    scores = [
        few_shot(
            train_codes=features[a],
            train_gaze=data.gaze[a],
            test_codes=features[b],
            test_gaze=data.gaze[b],
            counts=(100,),
            trials=2,
            rng=np.random.default_rng(0),
        )
        for a, b in folds
    ]
    assert mean_over_folds(scores)[0].mean_deg == pytest.approx(11.6, abs=0.6)
