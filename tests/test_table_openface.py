"""A table under OpenFace's names: the same rotations and directions, in its angles."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from mien.cli.main import run
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.errors import MienError
from mien.geometry.gaze import gaze_vector
from mien.geometry.rotation import angles_to_rotation
from mien.table.naming import named_frame
from mien.table.openface import openface_columns


def openface_rotation(x, y, z):
    """`Euler2RotationMatrix` of OpenFace, written out."""
    (sx, sy, sz), (cx, cy, cz) = (np.sin([x, y, z]), np.cos([x, y, z]))
    return np.array(
        [
            [cy * cz, -cy * sz, sy],
            [cx * sz + cz * sx * sy, cx * cz - sx * sy * sz, -cy * sx],
            [sx * sz - cx * cz * sy, cz * sx + cx * sy * sz, cx * cy],
        ]
    )


def faces(angles, gaze=None):
    count = len(angles)
    frame = pd.DataFrame(
        {
            "path": ["=clip.mp4"] * count,
            "frame": np.arange(count),
            "face_id": pd.array([0] * count, dtype="Int32"),
            "track_id": pd.array([3, *[None] * (count - 1)], dtype="Int32"),
            "time_s": 0.5 * np.arange(count),
            "det_score": np.float32(0.9),
            "face_found": np.isfinite(angles).all(axis=1),
        }
    )
    for name, column in zip(("yaw_rad", "pitch_rad", "roll_rad"), angles.T, strict=True):
        frame[name] = column.astype(np.float32)
    if gaze is not None:
        for name, column in zip("xyz", gaze.T, strict=True):
            frame[f"gaze_{name}"] = column
    return frame


def test_the_rotation_is_the_same():
    angles = np.random.default_rng(0).uniform(-1, 1, (20, 3))
    angles[5] = np.nan
    found = openface_columns(faces(angles))
    for row, (yaw, pitch, roll) in enumerate(angles):
        turned = found.loc[row, ["pose_Rx", "pose_Ry", "pose_Rz"]].to_numpy(dtype=float)
        if row == 5:
            assert np.isnan(turned).all()
            assert found.loc[row, "success"] == 0
            continue
        own = angles_to_rotation(*(torch.tensor(a) for a in (yaw, pitch, roll))).numpy()
        np.testing.assert_allclose(openface_rotation(*turned), own, atol=1e-5)
    assert found["frame"].tolist() == list(range(1, 21))
    assert found["face_id"].tolist() == [3] + [0] * 19
    assert "gaze_angle_x" not in found


def test_gaze_has_its_signs():
    """OpenFace: looking to the person's left is positive, and so is looking down."""
    yaw, pitch = np.array([0.0, -0.3, 0.0]), np.array([0.0, 0.0, -0.2])
    found = openface_columns(faces(np.zeros((3, 3)), gaze_vector(yaw, pitch)))
    np.testing.assert_allclose(found["gaze_angle_x"], [0, 0.3, 0], atol=1e-12)
    np.testing.assert_allclose(found["gaze_angle_y"], [0, 0, 0.2], atol=1e-12)


def test_the_command(tmp_path, tiny_model, capsys):
    Image.fromarray(np.full((32, 32, 3), 90, np.uint8)).save(tmp_path / "a.png")
    table = tmp_path / "t.parquet"
    embed_to_parquet(tmp_path, table, model=tiny_model, options=EmbedOptions("none"))
    words = ["table", "convert", str(table)]
    assert run([*words, str(tmp_path / "o.csv"), "--schema", "openface"]) == 0
    found = pd.read_csv(tmp_path / "o.csv")
    assert found["success"].tolist() == [1]
    assert np.isfinite(found["pose_Ry"]).all()
    for name, schema in (("o.csv", "openface"), ("o.txt", "openface"), ("p.csv", "other")):
        assert run([*words, str(tmp_path / name), "--schema", schema]) == 2
    assert "there is no schema other" in capsys.readouterr().err
    assert run([*words, str(tmp_path / "o.jsonl"), "--schema", "openface"]) == 0
    lines = pd.read_json(tmp_path / "o.jsonl", lines=True)
    assert list(lines) == list(found)
    np.testing.assert_allclose(lines["pose_Ry"], found["pose_Ry"])
    with pytest.raises(MienError, match="no head pose"):
        named_frame(pd.DataFrame({"path": ["a"]}), "openface")
