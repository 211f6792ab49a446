from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mien.cli.forget import forget
from mien.columns import code_lengths
from mien.errors import MienError
from mien.table.forget import forget_rows
from mien.table.read import read_table
from mien.table.rows import FaceRow, record_batch
from mien.table.schema import TableInfo, arrow_schema
from mien.table.writer import write_batches
from mien.types import Factors, Light, Pose

SCHEMA = arrow_schema(
    TableInfo("0", "m", "none", job="j"), code_lengths(texture_dim=2, shape_dim=1)
)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Two people's images, a video with two tracks and a row without a face."""
    rows = [
        FaceRow("ann/1.png", face_id=0, face_found=True),
        FaceRow("bob/1.png", face_id=0, face_found=True),
        FaceRow("clip.mp4", 0, 0.0, 0, 0, face_found=True),
        FaceRow("clip.mp4", 0, 0.0, 1, 1, face_found=True),
        FaceRow("clip.mp4", 1, 0.1, reason="no face found"),
    ]
    level = torch.arange(4.0)
    codes = [level[:, None].expand(4, size) for size in (2, 1, 2, 1)]
    pose = Pose(torch.eye(3).expand(4, 3, 3), torch.zeros(4, 3))
    factors = Factors(*codes, pose=pose, light=Light(level, level, torch.zeros(4, 3)))
    write_batches(tmp_path / "t.parquet", [record_batch(rows, factors, SCHEMA)], SCHEMA)
    return tmp_path / "t.parquet"


def test_the_rows_of_a_file_are_taken_out(table: Path, tmp_path: Path) -> None:
    before = table.read_bytes()
    done = forget_rows(table, tmp_path / "rest.parquet", paths=["ann/*"])
    assert (done.removed, done.kept) == (1, 4)
    rest = read_table(tmp_path / "rest.parquet")
    assert "ann/1.png" not in rest.frame["path"].tolist()
    np.testing.assert_array_equal(rest.codes("identity")[:3, 0], [1, 2, 3])
    assert rest.info is not None
    assert rest.info.model_id == "m"
    assert rest.info.job == ""
    assert table.read_bytes() == before


def test_a_track_is_taken_out_in_place(table: Path) -> None:
    forget(table, path=["clip.mp4"], track=1, in_place=True)
    frame = read_table(table).frame
    assert frame["path"].tolist() == ["ann/1.png", "bob/1.png", "clip.mp4", "clip.mp4"]
    assert frame["track_id"].dropna().tolist() == [0]
    assert b"1.png" not in b"".join(p.read_bytes() for p in table.parent.glob(".*"))


def test_what_matches_nothing_is_said(table: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="no row of"):
        forget_rows(table, tmp_path / "rest.parquet", paths=["carl/*"])
    assert not (tmp_path / "rest.parquet").exists()


def test_everything_can_be_forgotten(table: Path) -> None:
    forget(table, path=["*"], in_place=True)
    assert len(read_table(table).frame) == 0


def test_mistakes_are_refused(table: Path, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="give --path"):
        forget(table, in_place=True)
    with pytest.raises(MienError, match="either --out FILE or --in-place"):
        forget(table, path=["*"])
    with pytest.raises(MienError, match="exists"):
        forget(table, path=["ann/*"], out=table)
    (tmp_path / ".t.parquet.parts").mkdir()
    with pytest.raises(MienError, match="unfinished run"):
        forget(table, path=["*"], in_place=True)
