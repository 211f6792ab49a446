"""Tables under py-feat's names: heads whose pose is plain to see, and the option of mien embed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image

import mien
from mien.cli.main import run
from mien.demo import shipped_clips
from mien.embedding import run as embedding
from mien.embedding.job import JobFolder
from mien.embedding.options import EmbedOptions
from mien.errors import MienError
from mien.geometry.rotation import rotation_to_angles
from mien.table.formats import convert_table
from mien.table.naming import named
from mien.table.pyfeat import PYFEAT, PyFeatColumns

FACING, TOP = np.array([0.0, 0.0, -1.0]), np.array([0.0, -1.0, 0.0])
"""Where a frontal head looks and where its top is: x right, y down, z away."""


def about(axis, angle):
    """The right-handed rotation about an axis of the camera frame."""
    s, c = np.sin(angle), np.cos(angle)
    turned = {
        "x": [[1, 0, 0], [0, c, -s], [0, s, c]],
        "y": [[c, 0, s], [0, 1, 0], [-s, 0, c]],
        "z": [[c, -s, 0], [s, c, 0], [0, 0, 1]],
    }
    return np.array(turned[axis])


def faces(rotations, **more):
    """A table's rows for heads of these rotations [N, 3, 3]; None where there is no face."""
    count = len(rotations)
    frame = pd.DataFrame(
        {
            "path": ["clip.mp4"] * count,
            "frame": np.arange(count),
            "face_id": pd.array([0] * count, dtype="Int32"),
            "time_s": 0.5 * np.arange(count),
            "det_score": np.float32(0.75),
            "face_found": [rotation is not None for rotation in rotations],
            **{name: np.float32(i) for i, name in enumerate(("x1", "y1", "x2", "y2"))},
        }
    )
    some = [np.eye(3) if rotation is None else rotation for rotation in rotations]
    angles = rotation_to_angles(torch.tensor(np.array(some)))
    for name, column in zip(("yaw_rad", "pitch_rad", "roll_rad"), angles, strict=True):
        frame[name] = np.where(frame["face_found"], column.numpy(), np.nan)
    return frame.assign(**more)


def test_signs_are_those_that_one_sees():
    """py-feat 2.1.5: + pitch = up, + yaw = to the person's right, + roll = leans to its right."""
    left, down, leaning = about("y", -0.4), about("x", 0.3), about("z", -0.2)
    # The person's own left is the image's right: x > 0. Down is y > 0.
    assert (left @ FACING)[0] > 0.3
    assert (down @ FACING)[1] > 0.2
    # It leans to its own right, the image's left.
    assert (leaning @ TOP)[0] < -0.1
    found = PyFeatColumns()(faces([left, down, leaning]))
    np.testing.assert_allclose(found["Yaw"], [-0.4, 0, 0], atol=1e-6)
    np.testing.assert_allclose(found["Pitch"], [0, -0.3, 0], atol=1e-6)
    np.testing.assert_allclose(found["Roll"], [0, 0, 0.2], atol=1e-6)


def test_the_rotation_is_the_same():
    numbers = np.random.default_rng(0)
    rotations = [
        about("y", a) @ about("x", b) @ about("z", c) for a, b, c in numbers.uniform(-1, 1, (20, 3))
    ]
    found = PyFeatColumns()(faces(rotations))
    angles = found[["Pitch", "Yaw", "Roll"]].to_numpy()
    for (pitch, yaw, roll), rotation in zip(angles, rotations, strict=True):
        again = about("z", -roll) @ about("y", yaw) @ about("x", -pitch)
        np.testing.assert_allclose(again, rotation, atol=1e-5)


def test_places_times_and_rows_without_a_face():
    given = faces([np.eye(3), None, np.eye(3)], time_s=[0.0, 59.9, 65.9])
    given.loc[1, ["x1", "y1", "x2", "y2", "det_score"]] = np.nan
    found = PyFeatColumns()(given)
    assert found["approx_time"].tolist() == ["00:00", "00:59", "01:05"]
    assert found["frame"].tolist() == [0, 1, 2]
    rect = found[["FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight"]].to_numpy()
    np.testing.assert_array_equal(rect[0], [0, 1, 2, 2])
    assert np.isnan(rect[1]).all()
    assert found["FaceScore"].tolist() == [0.75, 0.0, 0.75]
    assert np.isnan(found.loc[1, ["Pitch", "Roll", "Yaw"]].to_numpy(dtype=float)).all()


def test_images_are_numbered_over_all_parts_of_a_table():
    given = faces([np.eye(3)] * 6, time_s=np.nan, frame=0)
    given["path"] = ["a.png", "a.png", "b.png", "b.png", "c.png", "d.png"]
    table = pa.Table.from_pandas(given, preserve_index=False)
    schema, batches = named(table.schema, table.to_batches(max_chunksize=3), "pyfeat")
    rows = pa.Table.from_batches(batches, schema=schema).to_pandas()
    assert rows["frame"].tolist() == [0, 0, 1, 1, 2, 3]
    assert rows["input"].tolist() == given["path"].tolist()
    assert rows["approx_time"].isna().all()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(12):
        Image.fromarray(np.full((32, 32, 3), 20 * number, np.uint8)).save(folder / f"{number}.png")
    return folder


def words(photos, out, weights, *more):
    given = ["embed", str(photos), "--out", str(out), "--weights", str(weights)]
    return [*given, "--detector", "none", "--batch-size", "4", *more]


@pytest.mark.parametrize("schema", ["openface", "pyfeat"])
def test_embedding_gives_what_converting_gives(photos, tiny_folder, tmp_path, schema):
    whole, converted = tmp_path / "t.parquet", tmp_path / "converted.csv"
    assert run(words(photos, whole, tiny_folder)) == 0
    assert convert_table(whole, converted, schema=schema) == 12
    for name in ("a.csv", "a.parquet"):
        assert run(words(photos, tmp_path / name, tiny_folder, "--schema", schema)) == 0
    assert (tmp_path / "a.csv").read_bytes() == converted.read_bytes()
    read, expected = pd.read_parquet(tmp_path / "a.parquet"), pd.read_csv(converted)
    assert list(read) == list(expected)
    model = mien.load(tiny_folder)
    frame = mien.embed(photos, model=model, detector="none", batch_size=4, schema=schema)
    assert list(frame) == list(read)
    for name in expected.select_dtypes("number"):
        np.testing.assert_allclose(read[name].astype(float), expected[name], rtol=1e-6)
        np.testing.assert_allclose(frame[name].astype(float), expected[name], rtol=1e-6)


def test_an_interrupted_run_goes_on(photos, tiny_folder, tmp_path, monkeypatch, capsys):
    whole, out = tmp_path / "whole.csv", tmp_path / "t.csv"
    assert run(words(photos, whole, tiny_folder, "--schema", "pyfeat")) == 0
    monkeypatch.setitem(embedding.PartWriter.__init__.__kwdefaults__, "rows_per_part", 5)
    encode, calls = embedding.encode_crops, []

    def stopped(*given, **more):
        calls.append(1)
        if len(calls) == 3:
            raise MienError("the power is out")
        return encode(*given, **more)

    monkeypatch.setattr(embedding, "encode_crops", stopped)
    assert run(words(photos, out, tiny_folder, "--schema", "pyfeat")) == 2
    assert not out.exists()
    assert json.loads((JobFolder(out).path / "journal.json").read_text())["schema"] == "pyfeat"
    assert run(words(photos, out, tiny_folder, "--schema", "openface", "--resume")) == 2
    assert "schema was pyfeat and is openface" in capsys.readouterr().err
    assert run(words(photos, out, tiny_folder, "--schema", "pyfeat", "--resume")) == 0
    assert out.read_bytes() == whole.read_bytes()
    assert len(calls) == 5, "the first of three batches is not done again"
    assert not JobFolder(out).path.exists()
    assert run(words(photos, out, tiny_folder, "--schema", "pyfeat", "--resume")) == 2
    assert "does not say what made it" in capsys.readouterr().err


def test_what_does_not_go_together_is_one_line(photos, tiny_folder, tmp_path, capsys):
    (tmp_path / "p.json").write_text("{}")
    for more, message in (
        (["--schema", "faces"], "there is no schema faces"),
        (["--schema", "pyfeat", "--features"], "has no columns for what --features adds"),
        (["--schema", "openface", "--probe", str(tmp_path / "p.json")], "--probe adds"),
        (["--schema", "pyfeat", "--calibration", str(tmp_path / "p.json")], "--calibration adds"),
        (["--schema", "pyfeat", "--shard", "0/2"], "--shard needs mien's own columns"),
        (["--schema", "pyfeat", "--ray", "local"], "--ray needs mien's own columns"),
    ):
        assert run(words(photos, tmp_path / "t.parquet", tiny_folder, *more)) == 2
        printed = capsys.readouterr().err
        assert message in printed
        assert printed.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]
    with pytest.raises(MienError, match="head pose"):
        EmbedOptions(crop="eyes", schema="openface")


def test_the_columns_are_printed_wherever_the_option_stands(photos, capsys):
    for given in (["--schema"], ["--schema", "--features"], [str(photos), "--schema"]):
        assert run(["embed", *given]) == 0
        assert capsys.readouterr().out.startswith("column")


def test_a_turned_head_of_the_shipped_clips(tmp_path):
    """Person 1 begins with the face towards image-right, as one sees: to its own left."""
    clip = tmp_path / "clip.mp4"
    shutil.copy(shipped_clips() / "person_1.mp4", clip)
    assert (
        run(["embed", str(clip), "--out", str(tmp_path / "t.parquet"), "--schema", "pyfeat"]) == 0
    )
    assert pq.read_schema(tmp_path / "t.parquet").names == PYFEAT.names
    first = pd.read_parquet(tmp_path / "t.parquet").iloc[0]
    assert first["Yaw"] < -0.3
    assert first["FaceScore"] > 0.5
