"""Head pose: angles in the benchmarks' order, and both data sets on tiny trees of their layout."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy.io import savemat

from made_factors import ALL
from mien.errors import MienError
from mien.evaluate.datasets.head_pose import (
    benchmark_angles,
    face_square,
    read_aflw2000,
    read_biwi,
    seen_along,
)
from mien.evaluate.protocol import EvalContext, FactorColumns
from mien.evaluate.protocols import find_protocol
from mien.evaluate.tasks.pose import (
    angle_errors_deg,
    benchmark_rotation,
    geodesic_deg,
    mien_angles,
    mien_rotation,
)
from mien.synth.frame import sample_frames
from mien.synth.scene import deform, place
from mien.synth.toy import toy_head

AFLW2000 = find_protocol("aflw2000")
BIWI = find_protocol("biwi")

PREDICTED, LINEAR = "mean error, predicted angles", "mean error, predicted angles, linear map"
OFFSET = "mean error, predicted angles, cross-subject offset"


class Oracle:
    """Predicted angles as given, codes that hold the true ones; rows of `blind` show no face."""

    columns, reads_pixels = ALL, True

    def __init__(self, data, said, *, blind=(), peer=False):
        self.truth = dict(zip(data.images.names, data.angles, strict=True))
        self.said = dict(zip(data.images.names, mien_angles(said), strict=True))
        self.blind, self.peer, self.crops = set(blind), peer, []

    def __call__(self, images, columns, /):
        self.crops.append(images.crop)
        seen = np.array([name not in self.blind for name in images.names])
        said = np.array([self.said[name] for name in images.names], dtype=np.float32)
        said[~seen | self.peer] = np.nan
        code = np.array([[*self.truth[name], 1.0] for name in images.names], dtype=np.float32)
        code[~seen] = np.nan
        table = {"texture_code": code, "shape_code": code[:, :1]}
        table |= {f"{name}_rad": said[:, i] for i, name in enumerate(("yaw", "pitch", "roll"))}
        return FactorColumns(seen, seen, {name: table[name] for name in columns})

    def context(self):
        return EvalContext(self, gallery=2)


def scores(result):
    return {score.name: score.value for score in result.scores}


def random_angles(count, *, most=0.6, seed=0):
    return np.random.default_rng(seed).uniform(-most, most, (count, 3))


def biwi_tree(root, angles, *, films=(1, 3, 4, 15), centre=(0, 0, 900)):
    rotation = benchmark_rotation(angles)
    grey = cv2.imencode(".png", np.full((48, 64), 90, np.uint8))[1].tobytes()
    for row, turn in enumerate(rotation):
        film, frame = films[row % len(films)], 3 + row // len(films)
        folder = root / f"{film:02}"
        folder.mkdir(parents=True, exist_ok=True)
        lines = [" ".join(f"{x:.9f}" for x in line) + " " for line in turn]
        text = "\n".join([*lines, "", " ".join(map(str, centre)) + " ", ""])
        (folder / f"frame_{frame:05}_pose.txt").write_text(text)
        (folder / f"frame_{frame:05}_rgb.png").write_bytes(grey)
        (folder / "depth.cal").write_text("")
    return root


def aflw_file(root, number, angles, points=None, **changes):
    points = np.random.default_rng(number).uniform(100, 300, (3, 68)) if points is None else points
    yaw, pitch, roll = angles
    pose = np.array([[pitch, yaw, roll, 10, 20, -60, 1e-3]])
    savemat(root / f"image{number:05}.mat", {"Pose_Para": pose, "pt3d_68": points} | changes)
    cv2.imwrite(str(root / f"image{number:05}.jpg"), np.full((450, 450, 3), 90, np.uint8))


def test_single_angles_have_our_signs():
    for place_ in range(3):
        angles = np.zeros((1, 3))
        angles[0, place_] = 0.4
        assert benchmark_rotation(angles) == pytest.approx(mien_rotation(angles), abs=1e-12)
    ahead = np.array([0.0, 0, -1])
    left = benchmark_rotation(np.array([[0.5, 0, 0]]))[0] @ ahead
    up = benchmark_rotation(np.array([[0, 0.5, 0]]))[0] @ ahead
    clockwise = benchmark_rotation(np.array([[0, 0, 0.5]]))[0] @ np.array([1.0, 0, 0])
    assert left[0] < -0.4
    assert up[1] < -0.4
    assert clockwise[1] > 0.4


def test_angles_are_those_of_300w_lp_and_of_fsa_net():
    angles = random_angles(50)
    yaw, pitch, roll = angles.T
    rotated = benchmark_rotation(angles)
    flip = np.diag([1.0, -1, -1])
    for i in range(50):
        # The factors of 300W-LP: x right, y up, z to the camera; each is transposed.
        x = cv2.Rodrigues(np.array([pitch[i], 0, 0]))[0].T
        y = cv2.Rodrigues(np.array([0, yaw[i], 0]))[0].T
        z = cv2.Rodrigues(np.array([0, 0, roll[i]]))[0].T
        assert flip @ x @ y @ z @ flip == pytest.approx(rotated[i], abs=1e-9)
    # FSA-Net reads BIWI's matrix transposed, as Rz Ry Rx, and changes the signs of two angles.
    t = rotated.transpose(0, 2, 1)
    assert -np.arctan2(-t[:, 2, 0], np.hypot(t[:, 2, 1], t[:, 2, 2])) == pytest.approx(yaw)
    assert np.arctan2(t[:, 2, 1], t[:, 2, 2]) == pytest.approx(pitch)
    assert -np.arctan2(t[:, 1, 0], t[:, 0, 0]) == pytest.approx(roll)
    assert benchmark_angles(rotated) == pytest.approx(angles, abs=1e-9)
    assert mien_rotation(mien_angles(rotated)) == pytest.approx(rotated, abs=1e-9)
    assert np.degrees(np.abs(mien_angles(rotated) - angles)).max() > 3


def test_errors_of_angles_and_rotations():
    truth = mien_rotation(random_angles(20))
    turn = mien_rotation(np.array([[np.radians(10), 0, 0]]))
    assert geodesic_deg(predicted=truth @ turn, truth=truth) == pytest.approx(np.full(20, 10.0))
    tiny = mien_rotation(np.array([[1e-7, 0, 0]]))
    assert geodesic_deg(predicted=tiny, truth=np.eye(3)[None]) == pytest.approx(
        np.degrees(1e-7), rel=1e-6
    )
    half = mien_rotation(np.array([[np.pi, 0, 0]]))
    assert geodesic_deg(predicted=half, truth=np.eye(3)[None]) == pytest.approx(180, abs=1e-5)
    found = angle_errors_deg(
        predicted=np.radians([[179, -20, 0]]), truth=np.radians([[-179, 20, 0]])
    )
    assert found == pytest.approx(np.array([[2, 40, 0]]))


def test_a_head_that_looks_into_the_camera_looks_straight_along_its_line():
    # It stands at image-right and above, so it looks to image-left and down.
    centre = np.array([[300.0, -200, 900], [0, 0, 500]])
    yaw, pitch = np.arctan2(300, 900), -np.arcsin(200 / np.linalg.norm(centre[0]))
    rotated = mien_rotation(np.array([[yaw, pitch, 0], [0, 0, 0]]))
    seen = mien_angles(seen_along(rotated, centre))
    assert np.degrees(seen[:, :2]) == pytest.approx(np.zeros((2, 2)), abs=1e-6)
    assert np.abs(np.degrees(seen[:, 2])).max() < 3
    rotation = seen_along(np.eye(3)[None], centre[:1])[0]
    assert rotation @ rotation.T == pytest.approx(np.eye(3))
    assert rotation @ (centre[0] / np.linalg.norm(centre[0])) == pytest.approx([0, 0, 1])


def test_biwi_is_read_with_its_people_and_signs(tmp_path):
    angles = random_angles(12)
    root = biwi_tree(tmp_path / "hpdb", angles, centre=(100, 0, 900))
    data = read_biwi(tmp_path)
    assert data.images.names[:2] == ("01/frame_00003_rgb.png", "01/frame_00004_rgb.png")
    # Film 15 shows the person of film 3 again.
    assert data.person.tolist() == [1, 1, 1, 3, 3, 3, 4, 4, 4, 3, 3, 3]
    assert data.angles[[0, 1, 3]] == pytest.approx(angles[[0, 4, 1]], abs=1e-7)
    assert data.images.crop == "detect"
    assert data.sight is not None
    # Who looks straight ahead from image-right is seen rotated to image-right from the camera.
    straight = mien_angles(seen_along(np.eye(3)[None], np.array([[100.0, 0, 900]])))
    assert np.degrees(straight[0, 0]) == pytest.approx(-np.degrees(np.arctan2(100, 900)))
    with zipfile.ZipFile(tmp_path / "biwi.zip", "w") as archive:
        for path in root.rglob("frame*"):
            archive.write(path, path.relative_to(root).as_posix())
    assert read_biwi(tmp_path / "biwi.zip").checksum == data.checksum
    for place_ in (tmp_path, root, tmp_path / "biwi.zip"):
        assert BIWI.matches(place_)
    assert not BIWI.matches(tmp_path / "none")


def test_predicted_angles_an_offset_and_a_linear_map_differ(tmp_path):
    angles = random_angles(60)
    data = read_biwi(biwi_tree(tmp_path, angles, films=(1, 2, 3, 4, 5)))
    exact = scores(BIWI.run(tmp_path, Oracle(data, benchmark_rotation(data.angles)).context()))
    assert exact[PREDICTED] == pytest.approx(0, abs=1e-4)
    assert exact["geodesic error, predicted angles"] == pytest.approx(0, abs=1e-4)
    assert exact["yaw correlation, predicted angles"] == pytest.approx(1)
    assert exact["mean error, mean predictor"] > 10
    moved = data.angles + np.radians([0, 6, 0])
    shifted = scores(BIWI.run(tmp_path, Oracle(data, benchmark_rotation(moved)).context()))
    assert shifted[PREDICTED] == pytest.approx(2, abs=1e-4)
    assert shifted["pitch error, predicted angles"] == pytest.approx(6, abs=1e-4)
    assert shifted[OFFSET] == pytest.approx(0, abs=1e-4)
    halved = np.radians([0, 6, 0]) + data.angles * [-0.5, 0.5, 1]
    found = BIWI.run(tmp_path, Oracle(data, benchmark_rotation(halved)).context())
    scaled = scores(found)
    assert scaled["yaw correlation, predicted angles"] == pytest.approx(-1)
    assert scaled[OFFSET] > 5
    assert scaled[LINEAR] == pytest.approx(0, abs=1e-3)
    assert scaled["mean error, all codes, ridge"] == pytest.approx(0, abs=1e-2)
    assert [score.name for score in found.scores if score.main] == [PREDICTED, LINEAR]
    assert [row[1] for row in found.tables[1].rows][3] == 0
    assert sum(int(str(row[1])) for row in found.tables[1].rows) == 60
    assert "off by" in found.failures[0].caption
    assert found.failures[0].images[0].shape == (48, 64, 3)
    line = found.plots[0].lines["predicted angles"]
    assert line[1][0] > 0 > line[1][-1]


def test_images_without_a_face_count(tmp_path):
    angles = random_angles(40)
    data = read_biwi(biwi_tree(tmp_path, angles, films=(1, 2, 4, 5)))
    blind = data.images.names[0]
    said = benchmark_rotation(data.angles)
    result = BIWI.run(tmp_path, Oracle(data, said, blind=[blind]).context())
    found = scores(result)
    assert found[PREDICTED] == pytest.approx(
        np.degrees(np.abs(data.angles[0]).mean()) / 40, abs=1e-4
    )
    assert found[f"{PREDICTED}, where a face is found"] == pytest.approx(0, abs=1e-4)
    assert found[LINEAR] > 0.1 > found[f"{LINEAR}, where a face is found"]
    assert any("no face is found in 1 of 40" in note for note in result.notes)
    with pytest.raises(MienError, match="faces are found in no image"):
        BIWI.run(tmp_path, Oracle(data, said, blind=data.images.names).context())


def test_features_that_say_no_angles_are_probed(tmp_path):
    data = read_biwi(biwi_tree(tmp_path, random_angles(40), films=(1, 2, 4, 5)))
    result = BIWI.run(tmp_path, Oracle(data, benchmark_rotation(data.angles), peer=True).context())
    assert [s.name for s in result.scores if s.main] == ["mean error, all codes, ridge"]
    assert scores(result)["mean error, all codes, ridge"] == pytest.approx(0, abs=1e-2)
    assert PREDICTED not in scores(result)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("1 0 0\n0 1 0\n", "not four lines"),
        ("1 0 0\n0 1 0\n0 0 -1\n\n0 0 900\n", "no rotation"),
        ("1 0 0\n0 1 x\n0 0 1\n\n0 0 900\n", "line 2"),
        ("1 0 0\n0 1 0\n0 0 1\n\n0 0 -900\n", "behind the camera"),
    ],
)
def test_biwi_says_what_is_wrong(tmp_path, text, wrong):
    biwi_tree(tmp_path, random_angles(4))
    (tmp_path / "01/frame_00003_pose.txt").write_text(text)
    with pytest.raises(MienError, match=wrong):
        read_biwi(tmp_path)


def test_biwi_says_what_is_missing(tmp_path):
    (tmp_path / "01").mkdir()
    with pytest.raises(MienError, match=r"frame_00003_pose.txt is missing.*ETH"):
        read_biwi(tmp_path)
    root = biwi_tree(tmp_path, random_angles(4))
    (root / "03/frame_00003_rgb.png").unlink()
    with pytest.raises(MienError, match=r"03/frame_00003_rgb.png is missing"):
        read_biwi(root)


def test_aflw2000_leaves_out_angles_beyond_99_degrees(tmp_path):
    angles = random_angles(12)
    angles[3, 0], angles[5, 1] = np.radians(105), np.radians(-99.5)
    angles[7, 0] = np.radians(98.9)
    for number, row in enumerate(angles):
        aflw_file(tmp_path, number + 2, row)
    data = read_aflw2000(tmp_path)
    kept = [i for i in range(12) if i not in (3, 5)]
    assert data.images.names == tuple(f"image{i + 2:05}.jpg" for i in kept)
    assert data.angles == pytest.approx(angles[kept])
    assert "2 of 12 images have an angle over 99" in data.notes[0]
    assert data.images.crop == "box"
    said = benchmark_rotation(np.clip(data.angles, -1.5, 1.5))
    result = AFLW2000.run(tmp_path, Oracle(data, said).context())
    missed = np.degrees(data.angles[:, 0] - 1.5).max() / 10
    assert scores(result)["yaw error, predicted angles"] == pytest.approx(missed, abs=1e-3)
    assert AFLW2000.matches(tmp_path)
    (tmp_path / "image00004.mat").unlink()
    with pytest.raises(MienError, match=r"image00004.mat is missing"):
        read_aflw2000(tmp_path)


def test_aflw2000_says_what_is_wrong(tmp_path):
    with pytest.raises(MienError, match=r"image00002.jpg is missing; obtain it"):
        read_aflw2000(tmp_path)
    assert not AFLW2000.matches(tmp_path)
    aflw_file(tmp_path, 2, (0, 0, 0))
    with pytest.raises(MienError, match="fewer than two"):
        read_aflw2000(tmp_path)
    aflw_file(tmp_path, 4, (0, 0, 0), pt3d_68=np.zeros((2, 68)))
    with pytest.raises(MienError, match=r"image00004.mat: .* pt3d_68 \[2, 68\]"):
        read_aflw2000(tmp_path)
    aflw_file(tmp_path, 4, (np.nan, 0, 0))
    with pytest.raises(MienError, match="holds NaN"):
        read_aflw2000(tmp_path)
    aflw_file(tmp_path, 4, (0, 0, 0), pt3d_68=np.zeros((3, 68)))
    with pytest.raises(MienError, match="in one plane"):
        read_aflw2000(tmp_path)


def test_the_square_is_that_of_our_rendered_faces():
    head, size = toy_head(), 101
    frames = sample_frames(np.random.default_rng(3), head, np.zeros(6, dtype=np.int64))
    turns = np.radians(
        [[0, 0, 0], [60, 0, 0], [-45, 20, 10], [0, -25, 0], [30, 25, -20], [80, 0, 0]]
    )
    frames = replace(
        frames,
        rotation=mien_rotation(turns).astype(np.float32),
        scale=np.ones(6, np.float32),
        shift=np.zeros((6, 2), np.float32),
        expression_weights=np.zeros_like(frames.expression_weights),
        field_of_view=np.full(6, 0.01, np.float32),
    )
    deformed = deform(head, head.neutral, frames)
    placed = place(head, head.neutral, deformed, frames, size)
    # From afar the image is an orthographic one, as the set's landmarks are.
    pixels = placed.project(placed.camera)[:, head.landmarks]
    scale = placed.focal / placed.translation[:, 2]
    depth = placed.camera[:, head.landmarks, 2:] * scale[:, None, None]
    for points in np.concatenate([pixels, depth], axis=2).astype(np.float64):
        square = face_square(points)
        assert square == pytest.approx([-0.5, -0.5, size - 0.5, size - 0.5], abs=0.02 * size)
        mirrored = face_square(points * [1, 1, -1])
        assert mirrored == pytest.approx(square, abs=1e-6)
