"""Tables as Feather, CSV and JSON lines hold what the Parquet file holds."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from mien.errors import MienError
from mien.media.spreadsheet import plain_cell, safe_cell
from mien.table.formats import FORMATS, check_format, convert
from mien.table.schema import TableInfo, arrow_schema
from mien.table.writer import write_batches

ROWS, DIM = 3000, 3
FOUND = np.arange(ROWS) % 7 != 1
CODES = np.random.default_rng(0).normal(size=(ROWS, DIM)).astype(np.float32)


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("table") / "t.parquet"
    schema = arrow_schema(TableInfo("0", "m", "haar"), {"identity": DIM, "gaze_code": DIM})
    vectors = np.where(FOUND[:, None], CODES, 0).tolist()
    eyes = FOUND & (np.arange(ROWS) % 2 == 0)
    given = {
        "path": ["=1+1.png", "-a, b.png", *(f"{i}.png" for i in range(2, ROWS))],
        "frame": [0] * ROWS,
        "face_found": FOUND.tolist(),
        "det_score": [0.1 if ok else None for ok in FOUND],
        "identity": vectors,
        "gaze_code": np.where(eyes[:, None], CODES, 0).tolist(),
        "eyes_found": eyes.tolist(),
    }
    columns = [pa.array(given.get(f.name, [None] * ROWS), type=f.type) for f in schema]
    write_batches(path, [pa.RecordBatch.from_arrays(columns, schema=schema)], schema)
    return path


def converted(table: Path, folder: Path, suffix: str) -> Path:
    convert(table, folder / f"t{suffix}", suffix)
    return folder / f"t{suffix}"


def test_feather_holds_the_same_table(table: Path, tmp_path: Path) -> None:
    read = feather.read_table(converted(table, tmp_path, ".feather"))
    assert read.equals(pq.read_table(table))
    assert read.schema.equals(pq.read_schema(table), check_metadata=True)


def test_csv_has_a_column_a_number_and_no_formula(table: Path, tmp_path: Path) -> None:
    with converted(table, tmp_path, ".csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == ROWS
    assert [row["path"] for row in rows[:3]] == ["'=1+1.png", "'-a, b.png", "2.png"]
    assert [row["face_found"] for row in rows[:2]] == ["true", "false"]
    for i in range(DIM):
        cells = [row[f"identity_{i}"] for row in rows]
        assert [cell != "" for cell in cells] == FOUND.tolist()
        found = np.array([float(cell) for cell in cells if cell], dtype=np.float32)
        np.testing.assert_array_equal(found, CODES[FOUND, i])
    assert rows[3]["gaze_code_0"] == ""
    assert rows[0]["det_score"] == "0.1"


def test_json_lines_have_lists_and_null(table: Path, tmp_path: Path) -> None:
    lines = converted(table, tmp_path, ".jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    assert [row["path"] for row in rows[:2]] == ["=1+1.png", "-a, b.png"]
    assert [row["identity"] is not None for row in rows] == FOUND.tolist()
    stored = np.array([row["identity"] for row in rows if row["identity"]], dtype=np.float32)
    np.testing.assert_array_equal(stored, CODES[FOUND])
    assert (rows[0]["det_score"], rows[1]["det_score"]) == (0.1, None)
    assert rows[3]["gaze_code"] is None
    assert (rows[0]["eyes_found"], rows[0]["frame"]) == (True, 0)


@pytest.mark.parametrize("name", ["t", "t.txt", "t.xlsx", "t.parquet.gz", ".parquet"])
def test_other_forms_are_refused(name: str) -> None:
    with pytest.raises(MienError, match=r"written as \.parquet, \.feather, \.csv, \.jsonl"):
        check_format(Path(name))
    for suffix in FORMATS:
        check_format(Path(f"t{suffix.upper()}"))


def test_a_cell_is_had_back() -> None:
    for text in ("=1", "+1", "-1", "@x", "\tx", "'=1", "a", "", "'a", "'"):
        assert not safe_cell(text).startswith(("=", "+", "-", "@", "\t"))
    for text in ("=1", "+1", "-1", "@x", "a", "", "'a"):
        assert plain_cell(safe_cell(text)) == text
