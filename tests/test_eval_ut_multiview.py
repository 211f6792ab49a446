"""UT Multiview: world, screen and cameras of its layout, signs, and what is refused."""

from __future__ import annotations

import importlib.util
import shutil
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from mien.errors import MienError
from mien.evaluate.datasets.gaze_normalization import head_angles
from mien.evaluate.datasets.ut_multiview import read_ut_multiview
from mien.evaluate.protocols import find_protocol
from mien.geometry.gaze import gaze_angles

UT_MULTIVIEW = find_protocol("ut-multiview")

SPEC = importlib.util.spec_from_file_location("gaze_sets", Path(__file__).with_name("gaze_sets.py"))
assert SPEC is not None
assert SPEC.loader is not None
sets = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(sets)

VIEWS = 8
# The screen stands at z = 0 and faces the person: its x goes to image-left, its y down.
SCREEN = np.array([[200.0, -150, 0], [-1, 0, 0], [0, 1, 0], [0, 0, -1]])
EYES = np.array([[-45.0, 0, 600], [-20, 0, 600], [20, 0, 600], [45, 0, 600]])
MOUTH = np.array([[-25.0, 70, 600], [25, 70, 600]])
STRAIGHT = np.vstack([[0, 30, 600], np.eye(3)])


def array(rows):
    """Return rows as the data set writes them."""
    lines = ["[" + " ".join(f"{value:.8e}" for value in row) + "]" for row in rows]
    return "[" + "\n ".join(lines) + "]"


def rotated(x, y, z=0.0):
    """Return a rotation. [3, 3]."""
    return np.asarray(cv2.Rodrigues(np.array([x, y, z], np.float64))[0], np.float64)


def rig(view):
    """Return rotation and shift of a camera that looks at (0, 0, 600); the first one is the world.

    [3, 3] and [3].
    """
    rotation = rotated(0.1 * (view % 2), 0.15 * view)
    return rotation, np.array([0, 0, 600]) - rotation @ np.array([0, 0, 600])


def write_frame(folder, *, head=STRAIGHT, scale=1.0, image=None):
    moved = (EYES - EYES.mean(axis=0)) @ head[1:].T + EYES.mean(axis=0)
    landmarks = np.vstack([moved, MOUTH])
    written = f"head pose\n[{' '.join(map(str, head[0]))}]\n{array(head[1:])}\n"
    sets.write(folder / "headpose.txt", f"{written}features\n{array(landmarks)}\n")
    for view in range(VIEWS):
        rotation, shift = rig(view)
        matrix = scale * sets.CAMERA @ np.column_stack([rotation, shift])
        rows = "\n".join(" ".join(f"{value:.10g}" for value in row) for row in matrix)
        sets.write(folder / f"cparams/{view:08}.txt", f"CONTOUR\n{rows}\n")
        sets.write(folder / f"images/{view:08}.jpg", image or sets.jpeg((480, 640)))


def write_person(folder, targets, **options):
    sets.write(folder / "raw/monitor.txt", f"monitor\n[200 -150 0]\n{array(SCREEN[1:])}\n")
    lines = [f"{number},{x},{y}" for number, (x, y) in enumerate(targets)]
    sets.write(folder / "raw/gazedata.csv", "\n".join(["index,x,y", *lines]) + "\n")
    for number in range(len(targets)):
        write_frame(folder / f"raw/img{number:03}", **options)


def tree(root, *, people=3, nested=False):
    """Write a few people of two frames; return their targets on the screen. Each [2, 2]."""
    rng, looked = np.random.default_rng(0), []
    for person in range(people):
        targets = rng.uniform(0, 300, (2, 2)).round(3)
        head = np.vstack([[0, 30, 600], rotated(*(0.2 * rng.standard_normal(3)))])
        folder = root / "s00-09" if nested else root
        write_person(folder / f"s{person:02}", targets, head=head)
        looked.append(targets)
    return looked


def degrees(gaze):
    """Return yaw and pitch. [N, 2]."""
    return np.degrees(np.stack(gaze_angles(gaze), axis=1))


def test_the_world_is_seen_by_eight_cameras_of_each_frame(tmp_path):
    looked = tree(tmp_path)
    data = read_ut_multiview(tmp_path)
    assert len(data) == 3 * 2 * VIEWS
    assert data.images.names[9] == "s00/raw/img001/images/00000001.jpg"
    assert data.person.tolist() == np.repeat([0, 1, 2], 2 * VIEWS).tolist()
    assert data.images.crop == "eyes"
    assert data.images.read(3).shape == (114, 237, 3)
    for row in range(len(data)):
        x, y = looked[row // (2 * VIEWS)][row // VIEWS % 2]
        target, eyes = np.array([200 - x, y - 150, 0]), np.array([0.0, 0, 600])
        rotation, shift = rig(row % VIEWS)
        look, line = rotation @ (target - eyes), rotation @ eyes + shift
        # The angle between the gaze and the line to the camera is the same in every frame.
        wanted = look @ line / np.linalg.norm(look) / np.linalg.norm(line)
        assert data.gaze[row, 2] == pytest.approx(wanted, abs=1e-6)


def test_signs_are_ours(tmp_path):
    # Targets in the world: ahead; 200 mm to image-right; 200 mm below.
    targets = [(200, 150), (0, 150), (200, 350)]
    write_person(tmp_path / "s00", targets)
    # A head rotated to image-left: the axis that points out of its back comes from image-right.
    write_person(tmp_path / "s01", targets, head=np.vstack([[0, 0, 600], rotated(0, 0.5)]))
    data = read_ut_multiview(tmp_path)
    turn = np.degrees(np.arctan2(200, 600))
    wanted = np.array([[0, 0], [-turn, 0], [0, -turn]])
    assert degrees(data.gaze[: 3 * VIEWS : VIEWS]) == pytest.approx(wanted, abs=1e-5)
    assert data.head is not None
    assert data.head[0] == pytest.approx([0, 0], abs=1e-6)
    assert data.head[3 * VIEWS] == pytest.approx([0.5, 0], abs=1e-6)
    # Camera 2 turns the world about its y axis by 0.3: face and gaze together.
    assert data.head[2] == pytest.approx([0.3, 0], abs=1e-6)
    assert degrees(data.gaze[2:3])[0] == pytest.approx([np.degrees(0.3), 0], abs=1e-5)


def test_a_published_label_holds_together_in_these_signs():
    # s00/test/000_left.csv: gaze, then the head's Rodrigues vector, of a normalised eye.
    gaze = degrees(np.array([[0.657246, 0.0937712, -0.74782]]))[0]
    face = np.degrees(head_angles(rotated(-0.0511348, -0.548227, -0.0143822)))
    assert gaze == pytest.approx([-41.3, -5.4], abs=0.1)
    assert face == pytest.approx([-31.4, 3.0], abs=0.1)


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_the_middle_between_the_eyes_is_warped_into_the_middle(tmp_path, scale):
    image = np.full((480, 640), 20, np.uint8)
    # Every camera of the rig sees (0, 0, 600) where its axis is.
    cv2.circle(image, (320, 240), 8, 255, -1)
    image = cv2.imencode(".jpg", image)[1].tobytes()
    for name in ("s00", "s01"):
        write_person(tmp_path / name, [(0, 0)], scale=scale, image=image)
    data = read_ut_multiview(tmp_path)
    for view in (0, 5):
        y, x = np.nonzero(data.images.read(view)[:, :, 0] > 128)
        assert [x.mean(), y.mean()] == pytest.approx([118, 56.5], abs=1)


def test_nobody_stands_on_both_sides_and_the_score_follows(tmp_path):
    tree(tmp_path, people=4)
    data = read_ut_multiview(tmp_path)
    assert len(data.folds) == 3
    for train, test in data.folds:
        assert not set(data.person[train]) & set(data.person[test])
    assert sorted(np.concatenate([test for _, test in data.folds])) == list(range(len(data)))
    oracle = sets.Oracle(data)
    found = UT_MULTIVIEW.run(tmp_path, oracle.context())
    assert oracle.asked == [("eyes", ("gaze_code",))]
    assert sets.score(found, "error, gaze code, 9 samples").value < 5
    assert sets.score(found, "error, gaze code and true head pose, all samples").value < 1
    assert any("not the single-eye task" in note for note in found.notes)
    assert any("4 of 50 people" in note for note in found.notes)
    assert UT_MULTIVIEW.factor == "gaze"


def test_people_stand_in_parts_or_in_a_zip(tmp_path):
    tree(tmp_path / "flat", people=2)
    tree(tmp_path / "parts", people=2, nested=True)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in (tmp_path / "parts").rglob("*.*"):
            if path.is_file():
                archive.write(path, path.relative_to(tmp_path / "parts").as_posix())
    flat = read_ut_multiview(tmp_path / "flat")
    for place in ("parts", "all.zip"):
        assert UT_MULTIVIEW.matches(tmp_path / place)
        data = read_ut_multiview(tmp_path / place)
        assert data.images.names == tuple(f"s00-09/{name}" for name in flat.images.names)
        assert data.gaze == pytest.approx(flat.gaze)
        assert data.images.read(0).shape == (114, 237, 3)
    assert UT_MULTIVIEW.matches(tmp_path / "flat")
    assert not UT_MULTIVIEW.matches(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "raw/gazedata.csv",
        "raw/img001/headpose.txt",
        "raw/img001/cparams/00000004.txt",
        "raw/img000/images/00000007.jpg",
    ],
)
def test_a_missing_file_is_named_with_where_the_set_is_had(tmp_path, name):
    tree(tmp_path, people=2)
    (tmp_path / "s01" / name).unlink()
    with pytest.raises(MienError, match=rf"s01/{name} is missing; .*ut-vision\.org/datasets"):
        read_ut_multiview(tmp_path)


def test_an_empty_folder_is_told_what_it_lacks(tmp_path):
    with pytest.raises(MienError, match=r"s00/raw/monitor\.txt is missing.*ut-vision\.org"):
        read_ut_multiview(tmp_path)
    tree(tmp_path, people=2)
    shutil.rmtree(tmp_path / "s01")
    with pytest.raises(MienError, match="at least two people"):
        read_ut_multiview(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("monitor.txt", "monitor\n[0 0 0]\n[[1 0 0]\n [0 1 0]]\n", "line 5 has 0 numbers, not 3"),
        ("monitor.txt", "monitor\n[0 0 0]\n[[1 0 0]\n [0 2 0]\n [0 0 1]]", "no rotation"),
        ("monitor.txt", "monitor\n[0 0 0]\n[[1 0 0]\n [0 1 0]\n [0 0 -1]]", "no rotation"),
        ("gazedata.csv", "index,x,y\n0,1\n", "line 2 is not a frame, x and y"),
        ("gazedata.csv", "index,x,y\n0,1,nan\n", "line 2 holds NaN"),
        ("gazedata.csv", "index,x,y\n", "names no frame"),
        ("img000/cparams/00000001.txt", "CONTOUR\n1 0 0 0\n0 -1 0 0\n0 0 1 0", "no camera"),
        ("img000/cparams/00000001.txt", "CONTOUR\n1 0 0 0\n0 x 0 0\n0 0 1 0", "line 3: could not"),
        (
            "img000/cparams/00000001.txt",
            "CONTOUR\n1 0 0 0\n0 1 0 0\n0 0 1 -900",
            "00000001.jpg: a face in front of the camera",
        ),
    ],
)
def test_damaged_files_are_named(tmp_path, name, text, message):
    tree(tmp_path, people=2)
    (tmp_path / "s00/raw" / name).write_text(text)
    with pytest.raises(MienError, match=message) as raised:
        read_ut_multiview(tmp_path)
    assert "s00/raw" in str(raised.value)
