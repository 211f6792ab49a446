"""Readers of gaze data sets: what is read off their official layouts, signs, what is refused."""

from __future__ import annotations

import importlib.util
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets.eth_xgaze import read_eth_xgaze
from mien.evaluate.datasets.eyediap import read_eyediap
from mien.evaluate.datasets.gaze360 import read_gaze360
from mien.evaluate.datasets.mpii import read_mpiifacegaze, read_mpiigaze
from mien.evaluate.protocols import find_protocol
from mien.geometry.gaze import gaze_angles, gaze_vector

COLUMBIA = find_protocol("columbia")
COLUMBIA_EYE_CROPS = find_protocol("columbia-eyes")
ETH_XGAZE = find_protocol("eth-xgaze")
EYEDIAP = find_protocol("eyediap")
GAZE360 = find_protocol("gaze360")
MPIIFACEGAZE = find_protocol("mpiifacegaze")
MPIIGAZE = find_protocol("mpiigaze")

SPEC = importlib.util.spec_from_file_location("gaze_sets", Path(__file__).with_name("gaze_sets.py"))
assert SPEC is not None
assert SPEC.loader is not None
sets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sets)

EVERY = (COLUMBIA, COLUMBIA_EYE_CROPS, MPIIGAZE, MPIIFACEGAZE, ETH_XGAZE, GAZE360, EYEDIAP)
CODE_ALL = "error, gaze code, all samples"


def degrees(gaze):
    """Return yaw and pitch. [N, 2]."""
    return np.degrees(np.stack(gaze_angles(gaze), axis=1))


def test_mpiifacegaze_in_the_frame_of_a_camera_that_looks_at_the_face(tmp_path):
    truth = sets.face_tree(tmp_path)
    data = read_mpiifacegaze(tmp_path)
    assert data.images.names[4] == "p01/day01/0001.jpg"
    assert data.person.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert len(data.folds) == 3
    assert data.head is not None
    for row, (head, centre, target) in enumerate(truth):
        # The angle between the gaze and the line to the camera is the same in every frame.
        look = (target - centre) / np.linalg.norm(target - centre)
        wanted = look @ centre / np.linalg.norm(centre)
        assert data.gaze[row, 2] == pytest.approx(wanted, abs=1e-6)
        facing = -cv2.Rodrigues(head)[0][:, 2]
        seen = gaze_vector(*data.head[row : row + 1].T)[0]
        assert seen[2] == pytest.approx(facing @ centre / np.linalg.norm(centre), abs=1e-6)
    assert data.images.read(0).shape == (260, 260, 3)
    assert MPIIFACEGAZE.matches(tmp_path)
    assert not MPIIFACEGAZE.matches(tmp_path / "p00")
    found = MPIIFACEGAZE.run(tmp_path, sets.Oracle(data).context())
    assert sets.score(found, CODE_ALL).value < 1
    assert sets.score(found, CODE_ALL).main
    again = MPIIFACEGAZE.run(tmp_path, sets.Oracle(data).context())
    assert again.scores == found.scores


def test_mpiifacegaze_has_our_signs(tmp_path):
    folder = tmp_path / "p00"
    lines = []
    # A target at image-right (+x), below (+y); a head turned to image-left (+y axis).
    for target, head in (("200 0 0", "0 0 0"), ("0 200 0", "0 0 0"), ("0 0 0", "0 0.5 0")):
        values = f"{head} 0 0 600 0 0 600 {target}"
        lines.append(f"day01/{len(lines) + 1:04}.jpg {'1 ' * 14}{values} right")
    sets.write(folder / "p00.txt", "\n".join(lines))
    sets.write(tmp_path / "p01/p01.txt", lines[0])
    for name in ("p00", "p01"):
        sets.camera_file(tmp_path / name / "Calibration/Camera.mat")
    data = read_mpiifacegaze(tmp_path)
    turn = np.degrees(np.arctan2(200, 600))
    assert degrees(data.gaze[:3]) == pytest.approx(
        np.array([[-turn, 0], [0, -turn], [0, 0]]), abs=1e-5
    )
    assert data.head is not None
    assert data.head[2] == pytest.approx([0.5, 0], abs=1e-9)


def test_mpiifacegaze_warps_the_face_into_the_middle(tmp_path):
    sets.face_tree(tmp_path, people=2, images=1)
    line = f"day01/0001.jpg {'1 ' * 14}0 0 0 0 0 500 60 -40 500 0 0 0 left"
    (tmp_path / "p00/p00.txt").write_text(line)
    image = np.full((480, 640), 20, np.uint8)
    # The camera sees the point (60, -40, 500) at 320 + 120, 240 - 80.
    cv2.circle(image, (440, 160), 8, 255, -1)
    sets.write(tmp_path / "p00/day01/0001.jpg", cv2.imencode(".jpg", image)[1].tobytes())
    warped = read_mpiifacegaze(tmp_path).images.read(0)[:, :, 0]
    y, x = np.nonzero(warped > 128)
    assert [x.mean(), y.mean()] == pytest.approx([129.5, 129.5], abs=1)


def test_mpiigaze_takes_the_listed_frames_once_as_eye_crops(tmp_path):
    root = sets.eye_tree(tmp_path)
    data = read_mpiigaze(root)
    assert [n.rsplit("/", 3)[1:] for n in data.images.names] == [
        [f"p0{p}", "day01", f"{frame}.jpg"] for p in (0, 1) for frame in ("0001", "0003")
    ]
    assert data.images.crop == "eyes"
    assert data.images.read(0).shape == (114, 237, 3)
    # Between the eyes at (0, 0, 500); frame 3 looks into the camera, frame 1 to the right and down.
    assert degrees(data.gaze)[1] == pytest.approx([0, 0], abs=1e-6)
    line = np.array([0.2, 0.1, -1])
    assert data.gaze[0, 2] == pytest.approx(-1 / np.linalg.norm(line))
    assert data.head is not None
    assert MPIIGAZE.matches(root)
    assert not MPIIFACEGAZE.matches(root)
    found = MPIIGAZE.run(root, sets.Oracle(data).context())
    assert any("not the single-eye task" in note for note in found.notes)
    assert found.tables[1].title.startswith("Error in degrees by true head yaw")


@pytest.mark.parametrize("zipped", [False, True])
def test_gaze360_turns_its_axes_and_keeps_its_split(tmp_path, zipped):
    root = sets.gaze360_tree(tmp_path / "gaze360")
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for path in root.rglob("*.*"):
                archive.write(path, path.relative_to(tmp_path).as_posix())
        root = tmp_path / "all.zip"
    assert GAZE360.matches(root)
    data = read_gaze360(root)
    assert data.images.names == (
        "imgs/rec_000/head/000000/000005.jpg",
        "imgs/rec_000/head/000000/000006.jpg",
        "imgs/rec_000/head/000001/000007.jpg",
        "imgs/rec_0010/head/000000/000008.jpg",
        "imgs/rec_0010/head/000003/000131.jpg",
    )
    # [-1, 0, 0] looks to the right of the image, [0, 0, -1] into the camera, +y is up.
    assert data.gaze[:3] == pytest.approx(np.array([[1, 0, 0], [0, 0, -1], [0, -1, 0]]))
    assert degrees(data.gaze)[0, 0] == pytest.approx(-90)
    assert degrees(data.gaze)[2, 1] == pytest.approx(90)
    ((train, test),) = data.folds
    assert (train.tolist(), test.tolist()) == ([0, 1, 2], [3, 4])
    assert data.parts["looking within 20 degrees of the camera"].tolist() == [0, 1, 0, 1, 1]
    assert data.images.read(4)[0, 0, 0] > 180 > 50 > data.images.read(3)[0, 0, 0]
    assert data.head is None
    found = GAZE360.run(root, sets.Oracle(data).context())
    assert found.tables[1].title.startswith("Error in degrees by predicted head yaw")
    name = f"{CODE_ALL}, looking to the front half"
    assert sets.score(found, name).count == 2


def test_gaze360_samples_evenly_and_refuses_what_does_not_fit(tmp_path):
    root = sets.gaze360_tree(tmp_path / "few")
    assert len(read_gaze360(root, max_training=2)) == 4
    broken = sets.gaze360_tree(tmp_path / "broken", recording=np.array([[0, 0, 0, 1, 1, 2]]))
    with pytest.raises(MienError, match="fields do not fit together"):
        read_gaze360(broken)
    untested = sets.gaze360_tree(tmp_path / "untested", split=np.zeros((1, 6)))
    with pytest.raises(MienError, match="no training or no test part"):
        read_gaze360(untested)


def test_eyediap_reads_columns_by_their_titles(tmp_path):
    data = read_eyediap(sets.eyediap_tree(tmp_path))
    assert data.images.names[0] == "Image/p1/face/1.jpg"
    assert sorted(set(data.person)) == [1, 2, 10]
    assert np.radians(degrees(data.gaze)[:2]) == pytest.approx(np.array([[0.1, -0.2], [0.2, -0.2]]))
    assert (data.head, data.images.fallback) == (None, (0, 0, 1, 1))
    assert EYEDIAP.matches(tmp_path)
    with (tmp_path / "Label/p2.label").open("a") as file:
        file.write("p2/face/3.jpg l r m\n")
    with pytest.raises(MienError, match=r"p2\.label, line 4 has 4 words"):
        read_eyediap(tmp_path)
    (tmp_path / "Label/p2.label").write_text("no titles\n")
    with pytest.raises(MienError, match="does not begin with titles"):
        read_eyediap(tmp_path)


def test_eth_xgaze_stores_pitch_first_and_blue_first(tmp_path):
    root = sets.xgaze_tree(tmp_path)
    assert ETH_XGAZE.matches(root)
    data = read_eth_xgaze(root, max_per_person=2)
    assert data.images.names[:2] == ("train/subject0000/000000", "train/subject0000/000002")
    assert data.person.tolist() == [0, 0, 1, 1, 2, 2]
    assert np.radians(degrees(data.gaze)[:3]) == pytest.approx(
        np.array([[-0.3, 0], [-0.3, 0.2], [-0.29, 0.01]])
    )
    assert data.head is not None
    assert data.head[1] == pytest.approx([0.3, -0.2])
    image = data.images.read(1)
    assert image.shape == (28, 28, 3)
    assert (image[0, 0].tolist(), image[1, 1].tolist()) == ([2, 0, 250], [0, 0, 250])
    assert data.images.boxes is not None
    assert data.images.boxes[0] == pytest.approx([-2.2, -2.2, 30.2, 30.2])
    found = ETH_XGAZE.run(root, sets.Oracle(read_eth_xgaze(root)).context())
    assert sets.score(found, CODE_ALL).count == 12


def test_eth_xgaze_without_labels_or_whole_is_refused(tmp_path):
    h5py = pytest.importorskip("h5py")
    root = sets.xgaze_tree(tmp_path)
    with h5py.File(root / "train/subject0001.h5", "a") as file:
        del file["face_gaze"]
    with pytest.raises(MienError, match="holds no face_gaze; give the training files"):
        read_eth_xgaze(root)
    (root / "train/subject0001.h5").write_bytes(b"no HDF5")
    with pytest.raises(MienError, match="cannot be read as HDF5"):
        read_eth_xgaze(root)
    with pytest.raises(MienError, match="holds no train/subject0000"):
        read_eth_xgaze(tmp_path / "missing")


@pytest.mark.parametrize("protocol", EVERY, ids=lambda protocol: protocol.name)
def test_what_is_not_there_is_said_and_matches_nothing(protocol, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken.zip").write_text("no archive")
    for name in ("empty", "broken.zip", "missing"):
        assert not protocol.matches(tmp_path / name)
        with pytest.raises(MienError) as refused:
            protocol.run(tmp_path / name, sets.Oracle().context())
        assert "\n" not in str(refused.value)
        assert name in str(refused.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("day01/0001.jpg 1 2", r"p01\.txt, line 1 has 3 words, not 28"),
        (f"day01/0001.jpg {'1 ' * 25}x left", "line 1: could not convert"),
        (f"day01/0001.jpg {'1 ' * 25}nan left", "line 1 holds NaN"),
        (f"day01/0001.jpg {'1 ' * 14}{'0 ' * 8}-500 1 1 1 left", "in front of the camera"),
    ],
)
def test_damaged_labels_are_named(tmp_path, line, message):
    sets.face_tree(tmp_path)
    (tmp_path / "p01/p01.txt").write_text(line)
    with pytest.raises(MienError, match=message):
        read_mpiifacegaze(tmp_path)


def test_damaged_cameras_and_lists_are_named(tmp_path):
    sets.face_tree(tmp_path / "faces")
    camera = tmp_path / "faces/p00/Calibration/Camera.mat"
    camera.write_bytes(b"no Matlab file, but long enough to be looked at by SciPy" * 9)
    with pytest.raises(MienError, match=r"Camera\.mat cannot be read as a Matlab file"):
        read_mpiifacegaze(tmp_path / "faces")
    sets.camera_file(camera, cameraMatrix=np.zeros((2, 2)))
    with pytest.raises(MienError, match="no camera matrix"):
        read_mpiifacegaze(tmp_path / "faces")
    camera.unlink()
    with pytest.raises(MienError, match=r"Camera\.mat is missing"):
        read_mpiifacegaze(tmp_path / "faces")
    root = sets.eye_tree(tmp_path / "eyes")
    listed = root / "Evaluation Subset/sample list for eye image/p00.txt"
    listed.write_text("day01/0009.jpg left\n")
    with pytest.raises(MienError, match="line 9 has 0 numbers, not 41"):
        read_mpiigaze(root)
    listed.write_text("0009 left\n")
    with pytest.raises(MienError, match="is not like day01/0005"):
        read_mpiigaze(root)


def test_a_reader_that_is_not_installed_is_named(tmp_path, monkeypatch):
    sets.write(tmp_path / "xgaze/train/subject0000.h5", b"any")
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(MienError, match=r"to read it: pip install 'mien\[eval\]'"):
        read_eth_xgaze(tmp_path / "xgaze")
