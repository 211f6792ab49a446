"""Files of labels, the file of a probe, and the command that makes one of the other."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mien.cli.probe import probe
from mien.errors import MienError
from mien.linear.model import ErrorVariance, Linear
from mien.probes.labels import Label, read_labels
from mien.probes.match import match_labels
from mien.probes.probe import FILE, CurvePoint, HeldOut, Probe
from mien.table.read import data_frame

COUNT, DIM = 60, 6
CODES = np.random.default_rng(0).normal(size=(COUNT, DIM)).astype(np.float32)
MOODS = ["glad" if row[1] > 0 else "sad" for row in CODES]


def write(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_labels_are_read(tmp_path: Path) -> None:
    file = write(
        tmp_path / "labels.csv",
        "path,frame,face_id,mood,who,note",
        "a.mp4,3,0,glad,ann,x",
        "a.mp4,4,1, sad ,bob,",
        "b.png,0,0,,,",
        "",
    )
    read = read_labels([file], label="mood", person="who")
    assert read.labels == (
        Label("a.mp4", 3, 0, "ann", "glad"),
        Label("a.mp4", 4, 1, "bob", "sad"),
    )
    assert (read.name, read.person, read.empty) == ("mood", "who", 1)
    assert read.labels[0].name == "a.mp4 frame 3 face_id 0"


def test_the_label_is_the_column_that_is_left(tmp_path: Path) -> None:
    file = write(tmp_path / "1.csv", "path,person,age", "a,ann,3", "b,bob,4")
    more = write(tmp_path / "2.csv", "path,age,person,guess", "c,5,cat,1", "d,,,2")
    read = read_labels([file, more])
    assert (read.name, read.person, read.empty) == ("age", "person", 1)
    assert [label.text for label in read.labels] == ["3", "4", "5"]
    with pytest.raises(MienError, match="--label: one of person, age"):
        read_labels([write(tmp_path / "3.csv", "path,who,person,age", "a,b,c,1")], person="who")
    with pytest.raises(MienError, match="there is none beside"):
        read_labels([write(tmp_path / "4.csv", "path", "a")])
    assert read_labels([file], label="person").person is None


def test_files_of_labels_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    refused = {
        "no label in the column mood": ["path,mood", "a,"],
        "no column path": ["name,mood", "a,glad"],
        "has the column 'mood' twice": ["path,mood,mood", "a,1,2"],
        "1 rows have not 2 cells as the first line has, first line 3": ["path,mood", "a,b", "a"],
        "line 2: no path": ["path,mood", ",glad"],
        "line 2: frame is 'x', not a whole number": ["path,frame,mood", "a,x,glad"],
        "1 rows have no person": ["path,mood,person", "a,glad,"],
        r"1 rows name a face that another row names, first .*line 3, a:": [
            *("path,mood", "a,glad", "a,sad"),
        ],
    }
    for message, lines in refused.items():
        with pytest.raises(MienError, match=message):
            read_labels([write(tmp_path / "l.csv", *lines)], label="mood")
    with pytest.raises(MienError, match=r"no file .*none\.csv"):
        read_labels([tmp_path / "none.csv"])
    with pytest.raises(MienError, match="path names the face"):
        read_labels([tmp_path / "l.csv"], label="path")
    (tmp_path / "l.csv").write_bytes(b"path,mood\n\xff,1\n")
    with pytest.raises(MienError, match="not UTF-8 text"):
        read_labels([tmp_path / "l.csv"])


def table(folder: Path, *, missing: tuple[int, ...] = ()) -> Path:
    """An image a row; the last two rows are two faces of one image."""
    there = np.array([i not in missing for i in range(COUNT)])
    kind = pa.list_(pa.field("element", pa.float32(), nullable=False), DIM)
    codes = pa.array(np.where(there[:, None], CODES, 0).tolist(), type=kind)
    paths = [f"{min(i, COUNT - 2)}.png" for i in range(COUNT)]
    columns = {
        "path": pa.array(paths),
        "frame": pa.array([0] * COUNT, pa.int64()),
        "face_id": pa.array([0] * (COUNT - 1) + [1], pa.int32(), mask=~there),
        "face_found": pa.array(there),
        "identity": codes,
        "yaw_rad": pa.array(CODES[:, 0], mask=~there),
    }
    by = {"mien.version": "0", "mien.model_id": "0123456789ab", "mien.detector": "none"}
    pq.write_table(pa.table(columns).replace_schema_metadata(by), folder / "faces.parquet")
    return folder / "faces.parquet"


def labelled(folder: Path, count: int, *, people: bool = False) -> Path:
    lines = ["path,mood" + ",person" * people]
    lines += [f"{i}.png,{MOODS[i]}" + f",p{i % 5}" * people for i in range(count)]
    return write(folder / "labels.csv", *lines)


def test_labels_find_their_rows(tmp_path: Path) -> None:
    faces = data_frame(pq.read_table(table(tmp_path, missing=(2, 50))))
    given = read_labels([labelled(tmp_path, 20, people=True)])
    found = match_labels(faces, given, ("yaw_rad", "identity"))
    kept = [i for i in range(20) if i != 2]
    np.testing.assert_array_equal(found.codes[:, 1:], CODES[kept])
    np.testing.assert_array_equal(found.codes[:, 0], CODES[kept, 0])
    assert found.columns == (("yaw_rad", 1), ("identity", DIM))
    assert found.texts == tuple(MOODS[i] for i in kept)
    assert found.people == tuple(f"p{i % 5}" for i in kept)
    assert found.without_codes == ("2.png",)
    assert found.model_id == "0123456789ab"
    assert found.others.tolist() == [i for i in range(20, COUNT) if i != 50]
    np.testing.assert_array_equal(found.other_codes[:, 1:], CODES[found.others])


def test_labels_without_a_row_are_refused(tmp_path: Path) -> None:
    faces = data_frame(pq.read_table(table(tmp_path, missing=(0, 1))))

    def refuse(message: str, *lines: str, columns: tuple[str, ...] = ("identity",)) -> None:
        with pytest.raises(MienError, match=message):
            match_labels(faces, read_labels([write(tmp_path / "l.csv", *lines)]), columns)

    refuse("no row in the table, where the first path is 0.png; first x", "path,m", "x,1")
    refuse("1 labels have several rows in the table, first 58.png", "path,m", "58.png,1")
    refuse("1 labels have no row", "path,face_id,m", "58.png,2,1")
    refuse("no identity of any of the 2 labelled faces", "path,m", "0.png,1", "1.png,2")
    refuse("no column expression", "path,m", "5.png,1", columns=("expression",))
    refuse("sees no column x1: choose from identity", "path,m", "5.png,1", columns=("x1",))
    refuse("sees nothing", "path,m", "5.png,1", columns=())
    refuse("asked for twice", "path,m", "5.png,1", columns=("identity", "identity"))
    two = write(tmp_path / "two.csv", "path,frame,m", "5.png,0,1")
    one = write(tmp_path / "one.csv", "path,m", "5.png,1")
    with pytest.raises(MienError, match=r"of one face, 5\.png and 5\.png frame 0"):
        match_labels(faces, read_labels([one, two]), ("identity",))


def example(kind: str) -> Probe:
    classes = ("glad", "café") if kind == "class" else ()
    rng = np.random.default_rng(0)
    width = len(classes) or 1
    error_variance = ErrorVariance(0.5, rng.normal(size=(DIM, 3)), np.array([3.0, 2, 1]))
    function = Linear(
        *(rng.normal(size=DIM), rng.uniform(1, 2, DIM)),
        *(rng.normal(size=(DIM, width)), rng.normal(size=width), 0.1),
        spread=None if classes else error_variance,
    )
    score = HeldOut(80.0, 70, 90, 50, "people", (70.0, 90) if classes else (), 0.5)
    curve = (CurvePoint(5, 60, 50, 70), CurvePoint(10, 80, 70, 90))
    return Probe("mood", (("identity", DIM),), classes, "0123456789ab", 12, function, score, curve)


@pytest.mark.parametrize("kind", ["class", "number"])
def test_what_is_read_is_what_was_saved(kind: str, tmp_path: Path) -> None:
    made = example(kind)
    made.save(tmp_path / "p.json")
    read = Probe.load(tmp_path / "p.json")
    before, after = (p.predict_codes(CODES) for p in (made, read))
    np.testing.assert_array_equal(after.values, before.values)
    np.testing.assert_array_equal(after.certainty, before.certainty)
    for name in ("label", "columns", "classes", "model_id", "samples", "held_out", "curve"):
        assert getattr(read, name) == getattr(made, name)
    with pytest.raises(MienError, match="exists"):
        made.save(tmp_path / "p.json")
    made.save(tmp_path / "p.json", overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["p.json"]


def test_damage_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    with pytest.raises(MienError, match="there is no probe"):
        Probe.load(path)
    example("class").save(path)
    text = path.read_text()
    whole = json.loads(text)
    whole["probe"]["function"]["intercept"][0] += 1
    damaged = {
        "is not JSON": text[: len(text) // 2],
        r"was cut short or changed \(its sha256": json.dumps(whole),
        "is of probe format 2, this mien reads 1": json.dumps(whole | {"format_version": 2}),
        "is no probe": json.dumps({"format": "mien-calibration"}),
        "no probe; make": "[]",
    }
    for message, content in damaged.items():
        path.write_text(content)
        with pytest.raises(MienError, match=message):
            Probe.load(path)
    body = json.loads(text)["probe"]
    for nonsense in ({}, {"columns": [["identity", 3]]}, body | {"columns": [["identity", 5]]}):
        FILE.write(nonsense, path, overwrite=True)
        with pytest.raises(MienError, match="holds no probe"):
            Probe.load(path)


def test_the_command_writes_a_probe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, where = tmp_path / "p.json", table(tmp_path, missing=(2,))
    probe(
        str(where),
        labels=[labelled(tmp_path, 40, people=True)],
        out=out,
        columns="identity, yaw_rad",
    )
    made = Probe.load(out)
    assert (made.label, made.model_id) == ("mood", "0123456789ab")
    assert (made.columns, made.samples) == ((("identity", DIM), ("yaw_rad", 1)), 39)
    columns = {"identity": CODES, "yaw_rad": CODES[:, 0]}
    assert (made.predict(columns).values == np.array(MOODS, object)).mean() > 0.85
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "39 labels of 5 people: mood, 2 classes, from identity and yaw_rad" in printed.err
    assert f"accuracy on held-out people: {made.held_out.score:.1f} % (95 % interval" in printed.err
    assert f"recognised of each class, mean {made.balanced:.1f} %: glad" in printed.err
    assert f"with fewer labels: 7: {made.curve[0].score:.1f} %," in printed.err
    assert "left out: 1 labelled faces without codes, first 2.png" in printed.err


def test_what_is_suggested_is_a_file_of_labels(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, where, labels = tmp_path / "p.json", table(tmp_path), labelled(tmp_path, 30)
    probe(str(where), labels=[labels], out=out, columns="identity", suggest=5)
    text = capsys.readouterr().out
    rows = list(csv.DictReader(text.splitlines()))
    assert list(rows[0]) == ["path", "frame", "face_id", "mood", "mood_guess", "mood_prob"]
    numbers = [int(row["path"][:-4]) + int(row["face_id"]) for row in rows]
    assert len(set(numbers)) == 5
    assert min(numbers) >= 30
    found = Probe.load(out).predict_codes(CODES[numbers])
    assert [row["mood_guess"] for row in rows] == found.values.tolist()
    assert [float(row["mood_prob"]) for row in rows] == pytest.approx(found.certainty, rel=0.01)
    assert {row["mood"] for row in rows} == {""}
    # Filled in, they are labels; not filled in, they are none.
    filled = [",".join([r["path"], r["frame"], r["face_id"], "glad", "x", "0"]) for r in rows[:3]]
    again = write(tmp_path / "next.csv", text.splitlines()[0], *filled, *text.splitlines()[4:])
    probe(str(where), labels=[labels, again], out=out, columns="identity", overwrite=True)
    assert Probe.load(out).samples == 33
    assert "not filled in: 2 rows" in capsys.readouterr().err


def test_numbers_are_learned_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = [f"{i}.png,{30 + 10 * CODES[i, 2]:.2f}" for i in range(50)]
    labels = write(tmp_path / "l.csv", "path,age", *lines)
    probe(
        str(table(tmp_path)),
        labels=[labels],
        out=tmp_path / "p.json",
        columns="identity",
        suggest=2,
    )
    made = Probe.load(tmp_path / "p.json")
    assert made.numbers
    assert made.added == ("age", "age_std")
    assert made.predict_codes(CODES).values == pytest.approx(30 + 10 * CODES[:, 2], abs=1)
    printed = capsys.readouterr()
    assert "50 labels: age, numbers, from identity" in printed.err
    assert f"mean error on held-out faces: {made.held_out.score:.3g} (95 % interval" in printed.err
    assert "correlation 1.00" in printed.err
    assert printed.out.splitlines()[0] == "path,frame,face_id,age,age_guess,age_std"


def test_mistakes_leave_nothing_behind(tmp_path: Path) -> None:
    where, out, labels = table(tmp_path), tmp_path / "p.json", labelled(tmp_path, 7)
    with pytest.raises(MienError, match="give --labels"):
        probe(str(where), out=out)
    with pytest.raises(MienError, match="give --out"):
        probe(str(where), labels=[labels])
    with pytest.raises(MienError, match="7 labels are too few"):
        probe(str(where), labels=[labels], out=out, columns="identity")
    with pytest.raises(MienError, match="there is no table"):
        probe(str(tmp_path / "none"), labels=[labels], out=out)
    with pytest.raises(MienError, match="no column expression"):
        probe(str(where), labels=[labels], out=out)
    with pytest.raises(MienError, match="no kind words"):
        probe(str(where), labels=[labels], out=out, kind="words")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faces.parquet", "labels.csv"]
    out.write_text("mine")
    with pytest.raises(MienError, match=r"p\.json exists"):
        probe(str(where), labels=[labels], out=out)
    assert out.read_text() == "mine"
