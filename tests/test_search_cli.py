"""`mien search` on the command line: what is printed, written and refused."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import mien
import mien.search
from made_faces import people, write_faces
from mien.cli.main import run
from mien.faces.face import Face
from mien.media.image import write_png
from mien.pipeline import crops
from mien.weights import weights_id

ROOT = Path(__file__).parents[1]
CODES = people(10, 4, 16)
WHO = [f"person-{i // 4}" for i in range(40)]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_faces(tmp_path / "faces.parquet", CODES, person=WHO)
    assert (
        run(["search", "build", "faces.parquet", "--out", "people.mien", "--person-column", "who"])
        == 0
    )
    return tmp_path


@pytest.fixture
def photos(tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two crops, and an index of what the tiny weights read off them."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    (tmp_path / "in").mkdir()
    for name in "ab":
        coarse = Image.fromarray(rng.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        write_png(tmp_path / "in" / f"{name}.png", np.asarray(coarse.resize((48, 48))))
    words = ["--detector", "none", "--weights", str(tiny_folder)]
    assert run(["embed", "in", "-o", "t.parquet", *words]) == 0
    assert run(["search", "build", "t.parquet", "-o", "i.mien", "--code", "identity"]) == 0
    return tmp_path


def test_a_table_asks_and_the_hits_are_printed(place, capsys) -> None:
    write_faces(place / "one.parquet", CODES[5:6])
    assert run(["search", "query", "people.mien", "one.parquet", "--top", "2"]) == 0
    seen = capsys.readouterr()
    lines = seen.out.splitlines()
    assert lines[0] == "one/0.jpg box 0 0 0 0"
    assert lines[1].split()[:3] == ["1", "1.0000", "person-1"]
    assert "faces/5.jpg row 5" in lines[1]
    assert len(lines) == 3
    assert "40 faces; no thresholds are known" in seen.err


@pytest.mark.parametrize("end", ["csv", "parquet", "jsonl"])
def test_hits_are_written(place, end) -> None:
    write_faces(place / "two.parquet", CODES[[5, 9]])
    assert run(f"search query people.mien two.parquet --top 3 --out hits.{end}".split()) == 0
    path = place / f"hits.{end}"
    if end == "csv":
        lines = list(csv.DictReader(path.read_text().splitlines()))
    elif end == "jsonl":
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    else:
        lines = pq.read_table(path).to_pylist()
    assert [int(line["rank"]) for line in lines] == [1, 2, 3, 1, 2, 3]
    assert [line["path"] for line in lines if int(line["rank"]) == 1] == [
        "faces/5.jpg",
        "faces/9.jpg",
    ]
    assert lines[0]["query"] == "two/0.jpg"
    assert lines[0]["person"] == "person-1"
    assert float(lines[3]["similarity"]) == pytest.approx(1, abs=1e-4)


def test_add_delete_info(place, capsys) -> None:
    write_faces(place / "more.parquet", people(1, 2, 16, seed=4), person=["new", "new"])
    assert run(["search", "add", "people.mien", "more.parquet"]) == 0
    assert "2 faces added, 0 there before, 0 rows without one; 42" in capsys.readouterr().err
    assert (
        run(
            [
                "search",
                "delete",
                "people.mien",
                "--person",
                "person-3",
                "--row",
                "0",
                "--path",
                "faces/39*",
            ]
        )
        == 0
    )
    assert "6 faces deleted, 36 left" in capsys.readouterr().err
    assert run(["search", "info", "people.mien"]) == 0
    out = capsys.readouterr().out
    assert "36 faces of 10 people (who)" in out
    assert "face_embedding [16] of weights 0123456789ab" in out
    assert "plain cosine, not centred" in out


def test_without_a_person_column_the_path_is_the_person(place, capsys) -> None:
    assert run(["search", "build", "faces.parquet", "--out", "paths.mien"]) == 0
    assert run(["search", "delete", "paths.mien", "--person", "faces/3.jpg"]) == 0
    assert "1 faces deleted, 39 left" in capsys.readouterr().err


def test_forget_takes_people_out_of_an_index(place, capsys) -> None:
    before = (place / "people.mien").read_bytes()
    assert run(["forget", "people.mien", "--path", "faces/1*.jpg", "--out", "rest.mien"]) == 0
    assert "11 faces taken out, 29 left: rest.mien" in capsys.readouterr().err
    assert (place / "people.mien").read_bytes() == before
    assert run(["forget", "people.mien", "--path", "faces/1*.jpg", "--in-place"]) == 0
    assert len(mien.search.open("people.mien")) == len(mien.search.open("rest.mien")) == 29
    assert b"faces/11.jpg" not in (place / "people.mien").read_bytes()


def test_an_image_asks(photos, tiny_folder, capsys) -> None:
    words = ["search", "query", "i.mien", "in/b.png", "--detector", "none", "--weights"]
    assert run([*words, str(tiny_folder)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == "in/b.png box 0 0 48 48"
    assert out[1].split()[1:3] == ["1.0000", "b.png"]


def test_every_face_of_an_image_asks(photos, tiny_folder, monkeypatch) -> None:
    boxes = [(2.0, 2.0, 20.0, 20.0), (24.0, 10.0, 46.0, 40.0)]
    monkeypatch.setattr(
        crops, "find_upright", lambda *_, **__: [Face(box, 1.0, None) for box in boxes]
    )
    index = mien.search.open("i.mien")
    answers = mien.search.query_images(index, ["in/a.png"], weights=tiny_folder, detector="haar")
    assert [answer.box for answer in answers] == boxes
    assert [answer.face for answer in answers] == [0, 1]
    assert answers[1].name == "in/a.png box 24 10 46 40"


def test_no_face_and_other_weights_are_said(photos, tiny_folder, capsys) -> None:
    assert run(["search", "query", "i.mien", "in/a.png", "--weights", str(tiny_folder)]) == 2
    assert "no face is found in in/a.png" in capsys.readouterr().err
    assert run(["search", "query", "i.mien", "in/a.png", "--detector", "none"]) == 2
    tiny = weights_id(tiny_folder)
    assert f"i.mien holds codes of weights {tiny}, not " in capsys.readouterr().err


def test_changes_killed_at_random_moments_lose_nothing() -> None:
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    command = [sys.executable, str(ROOT / "tools" / "kill_search.py")]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(
        [*command, "--trials", "3", "--faces", "4000"],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    killed = [line for line in done.stdout.splitlines() if "not killed" not in line]
    assert sum(int(line.split()[0]) for line in killed) == 3


def test_an_index_of_the_packages_other_weights_needs_no_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The id of the weights that made the codes says which they are."""
    clips = ROOT / "src" / "mien" / "shipped" / "clips"
    table, index = tmp_path / "faces.parquet", tmp_path / "faces.mien"
    words = ["embed", str(clips), "--detector", "none", "--weights", "fast"]
    assert run([*words, "--out", str(table)]) == 0
    assert pq.read_table(table).num_rows == 112
    assert run(["search", "build", str(table), "--out", str(index)]) == 0
    capsys.readouterr()
    image = tmp_path / "one.png"
    pixels = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(image)
    assert run(["search", "query", str(index), str(image), "--detector", "none"]) == 0
    assert "the false match rate is" in capsys.readouterr().err
    assert run(["search", "query", str(index), str(image), "--weights", "mien"]) == 2
    assert f"not {weights_id('mien')}" in capsys.readouterr().err
