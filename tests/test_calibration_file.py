"""The file of a calibration, and the command that writes it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.cli.calibrate import calibrate
from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.probes.fit import fit_calibration
from mien.probes.gaze import Calibration

COUNT, DIM = 60, 6


def samples() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes that hold the eyes' turn in the head, head poses, and yaw and pitch."""
    rng = np.random.default_rng(0)
    pose, eyes = rng.normal(0, 0.2, (COUNT, 3)), rng.normal(0, 0.25, (COUNT, 2))
    codes = np.hstack([eyes + rng.normal(0, 0.03, eyes.shape), rng.normal(size=(COUNT, DIM - 2))])
    return codes.astype(np.float32), pose.astype(np.float32), eyes + pose[:, :2]


@pytest.fixture(params=["pooled", "personal"])
def made(request: pytest.FixtureRequest) -> Calibration:
    codes, pose, angles = samples()
    return fit_calibration(
        codes=codes,
        targets=gaze_vector(*angles.T),
        head_pose=pose,
        people=["ann", "bob", "café"] * (COUNT // 3),
        per_person=request.param == "personal",
        rng=np.random.default_rng(0),
        model_id="0123456789ab",
    )


def test_what_is_read_is_what_was_saved(made: Calibration, tmp_path: Path) -> None:
    made.save(tmp_path / "c.json")
    read = Calibration.load(tmp_path / "c.json")
    codes, pose, _ = samples()
    people = ["ann", "café", "new"] * (COUNT // 3)
    before, after = (c.predict(codes, pose, people) for c in (made, read))
    for name in ("direction", "yaw", "pitch", "std_rad"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    for name in ("model_id", "code_dim", "uses_pose", "error", "personal_error", "people", "kind"):
        assert getattr(read, name) == getattr(made, name)
    assert [path.name for path in tmp_path.iterdir()] == ["c.json"]


def test_a_calibration_is_not_overwritten_unasked(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("mine")
    with pytest.raises(MienError, match="exists"):
        made.save(path)
    assert path.read_text() == "mine"
    made.save(path, overwrite=True)
    assert Calibration.load(path).samples == COUNT


def test_damage_is_noticed(made: Calibration, tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    with pytest.raises(MienError, match="there is no calibration"):
        Calibration.load(path)
    made.save(path)
    text = path.read_text()
    whole = json.loads(text)
    whole["calibration"]["pooled"]["noise"][0] *= 2
    damaged = {
        "is not JSON": text[: len(text) // 2],
        r"was cut short or changed \(its sha256": json.dumps(whole),
        "is of calibration format 2, this mien reads 1": json.dumps(whole | {"format_version": 2}),
        "is no calibration": json.dumps({"format": "mien"}),
        "no calibration; make": "[]",
    }
    for message, content in damaged.items():
        path.write_text(content)
        with pytest.raises(MienError, match=message):
            Calibration.load(path)


def test_a_whole_file_of_nonsense_is_refused(tmp_path: Path) -> None:
    from mien.probes.gaze import FILE

    path = tmp_path / "c.json"
    for body in ({}, {"code_dim": 3}, {"code_dim": 2, "uses_pose": False, "pooled": []}):
        FILE.write(body, path, overwrite=True)
        with pytest.raises(MienError, match="holds no calibration"):
            Calibration.load(path)


def table(folder: Path, **changes: pa.Array) -> Path:
    codes, pose, _ = samples()
    columns = {
        "path": pa.array([f"{i}.png" for i in range(COUNT)]),
        "frame": pa.array([0] * COUNT, pa.int64()),
        "face_id": pa.array([0] * COUNT, pa.int32()),
        "face_found": pa.array([True] * COUNT),
        "yaw_rad": pa.array(pose[:, 0]),
        "pitch_rad": pa.array(pose[:, 1]),
        "roll_rad": pa.array(pose[:, 2]),
        "gaze_code": pa.FixedSizeListArray.from_arrays(pa.array(codes.ravel()), DIM),
        "eyes_found": pa.array([True] * COUNT),
    }
    made_by = {"mien.version": "0", "mien.model_id": "0123456789ab", "mien.detector": "none"}
    content = pa.table(columns | changes).replace_schema_metadata(made_by)
    pq.write_table(content, folder / "faces.parquet")
    return folder / "faces.parquet"


def targets(folder: Path, *, people: bool = False, count: int = COUNT) -> Path:
    lines = ["path,gaze_yaw_rad,gaze_pitch_rad" + ",person" * people]
    for i, (yaw, pitch) in enumerate(samples()[2][:count]):
        lines.append(f"{i}.png,{yaw},{pitch}" + f",p{i % 4}" * people)
    (folder / "targets.csv").write_text("\n".join(lines) + "\n")
    return folder / "targets.csv"


def test_the_command_writes_a_calibration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "c.json"
    calibrate(str(table(tmp_path)), targets=targets(tmp_path), out=out)
    made = Calibration.load(out)
    assert (made.model_id, made.code_dim, made.uses_pose) == ("0123456789ab", DIM, True)
    codes, pose, angles = samples()
    gaze = made.predict(codes, pose)
    assert np.abs(np.stack([gaze.yaw, gaze.pitch], axis=1) - angles).mean() < 0.04
    assert made.error.mean_deg < 4
    printed = capsys.readouterr().err
    assert "60 samples, gaze code and head pose, linear features" in printed
    assert f"error on held-out samples: {made.error.mean_deg:.2f} degrees (95 % interval" in printed
    assert "regularisation" in printed


def test_the_options_of_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, where = tmp_path / "c.json", table(tmp_path)
    calibrate(str(where), targets=targets(tmp_path), out=out, no_pose=True)
    assert not Calibration.load(out).uses_pose
    given = targets(tmp_path, people=True)
    with pytest.raises(MienError, match=r"c\.json exists"):
        calibrate(str(where), targets=given, out=out)
    capsys.readouterr()
    calibrate(str(where), targets=given, out=out, per_person=True, overwrite=True)
    assert Calibration.load(out).people == ("p0", "p1", "p2", "p3")
    printed = capsys.readouterr().err
    assert "60 samples of 4 people" in printed
    assert "error on held-out people" in printed
    assert "with the offsets, on held-out samples" in printed


def test_faces_without_eyes_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    eyes = pa.array([None, False] + [True] * (COUNT - 2))
    where = table(tmp_path, eyes_found=eyes)
    calibrate(str(where), targets=targets(tmp_path), out=tmp_path / "c.json")
    assert "left out: 2 targets without eyes, first 0.png" in capsys.readouterr().err
    assert Calibration.load(tmp_path / "c.json").samples == COUNT - 2


def test_eye_crops_are_calibrated_without_head_pose(tmp_path: Path) -> None:
    nothing = {name: pa.nulls(COUNT, pa.float32()) for name in ("yaw_rad", "pitch_rad", "roll_rad")}
    calibrate(str(table(tmp_path, **nothing)), targets=targets(tmp_path), out=tmp_path / "c.json")
    assert not Calibration.load(tmp_path / "c.json").uses_pose


def test_mistakes_leave_nothing_behind(tmp_path: Path) -> None:
    where, out = table(tmp_path), tmp_path / "c.json"
    with pytest.raises(MienError, match="give --targets"):
        calibrate(str(where), out=out)
    with pytest.raises(MienError, match="give --out"):
        calibrate(str(where), targets=targets(tmp_path))
    with pytest.raises(MienError, match="8 samples are too few"):
        calibrate(str(where), targets=targets(tmp_path, count=8), out=out)
    with pytest.raises(MienError, match="there is no table"):
        calibrate(str(tmp_path / "none"), targets=targets(tmp_path), out=out)
    with pytest.raises(MienError, match="add a column person"):
        calibrate(str(where), targets=targets(tmp_path), out=out, per_person=True)
    pq.write_table(pq.read_table(where).drop_columns(["gaze_code"]), where)
    with pytest.raises(MienError, match="no column gaze_code"):
        calibrate(str(where), targets=targets(tmp_path), out=out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.parquet", "targets.csv"]
