from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mien.errors import MienError
from mien.probes.labels import Target, read_targets
from mien.probes.match import match_targets
from mien.probes.screen import Screen, read_screen

# A screen of 400 x 200 mm, 1000 x 500 pixels, below the camera, which sees an eye at 600 mm.
SCREEN = {"pixel_mm": 0.4, "origin_mm": [200, 10, 0], "eye_distance_mm": 600}


def written(folder: Path, *lines: str) -> Path:
    (folder / "targets.csv").write_text("\n".join(lines) + "\n")
    return folder / "targets.csv"


def directions(targets: list[Target]) -> np.ndarray:
    return np.array([target.direction for target in targets])


def screen_file(folder: Path, **changes: object) -> Path:
    path = folder / "screen.json"
    given = {key: value for key, value in (SCREEN | changes).items() if value is not None}
    path.write_text(json.dumps(given))
    return path


def test_all_ways_to_say_a_direction_agree(tmp_path: Path) -> None:
    yaw, pitch = math.radians(20), math.radians(-10)
    x, y, z = (
        -math.cos(pitch) * math.sin(yaw),
        -math.sin(pitch),
        -math.cos(pitch) * math.cos(yaw),
    )
    found = [
        directions(read_targets(written(tmp_path, f"path,{columns}", f"a.png,{values}")))
        for columns, values in (
            ("gaze_yaw_deg,gaze_pitch_deg", "20,-10"),
            ("gaze_pitch_rad,gaze_yaw_rad", f"{pitch},{yaw}"),
            ("gaze_x,gaze_y,gaze_z", f"{1.005 * x},{1.005 * y},{1.005 * z}"),
        )
    ]
    for direction in found:
        np.testing.assert_allclose(direction, [[x, y, z]], atol=1e-12)
    # 20 degrees to image-left and 10 down.
    assert x < 0 < y


def test_a_point_on_the_screen_is_a_direction(tmp_path: Path) -> None:
    screen = read_screen(screen_file(tmp_path))
    rows = ("a,500,0", "b,0,0", "c,500,500")
    path = written(tmp_path, "path,screen_x_px,screen_y_px", *rows)
    middle, left, below = directions(read_targets(path, screen))
    expected = np.array([[0, 10, -600], [200, 10, -600], [0, 210, -600]], dtype=float)
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose([middle, left, below], expected)
    # Who looks to their own left is seen to look to the right of the image.
    assert left[0] > 0
    assert below[1] > middle[1] > 0


def test_a_screen_may_stand_anywhere(tmp_path: Path) -> None:
    yaml = tmp_path / "screen.yaml"
    yaml.write_text(
        "pixel_mm: [0.5, 0.25]\norigin_mm: [0, 0, 100]\neye_mm: [10, 20, 700]\n"
        "x_axis: [0, 1, 0]\ny_axis: [1, 0, 0]\n"
    )
    screen = read_screen(yaml)
    assert screen == Screen((0.5, 0.25), (0, 0, 100), (0, 1, 0), (1, 0, 0), (10, 20, 700))
    gaze = screen.directions(np.array([[40.0, 40.0]]))[0]
    np.testing.assert_allclose(gaze, [0, 0, -1], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"eye_mm": [0, 0, 600]}, "either eye_mm or eye_distance_mm"),
        ({"eye_distance_mm": None}, "either eye_mm or eye_distance_mm"),
        ({"eye_distance_mm": -600}, "eye_distance_mm must be above 0"),
        ({"pixel_mm": 0}, "pixel_mm must be above 0"),
        ({"pixel_mm": None}, "pixel_mm must be 2 numbers"),
        ({"origin_mm": [1, 2]}, "origin_mm must be 3 numbers"),
        ({"origin_mm": [1, 2, "x"]}, "origin_mm must be 3 numbers"),
        ({"origin_mm": [0, 0, 600]}, "the eye lies in the plane of the screen"),
        ({"x_axis": [-2, 0, 0]}, "x_axis must be a unit vector, its length is 2"),
        ({"x_axis": [-0.6, 0.8, 0]}, "must be perpendicular"),
        ({"pixels": 3}, "unknown key pixels"),
    ],
)
def test_impossible_screens_are_refused(
    tmp_path: Path, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(MienError, match=message):
        read_screen(screen_file(tmp_path, **changes))


def test_files_that_are_no_screen_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"no file .*none\.json"):
        read_screen(tmp_path / "none.json")
    for text, message in (("{", "not JSON of plain values"), ("[1]", "does not hold the keys")):
        (tmp_path / "s.json").write_text(text)
        with pytest.raises(MienError, match=message):
            read_screen(tmp_path / "s.json")


ANGLES = "path,gaze_yaw_deg,gaze_pitch_deg"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["name,gaze_yaw_deg,gaze_pitch_deg", "a,1,2"], "no column path"),
        (["path,yaw", "a,1"], "needs one of the columns: gaze_yaw_deg gaze_pitch_deg | gaze_yaw"),
        (["path,gaze_yaw_deg", "a,1"], "no column gaze_pitch_deg beside"),
        ([ANGLES + ",gaze_yaw_rad,gaze_pitch_rad", "a,1,2,3,4"], "has where people looked twice"),
        ([ANGLES], "holds no targets"),
        ([ANGLES, "a,1,2", "b,1"], "1 rows have not 3 cells as the first line has, first line 3"),
        ([ANGLES, "a,1,2", "", "b,1,nan", "c,,2"], "2 rows have no number .*, first line 4"),
        ([ANGLES, "a,1,91"], "1 rows exceed what yaw and pitch can be in degrees"),
        (["path,gaze_yaw_rad,gaze_pitch_rad", "a,20,1"], "in radians; are they degrees"),
        (["path,gaze_x,gaze_y,gaze_z", "a,0,0,-1", "b,0,0,-1.02"], "no unit vectors .* line 3"),
        (
            [ANGLES + ",frame", "a,1,2,0", "a,3,4,1", "a,5,6,0"],
            r"another row names, first .*targets\.csv, line 4, a",
        ),
        ([ANGLES + ",frame", "a,1,2,x"], "line 2: frame is 'x', not a whole number"),
        ([ANGLES + ",face_id", "a,1,2,-1"], "line 2: face_id is '-1', not a whole number"),
        ([ANGLES + ",person", "a,1,2,ann", "b,1,2,"], "1 rows have no person.*, first line 3"),
        ([ANGLES, ",1,2"], "line 2: no path"),
        ([ANGLES + ",path", "a,1,2,b"], "the column 'path' twice"),
        (["path,screen_x_px,screen_y_px", "a,1,2"], "need the screen's geometry: give --screen"),
    ],
)
def test_impossible_targets_are_refused(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(MienError, match=message) as caught:
        read_targets(written(tmp_path, *lines))
    assert "targets.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_screen_that_is_not_needed_is_refused(tmp_path: Path) -> None:
    screen = read_screen(screen_file(tmp_path))
    with pytest.raises(MienError, match="need no --screen"):
        read_targets(written(tmp_path, ANGLES, "a,1,2"), screen)


def test_files_that_are_no_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match=r"no file .*none\.csv"):
        read_targets(tmp_path / "none.csv")
    (tmp_path / "t.csv").write_bytes(b"path,\xff\n")
    with pytest.raises(MienError, match="not UTF-8 text"):
        read_targets(tmp_path / "t.csv")


def test_keys_people_and_other_columns(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "\ufeff note, path ,frame,face_id,person,gaze_yaw_deg,gaze_pitch_deg",
        '"a, b", clip.mp4 ,12,1,ann,0,0',
    )
    (target,) = read_targets(path)
    assert (target.path, target.frame, target.face_id) == ("clip.mp4", 12, 1)
    assert target.person == "ann"
    assert target.name == "clip.mp4 frame 12 face_id 1"


def faces(count: int = 12) -> pd.DataFrame:
    """Images 0.png and so on, then a clip with two faces in frames 0 and 1."""
    rng = np.random.default_rng(0)
    paths = [f"{i}.png" for i in range(count)] + ["clip.mp4"] * 4
    rows = len(paths)
    frame = pd.DataFrame(
        {
            "path": paths,
            "frame": [0] * count + [0, 0, 1, 1],
            "face_id": pd.array([0] * count + [0, 1, 0, 1], dtype="Int32"),
            "eyes_found": pd.array([True] * rows, dtype="boolean"),
            "gaze_code": list(rng.normal(size=(rows, 4)).astype(np.float32)),
            "yaw_rad": rng.normal(size=rows),
            "pitch_rad": rng.normal(size=rows),
            "roll_rad": rng.normal(size=rows),
        }
    )
    frame.attrs["model_id"] = "0123456789ab"
    return frame


def looks(*keys: tuple[str, int | None, int | None]) -> list[Target]:
    return [Target(*key, None, (0.0, 0.0, -1.0)) for key in keys]


def images(*numbers: int) -> list[Target]:
    return looks(*((f"{i}.png", None, None) for i in numbers))


def test_targets_find_their_rows() -> None:
    table = faces()
    clip = looks(("clip.mp4", 1, 0), ("clip.mp4", 0, 1))
    found = match_targets(table, [*clip, *images(*range(9, -1, -1))])
    rows = [14, 13, *range(9, -1, -1)]
    np.testing.assert_array_equal(found.codes, np.stack(table["gaze_code"].tolist())[rows])
    assert found.head_pose is not None
    pose = table[["yaw_rad", "pitch_rad", "roll_rad"]].to_numpy()
    np.testing.assert_array_equal(found.head_pose, pose[rows])
    assert found.names[:3] == ("clip.mp4 frame 1 face_id 0", "clip.mp4 frame 0 face_id 1", "9.png")
    assert found.people is None
    assert found.model_id == "0123456789ab"
    assert found.without_eyes == ()


def test_faces_without_eyes_are_left_out() -> None:
    table = faces()
    table["eyes_found"] = pd.array([False, None] + [True] * 14, dtype="boolean")
    codes = table["gaze_code"].tolist()
    table["gaze_code"] = pd.Series([None, None, *codes[2:]], dtype=object)
    table.loc[1, "face_id"] = pd.NA
    named = looks(("1.png", None, 0))
    found = match_targets(table, [*images(0), *named, *images(*range(2, 12))])
    assert found.without_eyes == ("0.png", "1.png face_id 0")
    assert found.codes.shape == (10, 4)
    with pytest.raises(MienError, match=r"8 samples .* because 2 show no eyes, first 0.png"):
        match_targets(table, images(*range(10)))


def test_without_any_head_pose_there_is_none() -> None:
    table = faces()
    table[["yaw_rad", "pitch_rad", "roll_rad"]] = np.nan
    assert match_targets(table, images(*range(10))).head_pose is None


def test_targets_that_do_not_match_are_refused() -> None:
    table = faces()
    with pytest.raises(MienError, match=r"2 targets have no row .* first path is 0.png; first x"):
        match_targets(table, [*images(1), *looks(("x.png", None, None), ("0.png", 3, None))])
    with pytest.raises(MienError, match=r"1 targets have several rows .* first clip.mp4 frame 1"):
        match_targets(table, [*images(1), *looks(("clip.mp4", 1, None))])
    twice = pd.concat([table, table.iloc[:1]])
    with pytest.raises(MienError, match=r"several rows in the table, first 0.png"):
        match_targets(twice, images(0))
    with pytest.raises(MienError, match="no column gaze_code: embed again"):
        match_targets(table.drop(columns="gaze_code"), images(0))
    with pytest.raises(MienError, match="3 samples are too few"):
        match_targets(table, images(0, 1, 2))
