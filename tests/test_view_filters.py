"""Filters of a table that is looked at, columns as classes, and a table that changes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import TypeAdapter, ValidationError
from starlette.testclient import TestClient

from made_service import open_service
from mien.serve.app import create_app
from mien.serve.errors import ApiError
from mien.serve.explore import Explorer
from mien.serve.packed import unpacked
from mien.serve.shown import Shown
from mien.serve.table_filter import Filter
from mien.serve.table_rows import NO_CLASS, classes_of

ROWS = 40
FILTER = TypeAdapter(Filter)


def write(path, rows=ROWS, *, face_found=None, **columns):
    """A table of faces with two factors, as another program may have written it."""
    rng = np.random.default_rng(0)
    given = {
        "path": [f"{'album' if i % 2 else 'Alpen'}/{i:06}.png" for i in range(rows)],
        "frame": np.zeros(rows, np.int64),
        "face_found": np.ones(rows, bool) if face_found is None else face_found,
        "det_score": np.linspace(0, 1, rows, dtype=np.float32),
        "eyes_found": pa.array([None if i % 5 == 0 else i % 2 == 0 for i in range(rows)]),
        "reason": pa.array(["blurred" if i % 4 == 0 else None for i in range(rows)], pa.string()),
        "note": pa.array([float("nan") if i < 4 else i for i in range(rows)], pa.float64()),
    }
    for name, dim in (("identity", 24), ("expression", 6)):
        codes = rng.standard_normal((rows, dim), dtype=np.float32)
        codes[:, 0] += 8 * (np.arange(rows) % 2)
        flat = pa.array(codes.reshape(-1))
        given[name] = pa.FixedSizeListArray.from_arrays(flat, dim)
    pq.write_table(pa.table({**given, **columns}), path, row_group_size=4096)
    return path


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    return Explorer.open(write(tmp_path_factory.mktemp("table") / "t.parquet"), None)


def rows_of(explorer, *filters):
    given = [FILTER.validate_python(one) for one in filters]
    about, bits = unpacked(explorer.matching(given), "u1")
    found = np.flatnonzero(np.unpackbits(bits, count=ROWS, bitorder="little"))
    assert about["rows"] == len(found)
    return found.tolist()


EVERY = range(ROWS)
CASES = [
    ([], list(EVERY)),
    ([{"column": "det_score", "kind": "range", "low": 0.5}], list(range(20, ROWS))),
    ([{"column": "frame", "kind": "range", "low": 0.0, "high": 0.0}], list(EVERY)),
    # NaN is no value: it lies in no range, and is counted as missing
    ([{"column": "note", "kind": "range"}], list(range(4, ROWS))),
    ([{"column": "note", "kind": "range", "high": 5.0, "missing": True}], list(range(6))),
    ([{"column": "note", "kind": "missing"}], list(range(4))),
    ([{"column": "reason", "kind": "among", "values": ["blurred"]}], list(EVERY[::4])),
    ([{"column": "reason", "kind": "missing"}], [i for i in EVERY if i % 4]),
    ([{"column": "path", "kind": "contains", "text": "ALP"}], list(EVERY[::2])),
    ([{"column": "path", "kind": "contains", "text": "[a-z]"}], []),
    (
        [{"column": "eyes_found", "kind": "among", "values": ["yes"]}],
        [i for i in EVERY if i % 5 and i % 2 == 0],
    ),
    (
        [{"column": "eyes_found", "kind": "among", "values": ["no"], "missing": True}],
        [i for i in EVERY if i % 5 == 0 or i % 2],
    ),
    (
        [
            {"column": "path", "kind": "contains", "text": "album"},
            {"column": "det_score", "kind": "range", "high": 0.2},
        ],
        [1, 3, 5, 7],
    ),
]


@pytest.mark.parametrize(("filters", "expected"), CASES)
def test_rows_that_match(explorer, filters, expected):
    assert rows_of(explorer, *filters) == expected


def test_places_by_a_factor_are_filtered_by(explorer):
    _, places = unpacked(explorer.column("identity PC1"), "<f4")
    low = float(np.median(places))
    found = rows_of(explorer, {"column": "identity PC1", "kind": "range", "low": low})
    assert found == np.flatnonzero(places >= low).tolist()
    assert set(found) in (set(EVERY[::2]), set(EVERY[1::2]))


@pytest.mark.parametrize(
    "wrong",
    [
        {"column": "nothing", "kind": "range"},
        {"column": "identity", "kind": "missing"},
        {"column": "path", "kind": "range", "low": 1.0},
        {"column": "note", "kind": "contains", "text": "4"},
        {"column": "note", "kind": "among", "values": ["4"]},
        {"column": "eyes_found", "kind": "contains", "text": "y"},
        {"column": "expression UMAP1", "kind": "range"},
    ],
)
def test_filters_that_do_not_fit_their_column(explorer, wrong):
    with pytest.raises(ApiError, match="column"):
        rows_of(explorer, wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"column": "path", "kind": "like", "text": "a"},
        {"column": "path", "kind": "contains", "text": ""},
        {"column": "path", "kind": "among", "values": []},
        {"column": "note", "kind": "range", "low": float("nan")},
        {"column": "note", "kind": "range", "low": 1.0, "step": 2},
    ],
)
def test_filters_that_are_none(wrong):
    with pytest.raises(ValidationError):
        FILTER.validate_python(wrong)


def test_what_a_filter_may_be(explorer):
    note = explorer.values("note")
    assert note == {"kind": "number", "low": 4.0, "high": 39.0, "missing": 4}
    eyes = explorer.values("eyes_found")
    assert (eyes["kind"], eyes["missing"]) == ("boolean", 8)
    assert eyes["values"] == [{"value": v, "rows": 16} for v in ("no", "yes")]
    assert explorer.values("path")["others"] == 0
    assert len(explorer.values("path")["values"]) == ROWS


def test_neighbours_are_among_those_that_match(explorer):
    odd = FILTER.validate_python({"column": "path", "kind": "contains", "text": "album"})
    all_of_them = explorer.neighbours(2, "identity", 50)["neighbours"]
    found = explorer.neighbours(2, "identity", 50, [odd])["neighbours"]
    assert [one["point"] for one in found] == [
        one["point"] for one in all_of_them if one["point"] % 2
    ]
    nobody = FILTER.validate_python({"column": "det_score", "kind": "range", "low": 2.0})
    assert explorer.neighbours(2, "identity", 50, [nobody]) == {"neighbours": []}


def test_the_most_frequent_texts_have_a_class():
    texts = ["c"] * 3 + ["a"] * 5 + [None] * 2 + ["b"] * 3 + ["d", "e"]
    found = classes_of(pa.chunked_array([texts]), 3)
    assert (found.names, found.counts) == (("a", "c"), (5, 3))
    assert (found.others, found.other_rows, found.missing) == (3, 5, 2)
    assert found.index.tolist() == [1] * 3 + [0] * 5 + [NO_CLASS] * 2 + [2] * 5
    whole = classes_of(pa.chunked_array([texts]), 5)
    assert (whole.names, whole.others) == (("a", "b", "c", "d", "e"), 0)


def test_rows_without_a_face_are_counted_and_not_shown(tmp_path):
    there = np.arange(ROWS) % 3 > 0
    found = Explorer.open(write(tmp_path / "t.parquet", face_found=there), None)
    about = found.about()
    assert (about["faces"], about["without_face"]) == (there.sum(), ROWS - there.sum())
    assert found.row(0)["cells"]["path"].endswith("000001.png")
    assert found.row(0)["row"] == 1


def test_a_table_without_codes_has_columns_all_the_same(tmp_path):
    path = write(tmp_path / "t.parquet")
    pq.write_table(pq.read_table(path).drop_columns(["identity", "expression"]), path)
    found = Explorer.open(path, None)
    assert found.about()["factors"] == []
    assert unpacked(found.column("det_score"), "<f4")[1][-1] == 1
    with pytest.raises(ApiError, match="no codes"):
        found.neighbours(0, "identity", 3)


def test_a_column_of_codes_that_is_none_is_one_line(tmp_path):
    path = write(tmp_path / "t.parquet", identity=np.arange(ROWS))
    found = Explorer.open(path, None)
    with pytest.raises(ApiError, match="not lists of numbers"):
        found.column("identity PC1")


def test_a_table_that_changes_is_refused_and_what_is_known_of_it_stays(monkeypatch, tmp_path):
    path = write(tmp_path / "t.parquet")
    service = open_service(monkeypatch)
    shown = Shown.open([path], None, max_bytes=1000)
    client = TestClient(create_app(service, shown), base_url="http://127.0.0.1:8321")
    assert client.get("/v1/view/table/column", params={"name": "identity PC1"}).status_code == 200
    write(path, ROWS - 1)
    known = client.get("/v1/view/table/column", params={"name": "identity PC2"})
    assert known.status_code == 200
    assert len(unpacked(known.content, "<f4")[1]) == ROWS
    changed = client.get("/v1/view/table/column", params={"name": "expression PC1"})
    assert (changed.status_code, changed.json()["error"]["code"]) == (409, "table_changed")
    assert "start mien view again" in changed.json()["error"]["message"]
    body = {"filters": [{"column": "note", "kind": "range", "low": 4}]}
    assert client.post("/v1/view/table/filter", json=body).status_code == 200
    body["filters"][0]["low"] = "4"
    wrong = client.post("/v1/view/table/filter", json=body)
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (422, "invalid")
    service.close()


def test_codes_in_two_bytes_give_the_same_neighbours(monkeypatch, tmp_path):
    path = write(tmp_path / "t.parquet", 20_000)
    exact = Explorer.open(path, None)
    monkeypatch.setattr("mien.serve.table_codes._WHOLE_BYTES", 0)
    small = Explorer.open(path, None)
    _, expected = unpacked(exact.column("identity PC1"), "<f4")
    _, found = unpacked(small.column("identity PC1"), "<f4")
    assert np.abs(found - expected).max() < 0.01
    for point in (0, 19_999):
        near, same = (e.neighbours(point, "identity", 20)["neighbours"] for e in (exact, small))
        cosines = [[one["similarity"] for one in some] for some in (near, same)]
        assert np.allclose(*cosines, atol=1e-3)
        # where two are that much alike, their order is open
        assert len({n["point"] for n in near} & {n["point"] for n in same}) >= 18
    monkeypatch.setattr("mien.serve.table_codes._MOST_BYTES", 1)
    small.column("expression PC1")
    assert list(small.codes._kept) == ["expression"]  # pyright: ignore[reportPrivateUsage]
