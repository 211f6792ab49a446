from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from mien.columns import CODES, code_lengths
from mien.errors import MienError
from mien.geometry.rotation import angles_to_rotation
from mien.table.read import (
    code_matrix,
    column_names,
    data_frame,
    iterate_columns,
    read_columns,
    read_table,
    table_info,
)
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import (
    COLUMNS,
    EULER_ORDER,
    TableInfo,
    arrow_schema,
    describe_columns,
    read_info,
)
from mien.table.writer import PartWriter, Progress, join_parts, last_complete, write_batches
from mien.types import Factors, Light, Pose

INFO = TableInfo(
    version="0.1", model_id="0123456789ab", detector="haar", options={"every": 2}, job="j"
)
SCHEMA = arrow_schema(INFO, code_lengths(texture_dim=3, shape_dim=2))


def some_factors(count: int, seed: int = 0) -> Factors:
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    pose = Pose(angles_to_rotation(*(0.3 * normal(3, count))), normal(count, 3))
    direction = torch.nn.functional.normalize(normal(count, 3), dim=1)
    light = Light(normal(count).abs(), normal(count).abs(), direction)
    codes = [normal(count, size) for size in (3, 2, 3, 2)]
    return Factors(*codes, pose=pose, light=light)


def face(path: str, **changes: object) -> FaceRow:
    row = {"path": path, "face_id": 0, "face_found": True, "det_score": 0.5, "box": (1, 2, 3, 4)}
    return FaceRow(**(row | changes))  # type: ignore[arg-type]


def one_row(source: int, value: float = 0.0) -> pa.RecordBatch:
    return record_batch([FaceRow(f"{source}", time_s=value, reason="no face")], None, SCHEMA)


def read_sources(folder: Path) -> list[str]:
    joined = folder / "joined.parquet"
    join_parts(folder, joined, SCHEMA)
    return pq.read_table(joined).column("path").to_pylist()


def test_columns_stand_in_the_documented_order() -> None:
    assert " ".join(SCHEMA.names) == (
        "path frame time_s face_id track_id face_found det_score x1 y1 x2 y2 "
        "framing turn_deg side_px sharpness reason "
        "identity expression texture_code shape_code yaw_rad pitch_rad roll_rad "
        "light_ambient light_diffuse light_x light_y light_z"
    )


def test_every_column_says_what_it_is(tmp_path: Path) -> None:
    whole = arrow_schema(
        INFO,
        code_lengths(texture_dim=3, shape_dim=2, face_embedding_dim=7, gaze_dim=4, features_dim=6),
        calibrated=True,
    )
    assert whole.names == [column.name for column in COLUMNS]
    write_batches(tmp_path / "t.parquet", [], whole)
    stored = pq.read_schema(tmp_path / "t.parquet")
    for column in COLUMNS:
        metadata = {k.decode(): v.decode() for k, v in stored.field(column.name).metadata.items()}
        assert metadata["description"] == column.description != ""
        assert metadata["unit"] == column.unit
        assert metadata["frame"] == column.frame
        assert metadata["range"] == column.range
        if column.name.endswith("_rad"):
            assert column.unit == "rad"
            assert "x right, y down, z away" in column.frame
    assert stored.field("time_s").metadata[b"unit"] == b"s"
    assert stored.field("x1").metadata[b"unit"] == b"px"


def test_table_metadata_says_what_made_it(tmp_path: Path) -> None:
    write_batches(tmp_path / "t.parquet", [one_row(0)], SCHEMA)
    stored = pq.read_schema(tmp_path / "t.parquet")
    assert read_info(stored) == INFO
    assert table_info(tmp_path / "t.parquet") == INFO
    assert stored.metadata[b"mien.model_id"] == b"0123456789ab"
    assert stored.metadata[b"mien.euler_order"].decode() == EULER_ORDER
    assert json.loads(stored.metadata[b"mien.columns"])["yaw_rad"]["unit"] == "rad"
    assert read_info(pa.schema([])) is None


def test_codes_have_the_models_lengths() -> None:
    there = [name for name in CODES if name in SCHEMA.names]
    lengths = {name: SCHEMA.field(name).type.list_size for name in there}
    assert lengths == {"identity": 5, "expression": 5, "texture_code": 3, "shape_code": 2}
    more = arrow_schema(
        INFO,
        code_lengths(texture_dim=3, shape_dim=2, face_embedding_dim=7, gaze_dim=4, features_dim=6),
    )
    assert [more.field(name).type.list_size for name in CODES[4:]] == [7, 4, 6]
    assert SCHEMA.field("identity").type.value_type == pa.float32()


def test_rows_carry_their_factors_and_null_where_there_is_no_face() -> None:
    factors = some_factors(2)
    rows = [face("a"), FaceRow("b", reason="broken"), face("c", frame=3, time_s=0.5, track_id=7)]
    batch = record_batch(rows, factors, SCHEMA)
    table = pa.Table.from_batches([batch])
    assert table.column("path").to_pylist() == ["a", "b", "c"]
    assert table.column("track_id").to_pylist() == [None, None, 7]
    assert table.column("time_s").to_pylist() == [None, None, 0.5]
    assert table.column("face_found").to_pylist() == [True, False, True]
    assert table.column("reason").to_pylist() == [None, "broken", None]
    assert table.column("x2").to_pylist() == [3.0, None, 3.0]
    codes = ("identity", "expression", "texture_code", "shape_code")
    for name in SCHEMA.names[16:]:
        length = SCHEMA.field(name).type.list_size if name in codes else 0
        assert table.column(name)[1].as_py() == (length * [0.0] or None)
        assert not length or table.column(name).null_count == 0
    for name in codes:
        matrix = code_matrix(table.column(name), np.array([True, False, True]), what=name)
        np.testing.assert_array_equal(matrix[[0, 2]], getattr(factors, name).numpy())
        assert np.isnan(matrix[1]).all()


def test_angles_follow_the_signs_of_the_documentation() -> None:
    rotated = some_factors(1).with_pose(
        Pose(
            angles_to_rotation(torch.tensor([0.3]), torch.tensor([-0.2]), torch.tensor([0.1])),
            torch.zeros(1, 3),
        )
    )
    batch = record_batch([face("a")], rotated, SCHEMA)
    angles = [batch.column(name)[0].as_py() for name in ("yaw_rad", "pitch_rad", "roll_rad")]
    assert angles == pytest.approx([0.3, -0.2, 0.1], abs=1e-6)


def test_as_many_factors_as_faces_are_asked_for() -> None:
    with pytest.raises(ValueError, match="2 factors for 1 faces"):
        record_batch([face("a")], some_factors(2), SCHEMA)


def test_text_that_is_not_utf8_is_written_readably() -> None:
    batch = record_batch([FaceRow("a\udcff.jpg", reason="é")], None, SCHEMA)
    assert batch.column("path")[0].as_py() == "a\\udcff.jpg"
    assert batch.column("reason")[0].as_py() == "é"


def test_parts_are_joined_in_order(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, SCHEMA, Progress(0, 0), rows_per_part=3)
    for source in range(10):
        writer.write(one_row(source), [source], source)
    writer.finish(10)
    assert len(list(tmp_path.glob("part-*"))) > 3
    assert last_complete(tmp_path).sources == 10
    assert read_sources(tmp_path) == [str(source) for source in range(10)]


def test_a_source_that_was_broken_off_is_begun_again(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, SCHEMA, Progress(0, 0), rows_per_part=4)
    for source in (0, 0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2):
        writer.write(one_row(source), [source], source)
    assert any("open" in path.name for path in tmp_path.iterdir())
    progress = last_complete(tmp_path)
    assert progress.sources == 2
    assert not any("open" in path.name for path in tmp_path.iterdir())
    again = PartWriter(tmp_path, SCHEMA, progress)
    for source in (2, 2, 3):
        again.write(one_row(source), [source], source)
    again.finish(4)
    assert read_sources(tmp_path) == ["0", "0", "1", "2", "2", "3"]


def test_a_gap_ends_what_counts(tmp_path: Path) -> None:
    writer = PartWriter(tmp_path, SCHEMA, Progress(0, 0), rows_per_part=2)
    for source in range(6):
        writer.write(one_row(source), [source], source)
    writer.finish(6)
    (tmp_path / "part-000002.done-3.parquet").unlink()
    assert last_complete(tmp_path) == Progress(parts=2, sources=2)
    assert len(list(tmp_path.glob("part-*"))) == 2


def test_time_alone_makes_a_part(tmp_path: Path) -> None:
    now = [0.0]
    writer = PartWriter(tmp_path, SCHEMA, Progress(0, 0), clock=lambda: now[0])
    writer.write(one_row(0), [0], 0)
    now[0] = 60.0
    writer.write(one_row(1), [1], 1)
    assert [path.name for path in tmp_path.iterdir()] == ["part-000000.done-1.parquet"]
    writer.write(one_row(2), [2], 2)
    writer.save_complete()
    assert last_complete(tmp_path) == Progress(parts=2, sources=2)


def test_row_groups_do_not_depend_on_the_parts(tmp_path: Path) -> None:
    batch = record_batch([FaceRow("a", reason="no face")] * 1500, None, SCHEMA)
    writer = PartWriter(tmp_path, SCHEMA, Progress(0, 0), rows_per_part=1000)
    for source in range(6):
        writer.write(batch, [source] * 1500, source)
    writer.finish(6)
    join_parts(tmp_path, tmp_path / "joined", SCHEMA)
    metadata = pq.read_metadata(tmp_path / "joined")
    assert [metadata.row_group(i).num_rows for i in range(3)] == [4096, 4096, 808]


def test_an_empty_table_is_a_table(tmp_path: Path) -> None:
    join_parts(tmp_path, tmp_path / "joined.parquet", SCHEMA)
    table = read_table(tmp_path / "joined.parquet")
    assert len(table.frame) == 0
    assert table.codes("identity").shape == (0, 5)


def test_read_table_gives_a_frame_and_matrices(tmp_path: Path) -> None:
    factors = some_factors(2)
    rows = [face("a", track_id=4), FaceRow("b", reason="no face"), face("c")]
    write_batches(tmp_path / "t.parquet", [record_batch(rows, factors, SCHEMA)], SCHEMA)
    table = read_table(tmp_path / "t.parquet")
    assert isinstance(table.frame, pd.DataFrame)
    assert not set(CODES) & set(table.frame.columns)
    assert str(table.frame["track_id"].dtype) == "Int32"
    assert table.frame["track_id"].isna().tolist() == [False, True, True]
    assert table.info == INFO
    codes = table.codes("expression")
    assert codes.dtype == np.float32
    np.testing.assert_array_equal(codes[[0, 2]], factors.expression.numpy())
    assert np.isnan(codes[1]).all()
    with pytest.raises(MienError, match="no column of codes"):
        table.codes("yaw_rad")


def test_data_frame_keeps_codes_and_says_what_made_it() -> None:
    batch = record_batch([face("a"), FaceRow("b")], some_factors(1), SCHEMA)
    frame = data_frame(pa.Table.from_batches([batch]))
    assert list(frame.columns) == SCHEMA.names
    assert frame["identity"][0].shape == (5,)
    assert frame["identity"][0].dtype == np.float32
    assert frame["identity"][1] is None
    assert frame.attrs["model_id"] == "0123456789ab"
    assert frame.attrs["columns"]["time_s"]["unit"] == "s"


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MienError, match="there is no table"):
        read_table(tmp_path / "none.parquet")
    (tmp_path / "text.parquet").write_text("not Parquet")
    with pytest.raises(MienError, match="no Parquet file"):
        read_table(tmp_path / "text.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(MienError, match="no column path"):
        read_table(tmp_path / "other.parquet")


def test_description_names_every_column() -> None:
    lines = describe_columns()
    assert [line.split()[0] for line in lines[1:]] == [column.name for column in COLUMNS]


def test_columns_written_under_an_old_name_are_read_by_the_present_one(tmp_path: Path) -> None:
    batch = record_batch([FaceRow("a", face_found=True)], some_factors(1), SCHEMA)
    table = pa.Table.from_batches([batch])
    codes = pa.array([[1.0, 2.0]], type=pa.list_(pa.float32(), 2))
    field = pa.field("likeness", codes.type, metadata={"unit": "", "frame": "here"})
    pq.write_table(table.append_column(field, codes), tmp_path / "t.parquet")
    assert "face_embedding" in column_names(tmp_path / "t.parquet")
    found = read_table(tmp_path / "t.parquet")
    assert found.code_names == (*CODES[:4], "face_embedding")
    np.testing.assert_array_equal(found.codes("face_embedding"), [[1, 2]])
    frame = data_frame(pq.read_table(tmp_path / "t.parquet"))
    assert "likeness" not in frame
    assert frame["face_embedding"][0].tolist() == [1, 2]
    assert frame.attrs["columns"]["face_embedding"]["frame"] == "here"
    with pytest.raises(MienError, match="has no column gaze_code"):
        read_columns(tmp_path / "t.parquet", ["path", "gaze_code"])


def test_what_has_been_read_of_a_table_is_not_kept(tmp_path: Path) -> None:
    codes = np.random.default_rng(0).standard_normal((16_384, 128), dtype=np.float32)
    column = pa.FixedSizeListArray.from_arrays(pa.array(codes.reshape(-1)), 128)
    table = pa.table({"face_found": pa.array(np.ones(len(codes), bool)), "identity": column})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1024, use_dictionary=False)
    del table, column
    before, held, read = pa.total_allocated_bytes(), [], 0
    for batch in iterate_columns(tmp_path / "t.parquet", ["identity"], rows=1024):
        read += batch.num_rows
        held.append(pa.total_allocated_bytes() - before)
    assert read == len(codes)
    assert max(held) < codes.nbytes / 2
