"""An index of faces: what is found, what is stored, and what is gone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from safetensors.numpy import load_file

import mien.search
from made_faces import WEIGHTS_ID, people, write_faces
from mien.errors import MienError
from mien.search.codes import Codes, decode, encode
from mien.search.file import unfinished_of
from mien.search.lock import WriteLock
from mien.verification import Reference, Threshold
from mien.weights import weights_id

CODES = people(20, 5, 16)
WHO = [f"person-{i // 5:02}" for i in range(100)]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return write_faces(tmp_path / "faces.parquet", CODES, person=WHO)


@pytest.fixture
def index(table: Path) -> mien.search.Index:
    return mien.search.build(table, table.with_name("people.mien"), person_column="who")


def stored(path: Path) -> bytes:
    """Everything in the folder of an index, hidden files too."""
    return b"".join(p.read_bytes() for p in path.parent.iterdir() if p.suffix != ".parquet")


def test_two_bytes_a_number_are_off_by_as_much_as_is_said() -> None:
    x = np.random.default_rng(0).uniform(-1, 1, (50, 7))
    x[0, :3] = -1, 0, 1
    codes = encode(x)
    assert codes.shape == (50, 2, 7)
    assert np.abs(decode(codes) - x).max() <= 1 / 65536 + 1e-7
    coarse = (codes[:, 0].astype(float) + 0.5) / 128 - 1
    assert np.abs(coarse - x).max() <= 1 / 256


def test_parts_of_codes_are_one_row_of_codes() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(0, 256, (20_000, 2, 3), np.uint8)
    kept = rng.random(20_000) < 0.7
    codes = Codes(3).plus(whole[:9000]).plus(whole[9000:]).only(kept)
    expected = whole[kept]
    assert len(codes) == len(expected)
    np.testing.assert_array_equal(np.concatenate(list(codes.chunks())), expected)
    np.testing.assert_array_equal(
        np.concatenate(list(codes.chunks(50, 12_345))), expected[50:12345]
    )
    places = rng.integers(0, len(expected), 100)
    np.testing.assert_array_equal(codes.take(places), expected[places])
    again = codes.only(np.arange(len(codes)) % 2 == 0)
    np.testing.assert_array_equal(np.concatenate(list(again.chunks())), expected[::2])


def test_the_nearest_are_those_of_the_cosine(index: mien.search.Index) -> None:
    rng = np.random.default_rng(1)
    asked = rng.standard_normal((7, 16)).astype(np.float32)
    cosines = asked @ CODES.T / np.linalg.norm(asked, axis=1, keepdims=True)
    order = np.argsort(-cosines, axis=1)[:, :10]
    for hits, best, line in zip(index.query(asked, top=10), order, cosines, strict=True):
        assert [hit.row for hit in hits] == best.tolist()
        np.testing.assert_allclose([hit.similarity for hit in hits], line[best], atol=1e-4)
        assert [hit.rank for hit in hits] == list(range(1, 11))
        assert [hit.person for hit in hits] == [WHO[i] for i in best]
        assert hits[0].path == f"faces/{best[0]}.jpg"
        assert hits[0].box == (best[0],) * 4
    assert len(index.query(asked[:1], top=10_000)[0]) == 100


def test_the_file_is_safetensors_that_anybody_reads(index: mien.search.Index) -> None:
    tensors = load_file(index.path)
    assert tensors["codes"].shape == (100, 2, 16)
    np.testing.assert_allclose(decode(tensors["codes"]), CODES, atol=2e-5)
    rows = pa.ipc.open_file(pa.BufferReader(tensors["rows"].tobytes())).read_all()
    assert rows.column("person").to_pylist() == WHO
    text = index.path.read_bytes()[8:16384].decode()
    assert json.loads(text)["__metadata__"]["weights_id"] == json.dumps(WEIGHTS_ID)


def test_what_is_no_face_is_not_indexed(tmp_path: Path) -> None:
    codes = CODES.copy()
    codes[3] = 0
    found = [i != 7 for i in range(100)]
    table = write_faces(tmp_path / "t.parquet", codes, found=found)
    index = mien.search.build(table, tmp_path / "i.mien")
    assert index.added == mien.search.Added(98, 2)
    assert not {"t/3.jpg", "t/7.jpg"} & set(index.rows.column("path").to_pylist())
    asked = index.query(codes[7:8], top=1)
    assert asked[0][0].path != "t/7.jpg"


@pytest.mark.parametrize("way", ["person", "paths", "rows"])
def test_who_is_deleted_is_gone_from_every_file(index: mien.search.Index, way: str) -> None:
    gone = [i for i, who in enumerate(WHO) if who == "person-03"]
    named = {
        "person": {"person": "person-03"},
        "paths": {"paths": [f"faces/{i}.jpg" for i in gone]},
        "rows": {"rows": gone},
    }
    traces = [b"person-03", *(f"faces/{i}.jpg".encode() for i in gone)]
    codes = encode(CODES[gone].astype(np.float64))
    for row in codes:
        traces += [row[0].tobytes(), row[1].tobytes(), row.tobytes()]
    for vector in CODES[gone]:
        traces += [vector.tobytes(), vector.astype(np.float16).tobytes()]
    before = stored(index.path)
    # The bytes that are looked for are those that are there: two names, paths, both bytes.
    assert sum(trace in before for trace in traces) == 1 + 5 + 15
    unfinished_of(index.path).write_bytes(before)  # as a killed process leaves it
    with mien.search.open(index.path) as opened:
        assert opened.delete(**named[way]) == 5
        opened.save()
    after = stored(index.path)
    assert [trace for trace in traces if trace in after] == []
    assert sorted(p.name for p in index.path.parent.iterdir()) == ["faces.parquet", "people.mien"]
    left = mien.search.open(index.path)
    assert len(left) == 95
    near = left.query(CODES[gone], top=95)
    assert {hit.row for hits in near for hit in hits} == set(range(100)) - set(gone)


def test_added_faces_are_found_and_numbers_are_not_given_twice(
    index: mien.search.Index, tmp_path: Path
) -> None:
    more = people(2, 3, 16, seed=5)
    write_faces(tmp_path / "more.parquet", more, person=["new"] * 6)
    with mien.search.open(index.path) as opened:
        opened.delete(rows=[98, 99])
        assert opened.add(tmp_path / "more.parquet") == mien.search.Added(6, 0)
        assert opened.add(tmp_path / "more.parquet") == mien.search.Added(0, 0, 6)
        assert opened.query(more[:1], top=1)[0][0].row == 100
        opened.save()
        opened.delete(person="new")
        opened.save()
        opened.add(tmp_path / "more.parquet")
        opened.save()
    again = mien.search.open(index.path)
    assert again.rows.column("row").to_pylist() == [*range(98), *range(106, 112)]
    hit = again.query(more[4:5], top=1)[0][0]
    assert (hit.row, hit.person, hit.path) == (110, "new", "more/4.jpg")
    assert hit.similarity == pytest.approx(1, abs=1e-4)


def test_another_face_of_the_same_name_is_added(index: mien.search.Index, tmp_path: Path) -> None:
    other = people(20, 5, 16, seed=9)
    other[:2] = CODES[:2]
    (tmp_path / "b").mkdir()
    table = write_faces(tmp_path / "b" / "faces.parquet", other, person=WHO)
    with index:
        assert index.add(table) == mien.search.Added(98, 0, 2)


def test_two_cannot_change_one_index(index: mien.search.Index) -> None:
    one, other = mien.search.open(index.path), mien.search.open(index.path)
    one.delete(rows=[1])
    with pytest.raises(MienError, match="being changed by another"):
        other.delete(rows=[2])
    assert len(other.query(CODES[:1], top=200)[0]) == 100  # reading is free
    one.save()
    with pytest.raises(MienError, match="changed since it was opened"):
        other.delete(rows=[2])
    lock = WriteLock(index.path)
    with pytest.raises(MienError, match="being changed by another"):
        mien.search.build(index.path.with_name("faces.parquet"), index.path, overwrite=True)
    lock.release()
    assert len(mien.search.open(index.path)) == 99


def test_a_change_that_was_not_saved_changes_no_file(index: mien.search.Index) -> None:
    before = index.path.read_bytes()
    with mien.search.open(index.path) as opened:
        opened.delete(person="person-01")
        assert len(opened) == 95
    assert index.path.read_bytes() == before
    assert not unfinished_of(index.path).exists()


def test_it_is_saved_elsewhere(index: mien.search.Index, tmp_path: Path) -> None:
    with index:
        index.delete(person="person-01")
        index.save(tmp_path / "rest.mien")
    assert len(mien.search.open(tmp_path / "rest.mien")) == 95
    assert len(mien.search.open(index.path)) == 100


def test_mistakes_are_refused(index: mien.search.Index, tmp_path: Path) -> None:
    with pytest.raises(MienError, match="top is at least 1"):
        index.query(CODES[:1], top=0)
    with pytest.raises(MienError, match=r"are \[Q, 16\], not \[1, 5\]"):
        index.query(CODES[:1, :5])
    with pytest.raises(MienError, match="NaN or infinity"):
        index.query(np.full((1, 16), np.nan))
    with index:
        with pytest.raises(MienError, match="no person nobody in"):
            index.delete(person="nobody")
        with pytest.raises(MienError, match="no row 100 in"):
            index.delete(rows=[100])
        with pytest.raises(MienError, match="nothing is deleted"):
            index.delete(paths=["elsewhere/*"])
        other = write_faces(tmp_path / "o.parquet", CODES, person=WHO, weights="fedcba987654")
        with pytest.raises(MienError, match=r"made by weights fedcba987654, .* of 0123456789ab"):
            index.add(other)
        short = write_faces(tmp_path / "s.parquet", CODES[:, :8].copy(), person=WHO)
        with pytest.raises(MienError, match="8 numbers, 16 were expected"):
            index.add(short)
        assert len(index) == 100
        index.delete(paths=["*"])
        index.save()
    with pytest.raises(MienError, match="holds no faces"):
        mien.search.open(index.path).query(CODES[:1])


def test_every_changed_byte_is_noticed(index: mien.search.Index, tmp_path: Path) -> None:
    data = index.path.read_bytes()
    sealed = len(data[8:16384].rstrip(b" ")) + 8
    places = np.random.default_rng(0).integers(16384, len(data), 60)
    for place in [9, 30, sealed - 2, 16384, len(data) - 1, *places.tolist()]:
        changed = bytearray(data)
        changed[place] ^= 1
        (tmp_path / "x.mien").write_bytes(changed)
        with pytest.raises(MienError):
            mien.search.open(tmp_path / "x.mien")
    for length in (0, 5, 100, 16383, 16384, len(data) - 1):
        (tmp_path / "x.mien").write_bytes(data[:length])
        with pytest.raises(MienError):
            mien.search.open(tmp_path / "x.mien")


def test_measured_weights_centre_codes_and_say_how_often_they_err(
    tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "weights"
    shutil.copytree(tiny_folder, folder)
    mean = np.linspace(-1, 1, 32)
    thresholds = (Threshold(0.2, 0.1, 0.9), Threshold(0.5, 0.01, 0.7))
    reference = Reference(weights_id(folder), "identity", mean, thresholds, "some people")
    reference.save(folder)
    codes = people(10, 5, 32)
    table = write_faces(tmp_path / "t.parquet", codes, weights=weights_id(folder), code="identity")
    index = mien.search.build(table, tmp_path / "i.mien", code="identity", weights=folder)
    asked = people(1, 3, 32, seed=3)
    cosines = np.array([reference.similarity(codes, one) for one in asked])
    for hits, line in zip(index.query(asked, top=50), cosines, strict=True):
        np.testing.assert_allclose([h.similarity for h in hits], np.sort(line)[::-1], atol=1e-4)
        for hit in hits:
            rate = None if hit.similarity < 0.2 else 0.1 if hit.similarity < 0.5 else 0.01
            assert hit.false_match_rate == rate
            chance = None if rate is None else pytest.approx(1 - (1 - rate) ** 50)
            assert hit.false_match_chance == chance
    info = mien.search.open(index.path).info()
    assert (info.centred, info.thresholds, info.measured_on) == (True, thresholds, "some people")
    plain = mien.search.build(table, tmp_path / "j.mien", code="identity")
    assert not plain.info().centred
    other = write_faces(tmp_path / "o.parquet", codes, code="identity")
    with pytest.raises(MienError, match="were made by weights"):
        mien.search.build(other, tmp_path / "k.mien", code="identity", weights=folder)
