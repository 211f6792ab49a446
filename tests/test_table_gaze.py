"""The columns of gaze: where they are, what is null, and tables without them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mien.columns import code_lengths
from mien.errors import MienError
from mien.geometry.rotation import angles_to_rotation
from mien.table.forget import forget_rows
from mien.table.read import data_frame, read_table
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import COLUMNS, GAZE, TableInfo, arrow_schema
from mien.table.writer import write_batches
from mien.types import Factors, GazeCode, Light, Pose

INFO = TableInfo("0.1", "0123456789ab", "haar", job="j")
OLD = arrow_schema(INFO, code_lengths(texture_dim=3, shape_dim=2))
CODES_ONLY = arrow_schema(INFO, code_lengths(texture_dim=3, shape_dim=2, gaze_dim=4))
WHOLE = arrow_schema(INFO, code_lengths(texture_dim=3, shape_dim=2, gaze_dim=4), calibrated=True)
ROWS = [
    FaceRow("seen", face_id=0, face_found=True),
    FaceRow("broken", reason="broken"),
    FaceRow("shut", face_id=0, face_found=True),
    FaceRow("seen too", face_id=0, face_found=True),
]


def gaze_code(eyes: list[bool]) -> GazeCode:
    count = len(eyes)
    code = torch.arange(1.0, 4 * count + 1).reshape(count, 4)
    return GazeCode(code, torch.tensor(eyes), torch.zeros(count, 2, 2), torch.ones(count))


def factors(eyes: list[bool]) -> Factors:
    level = torch.arange(1.0, len(eyes) + 1)
    pose = Pose(angles_to_rotation(0.1 * level, 0 * level, 0 * level), torch.zeros(len(eyes), 3))
    light = Light(level, level, level[:, None].expand(-1, 3))
    codes = [level[:, None].expand(-1, size) for size in (3, 2, 3, 2)]
    return Factors(*codes, pose=pose, light=light, gaze=gaze_code(eyes))


def directions(count: int) -> dict[str, np.ndarray]:
    """Every column another value, NaN in the second row as of eyes that are not found."""
    values = {name: np.arange(count) + 10.0 * (i + 1) for i, name in enumerate(GAZE)}
    for column in values.values():
        column[1] = np.nan
    return {name: column.astype(np.float32) for name, column in values.items()}


def test_the_columns_of_gaze_are_there_where_they_can_be() -> None:
    assert "gaze_code" not in OLD.names
    assert "eyes_found" not in OLD.names
    names = " ".join(CODES_ONLY.names)
    assert "texture_code shape_code gaze_code eyes_found yaw_rad" in names
    assert names.endswith("light_z")
    assert WHOLE.names == [
        column.name for column in COLUMNS if column.needs not in ("face_embedding", "features")
    ]
    assert " ".join(WHOLE.names[-7:]) == (
        "light_z gaze_x gaze_y gaze_z gaze_yaw_rad gaze_pitch_rad gaze_std_rad"
    )
    assert WHOLE.field("gaze_code").type.list_size == 4
    assert WHOLE.field("eyes_found").type == pa.bool_()
    assert {WHOLE.field(name).type for name in GAZE} == {pa.float32()}
    with pytest.raises(ValueError, match="without a gaze code"):
        arrow_schema(INFO, code_lengths(texture_dim=3, shape_dim=2), calibrated=True)


def test_the_file_describes_the_columns_that_it_has() -> None:
    for schema in (OLD, CODES_ONLY, WHOLE):
        assert list(json.loads(schema.metadata[b"mien.columns"])) == schema.names
    assert WHOLE.field("gaze_yaw_rad").metadata[b"unit"] == b"rad"
    assert b"z away" in WHOLE.field("gaze_z").metadata[b"frame"]


def test_gaze_is_null_without_eyes_and_the_other_factors_stay() -> None:
    batch = record_batch(ROWS, factors([True, False, True]), WHOLE, directions(3))
    table = pa.Table.from_batches([batch])
    assert table.column("eyes_found").to_pylist() == [True, False, False, True]
    nothing = [0, 0, 0, 0]
    assert table.column("gaze_code").to_pylist() == [
        [1, 2, 3, 4],
        nothing,
        nothing,
        [9, 10, 11, 12],
    ]
    assert table.column("gaze_x").to_pylist() == [10, None, None, 12]
    assert table.column("gaze_std_rad").to_pylist() == [60, None, None, 62]
    assert table.column("identity").to_pylist() == [[1] * 5, [0] * 5, [2] * 5, [3] * 5]
    assert table.column("yaw_rad").to_pylist() == pytest.approx([0.1, None, 0.2, 0.3])


def test_the_code_of_eyes_that_are_not_found_is_not_in_the_file() -> None:
    batch = record_batch(ROWS, factors([True, False, True]), WHOLE, directions(3))
    stored = np.asarray(batch.column("gaze_code").values)
    assert not {5.0, 6.0, 7.0, 8.0} & set(stored.tolist())


def test_of_eye_crops_the_gaze_alone_is_known() -> None:
    with pytest.raises(ValueError, match="no identity for 3 faces"):
        record_batch(ROWS, gaze_code([True, False, True]), CODES_ONLY)
    eyes = arrow_schema(INFO, {"gaze_code": 4})
    batch = record_batch(ROWS, gaze_code([True, False, True]), eyes)
    frame: Any = data_frame(pa.Table.from_batches([batch]))
    assert frame["gaze_code"][3].tolist() == [9, 10, 11, 12]
    assert frame["gaze_code"][2] is None
    others = [c.name for c in COLUMNS[16:] if not c.needs and c.kind != "codes"]
    assert len(others) == 8
    assert not {"identity", "expression", "texture_code", "shape_code"} & set(frame)
    assert frame[others].isna().all(axis=None)
    with pytest.raises(ValueError, match="2 factors for 3 faces"):
        record_batch(ROWS, gaze_code([True, False]), eyes)


def test_a_frame_tells_no_eyes_from_no_face(tmp_path: Path) -> None:
    batch = record_batch(ROWS, factors([True, False, True]), WHOLE, directions(3))
    write_batches(tmp_path / "t.parquet", [batch], WHOLE)
    table = read_table(tmp_path / "t.parquet")
    assert str(table.frame["eyes_found"].dtype) == "boolean"
    assert table.frame["eyes_found"].tolist() == [True, False, False, True]
    assert table.frame["face_found"].tolist() == [True, False, True, True]
    assert table.frame.loc[table.frame["eyes_found"], "path"].tolist() == ["seen", "seen too"]
    assert table.code_names[-1] == "gaze_code"
    assert "gaze_code" not in table.frame
    assert "gaze_pitch_rad" in table.frame
    np.testing.assert_array_equal(table.codes("gaze_code")[0], [1, 2, 3, 4])
    assert np.isnan(table.codes("gaze_code")[1:3]).all()


def test_a_table_from_before_is_read(tmp_path: Path) -> None:
    write_batches(
        tmp_path / "old.parquet", [record_batch(ROWS, factors([True] * 3), OLD, None)], OLD
    )
    table = read_table(tmp_path / "old.parquet")
    assert table.code_names == ("identity", "expression", "texture_code", "shape_code")
    assert table.codes("identity").shape == (4, 5)
    assert "eyes_found" not in table.frame
    with pytest.raises(MienError, match="no column gaze_code: its weights"):
        table.codes("gaze_code")
    done = forget_rows(tmp_path / "old.parquet", tmp_path / "rest.parquet", paths=["seen*"])
    assert done.kept == 2
    assert pq.read_schema(tmp_path / "rest.parquet").names == OLD.names


def test_forgetting_takes_the_gaze_along(tmp_path: Path) -> None:
    batch = record_batch(ROWS, factors([True, False, True]), WHOLE, directions(3))
    write_batches(tmp_path / "t.parquet", [batch], WHOLE)
    forget_rows(tmp_path / "t.parquet", tmp_path / "rest.parquet", paths=["seen"])
    rest = read_table(tmp_path / "rest.parquet")
    assert rest.frame["gaze_x"].dropna().tolist() == [12]
    np.testing.assert_array_equal(rest.codes("gaze_code")[2], [9, 10, 11, 12])
