"""Tables that other programs have written anew, and those of mien 0.1, are read all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.errors import MienError
from mien.evaluate.from_table import describe_from
from mien.evaluate.protocol import Images
from mien.probes.labels import Label, Labels
from mien.probes.match import match_labels
from mien.table.boxes import read_boxes
from mien.table.forget import forget_rows
from mien.table.read import read_table, some_columns

COUNT, DIM = 6, 4
FOUND = np.array([True, False, True, True, False, True])
EYES = np.array([True, False, False, True, False, True])
CODES = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)


def lists(values: np.ndarray, there: np.ndarray, kind: pa.DataType) -> pa.Array:
    rows = np.where(there[:, None], values, 0).tolist()
    return pa.array(rows, type=kind)


def written(path: Path) -> Path:
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), DIM)
    side = pa.array([8.0] * COUNT, pa.float32(), mask=~FOUND)
    zero = pa.array([0.0] * COUNT, pa.float32(), mask=~FOUND)
    columns = {
        "path": pa.array([f"{i}.png" for i in range(COUNT)]),
        "frame": pa.array([0] * COUNT, pa.int64()),
        "face_id": pa.array([0] * COUNT, pa.int32(), mask=~FOUND),
        "track_id": pa.nulls(COUNT, pa.int32()),
        "face_found": pa.array(FOUND),
        "x1": zero,
        "y1": zero,
        "x2": side,
        "y2": side,
        "framing": pa.array(["yunet"] * COUNT, mask=~FOUND),
        "reason": pa.array([None if ok else "no face found" for ok in FOUND]),
        "identity": lists(CODES, FOUND, kind),
        "gaze_code": lists(CODES, EYES, kind),
        "eyes_found": pa.array(EYES),
        "yaw_rad": pa.array(CODES[:, 0], mask=~FOUND),
    }
    by = {"mien.version": "1", "mien.model_id": "0123456789ab", "mien.detector": "yunet"}
    pq.write_table(pa.table(columns).replace_schema_metadata(by), path)
    return path


def by_pandas(table: Path, out: Path) -> None:
    pd.read_parquet(table).to_parquet(out)


def by_pandas_with_arrow(table: Path, out: Path) -> None:
    pd.read_parquet(table, dtype_backend="pyarrow").to_parquet(out)


def by_polars(table: Path, out: Path) -> None:
    """Large strings, fixed-size lists whose items may be null, no metadata."""
    read = pq.read_table(table)
    kinds = {pa.string(): pa.large_string()}
    columns: dict[str, Any] = {}
    for name in read.column_names:
        column = read.column(name)
        wanted = kinds.get(column.type, column.type)
        if pa.types.is_fixed_size_list(wanted):
            wanted = pa.list_(pa.float32(), DIM)
        columns[name] = column.cast(wanted)
    pq.write_table(pa.table(columns), out, store_schema=False)


def by_duckdb(table: Path, out: Path) -> None:
    """Plain lists, larger integers, no metadata."""
    read = pq.read_table(table)
    columns: dict[str, Any] = {name: read.column(name) for name in read.column_names}
    for name in ("identity", "gaze_code"):
        columns[name] = pa.array(columns[name].to_pylist(), pa.list_(pa.float64()))
    columns["face_id"] = columns["face_id"].cast(pa.int64())
    pq.write_table(pa.table(columns), out)


def with_categories(table: Path, out: Path) -> None:
    frame = pd.read_parquet(table)
    frame["path"] = frame["path"].astype("category")
    frame.to_parquet(out)


def by_mien_01(table: Path, out: Path) -> None:
    """Nulls within fixed-size lists, no framing."""
    read = pq.read_table(table)
    columns: dict[str, Any] = {n: read.column(n) for n in read.column_names if n != "framing"}
    for name, there in (("identity", FOUND), ("gaze_code", EYES)):
        rows = [row if ok else None for row, ok in zip(CODES.tolist(), there, strict=True)]
        columns[name] = pa.array(rows, pa.list_(pa.float32(), DIM))
    columns["eyes_found"] = pa.array(EYES, mask=~FOUND)
    pq.write_table(pa.table(columns).replace_schema_metadata(read.schema.metadata), out)


REWRITES = (by_pandas, by_pandas_with_arrow, by_polars, by_duckdb, with_categories, by_mien_01)


@pytest.fixture(params=REWRITES, ids=lambda rewrite: rewrite.__name__)
def rewritten(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param is by_mien_01 and int(pa.__version__.split(".")[0]) < 26:
        pytest.skip("pyarrow before 26 neither writes nor reads nulls in fixed-size lists")
    rewrite: Callable[[Path, Path], None] = request.param
    rewrite(written(tmp_path / "t.parquet"), tmp_path / "again.parquet")
    return tmp_path / "again.parquet"


def test_codes_are_there_where_a_face_or_eyes_are(rewritten: Path) -> None:
    table = read_table(rewritten)
    for name, there in (("identity", FOUND), ("gaze_code", EYES)):
        np.testing.assert_array_equal(table.codes(name)[there], CODES[there])
        assert np.isnan(table.codes(name)[~there]).all()
    assert table.frame["face_found"].tolist() == FOUND.tolist()
    assert table.frame["face_id"].isna().tolist() == (~FOUND).tolist()


def test_a_row_without_a_face_is_no_sample(rewritten: Path) -> None:
    def match(frame: pd.DataFrame, column: str) -> tuple[np.ndarray, tuple[str, ...]]:
        named = tuple(Label(f"{i}.png", None, None, None, "x") for i in range(COUNT))
        found = match_labels(frame, Labels("mood", named, None, 0), (column,))
        assert not len(found.others)
        return found.codes, found.without_codes

    # As the command reads it, and as somebody may give it from Python.
    keys = ("path", "frame", "face_id", "identity", "gaze_code", "yaw_rad")
    # (Not by pandas itself: it cannot read the lists that it has written from Arrow's types.)
    given = pq.read_table(rewritten).to_pandas(types_mapper=pd.ArrowDtype, ignore_metadata=True)
    for frame in (some_columns(rewritten, keys), given):
        codes, without = match(frame, "identity")
        np.testing.assert_array_equal(codes, CODES[FOUND])
        assert without == ("1.png", "4.png")
        codes, without = match(frame, "gaze_code")
        np.testing.assert_array_equal(codes, CODES[EYES])
        assert without == ("1.png", "2.png", "4.png")
        np.testing.assert_array_equal(match(frame, "yaw_rad")[0][:, 0], CODES[FOUND, 0])


def test_a_protocol_looks_codes_up(rewritten: Path) -> None:
    images = Images(
        tuple(f"{i}.png" for i in range(COUNT)), lambda _: np.zeros((1, 1, 3), np.uint8)
    )
    found = describe_from(rewritten)(images, ("identity", "yaw_rad"))
    assert found.found.tolist() == FOUND.tolist()
    np.testing.assert_array_equal(found.columns["identity"][FOUND], CODES[FOUND])
    assert np.isnan(found.columns["identity"][~FOUND]).all()


def test_boxes_say_how_they_frame_a_face(rewritten: Path) -> None:
    rows, framing = read_boxes(rewritten)
    assert framing == "yunet"
    assert [row.path for row in rows] == [f"{i}.png" for i in np.flatnonzero(FOUND)]


def test_people_are_forgotten(rewritten: Path, tmp_path: Path) -> None:
    done = forget_rows(rewritten, tmp_path / "rest.parquet", paths=["[0-2].png"])
    assert (done.removed, done.kept) == (3, 3)
    rest = read_table(tmp_path / "rest.parquet")
    np.testing.assert_array_equal(rest.codes("identity")[[0, 2]], CODES[[3, 5]])
    assert np.isnan(rest.codes("identity")[1]).all()


def changed(table: Path, **columns: Any) -> Path:
    """Replace columns; None leaves one out."""
    read = pq.read_table(table)
    kept: dict[str, Any] = {name: read.column(name) for name in read.column_names} | columns
    there = {name: column for name, column in kept.items() if column is not None}
    pq.write_table(pa.table(there), table)
    return table


def test_boxes_without_a_framing_are_refused(tmp_path: Path) -> None:
    table = changed(written(tmp_path / "t.parquet"), framing=None)
    with pytest.raises(MienError, match="says nothing of how its boxes frame a face"):
        read_boxes(table)
    changed(table, framing=pa.array(["yunet", None, "haar", "haar", None, "haar"]))
    with pytest.raises(MienError, match="says haar, yunet of how"):
        read_boxes(table)
    huge = pa.array([1e30] * COUNT, pa.float32())
    with pytest.raises(MienError, match=r"4 boxes are none, first that of 0.png: 0, 0, 1e\+30, 8"):
        read_boxes(changed(written(table), x2=huge))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"path": pa.array(range(COUNT))}, "the column path holds int64, not string"),
        ({"path": pa.array([b"x"] * COUNT)}, "the column path holds binary, not string"),
        (
            {"path": pa.array(["a", "b", None, "d", "e", "f"])},
            "the column path holds nothing in row 3 of 6",
        ),
        ({"face_found": pa.array(["yes"] * COUNT)}, "face_found holds string, not bool"),
        ({"face_id": pa.array([0.5] * COUNT)}, "face_id holds what is no int32"),
        ({"identity": pa.array(["x"] * COUNT)}, "holds string, not lists of numbers"),
        ({"identity": pa.array([{"a": 1.0}] * COUNT)}, "holds struct"),
        ({"identity": pa.array([[1.0]] * 5 + [[1.0, 2.0]])}, "lists of 2 lengths"),
        ({"identity": pa.array([[]] * COUNT, pa.list_(pa.float32()))}, "lists of 1 lengths: .0."),
    ],
)
def test_columns_of_another_kind_are_one_line(
    tmp_path: Path, columns: dict[str, Any], message: str
) -> None:
    table = changed(written(tmp_path / "t.parquet"), **columns)
    with pytest.raises(MienError, match=message) as caught:
        read_table(table).codes("identity")
    assert "\n" not in str(caught.value)


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    read = pq.read_table(written(tmp_path / "t.parquet"))
    twice = read.append_column("path", read.column("path"))
    pq.write_table(twice, tmp_path / "t.parquet")
    with pytest.raises(MienError, match="has two columns path"):
        read_table(tmp_path / "t.parquet")


def test_a_damaged_page_is_one_line(tmp_path: Path) -> None:
    table = written(tmp_path / "t.parquet")
    data = bytearray(table.read_bytes())
    data[4:600] = bytes(596)
    table.write_bytes(data)
    with pytest.raises(MienError, match="no Parquet file that can be read"):
        forget_rows(table, tmp_path / "out.parquet", paths=["0.png"])
    assert not (tmp_path / "out.parquet").exists()


def test_metadata_that_says_nothing_is_passed_over(tmp_path: Path) -> None:
    table = written(tmp_path / "t.parquet")
    read = pq.read_table(table)
    for options in (b"\xff", b"{", b"[1]", b"[" * 100_000):
        metadata = {b"mien.version": b"\xff", b"mien.options": options, b"\xfe": b"\xfe"}
        pq.write_table(read.replace_schema_metadata(metadata), table)
        assert read_table(table).frame["path"].tolist()[0] == "0.png"
