from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mien.columns import code_lengths
from mien.errors import MienError
from mien.evaluate.from_table import describe_from
from mien.evaluate.protocol import Images
from mien.geometry.rotation import angles_to_rotation
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import TableInfo, arrow_schema
from mien.table.writer import write_batches
from mien.types import Factors, Light, Pose

INFO = TableInfo(version="0.1", model_id="0123456789ab", detector="none", options={}, job="j")
SCHEMA = arrow_schema(INFO, code_lengths(texture_dim=1, shape_dim=1))


def factors(values: list[float]) -> Factors:
    """Every code and angle of a face is its one number, or a multiple of it."""
    column = torch.tensor(values)[:, None]
    angles = angles_to_rotation(column[:, 0] / 10, column[:, 0] * 0, column[:, 0] * 0)
    light = Light(column[:, 0], column[:, 0], torch.tensor([[0.0, 0.0, -1.0]] * len(values)))
    pose = Pose(angles, torch.zeros(len(values), 3))
    return Factors(column, 2 * column, 3 * column, 4 * column, pose=pose, light=light)


def write(path: Path, rows: list[FaceRow]) -> Path:
    found = [float(i) for i, row in enumerate(rows) if row.face_found]
    batch = record_batch(rows, factors(found) if found else None, SCHEMA)
    write_batches(path, [batch], SCHEMA)
    return path


def face(path: str, side: float = 1.0, face_id: int = 0) -> FaceRow:
    box = (0.0, 0.0, side, side)
    return FaceRow(path, face_id=face_id, face_found=True, det_score=1.0, box=box)


def images(*names: str) -> Images:
    def read(_: int) -> np.ndarray:
        raise AssertionError("a table needs no images")

    return Images(names, read)


def test_rows_by_name_and_by_the_end_of_the_path(tmp_path: Path) -> None:
    rows = [face("set/a/1.jpg"), face("set/b/1.jpg"), FaceRow("set/c.jpg", reason="no face")]
    table = write(tmp_path / "t.parquet", rows)
    given = describe_from(table)(
        images("set/c.jpg", "b/1.jpg", "a/1.jpg"), ["identity", "yaw_rad", "light_ambient"]
    )
    assert given.found.tolist() == [False, True, True]
    assert given.detected.tolist() == [False, True, True]
    np.testing.assert_allclose(given["identity"], [[np.nan] * 2, [1, 2], [0, 0]])
    np.testing.assert_allclose(given["yaw_rad"], [np.nan, 0.1, 0.0], atol=1e-6)
    np.testing.assert_allclose(given["light_ambient"], [np.nan, 1, 0])
    assert given["identity"].dtype == given["yaw_rad"].dtype == np.float32


def test_of_several_faces_the_largest(tmp_path: Path) -> None:
    rows = [face("a.jpg", 5, 0), face("a.jpg", 9, 1), face("a.jpg", 7, 2), face("b.jpg", 1)]
    given = describe_from(write(tmp_path / "t.parquet", rows))(
        images("b.jpg", "a.jpg"), ["shape_code"]
    )
    # shape = neutral (2 x number) + expression (4 x number)
    np.testing.assert_allclose(given["shape_code"], [[18.0], [6.0]])


def test_an_exact_path_goes_before_an_end(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", [face("x/a.jpg"), face("a.jpg"), face("y/a.jpg")])
    given = describe_from(table)(images("a.jpg"), ["texture_code"])
    np.testing.assert_allclose(given["texture_code"], [[4.0]])


def test_missing_images_are_counted(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", [face("set/a.jpg"), face("set/ba.jpg")])
    with pytest.raises(MienError, match=r"lacks 2 of 3 images, first c\.jpg; run mien embed"):
        describe_from(table)(images("a.jpg", "c.jpg", "d.jpg"), ["identity"])


def test_a_name_that_stands_for_several(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", [face("train/a.jpg"), face("test/a.jpg")])
    with pytest.raises(MienError, match=r"several images called a\.jpg"):
        describe_from(table)(images("a.jpg"), ["identity"])
    assert describe_from(table)(images("test/a.jpg"), ["identity"])["identity"][0, 0] == 1


def test_paths_of_windows(tmp_path: Path) -> None:
    table = write(tmp_path / "t.parquet", [face("set\\a\\1.jpg"), face("set\\b\\1.jpg")])
    assert describe_from(table)(images("b/1.jpg"), ["identity"])["identity"][0, 0] == 1


def test_a_column_that_is_not_there(tmp_path: Path) -> None:
    describe = describe_from(write(tmp_path / "t.parquet", [face("a.jpg")]))
    with pytest.raises(MienError, match="has no column gaze_code"):
        describe(images("a.jpg"), ["gaze_code"])


def test_old_columns_are_offered_by_their_present_names(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", [face("b.jpg"), face("a.jpg")])
    codes = pa.array([[1.0, 2.0], [3.0, 4.0]], type=pa.list_(pa.float32(), 2))
    pq.write_table(pq.read_table(path).append_column("likeness", codes), path)
    describe = describe_from(path)
    assert {"identity", "face_embedding"} <= describe.columns
    assert "gaze_code" not in describe.columns
    given = describe(images("a.jpg"), ["face_embedding"])
    np.testing.assert_array_equal(given["face_embedding"], [[3, 4]])


def test_what_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="there is no table"):
        describe_from(tmp_path / "none.parquet")
    (tmp_path / "bad.parquet").write_text("x")
    with pytest.raises(MienError, match="no Parquet file"):
        describe_from(tmp_path / "bad.parquet")
    pq.write_table(pa.table({"path": ["a"]}), tmp_path / "other.parquet")
    with pytest.raises(MienError, match="no column face_found"):
        describe_from(tmp_path / "other.parquet")
