from __future__ import annotations

import csv
import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from mien.cli.main import run
from mien.evaluate import protocols
from mien.evaluate.protocol import Result

SPEC = importlib.util.spec_from_file_location(
    "toy_protocol", Path(__file__).with_name("toy_protocol.py")
)
assert SPEC is not None
assert SPEC.loader is not None
toy = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(toy)

Words = Callable[..., list[str]]


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Make the toy protocols the only ones."""
    there = {"brightness": toy.BRIGHTNESS, "rendering": toy.RENDERING}
    monkeypatch.setattr(protocols, "PROTOCOLS", dict.fromkeys(there, "toy:TOY"))
    monkeypatch.setattr(protocols, "find_protocol", lambda name: there[name])
    return there


@pytest.fixture
def words(tiny_folder: Path, tmp_path: Path) -> Words:
    def make(protocol: str, data: Path, *more: str) -> list[str]:
        out = tmp_path / "report"
        common = ["eval", protocol, "--data", str(data), "--out", str(out)]
        return [*common, "--weights", str(tiny_folder), "--detector", "none", *more]

    return make


def report_of(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "report" / "report.json").read_text())


def test_a_report_is_written_and_shown(
    words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy.make_set(tmp_path / "set")
    assert run(words("brightness", data, "--seed", "5", "--trials", "2")) == 0
    printed = capsys.readouterr()
    assert "brightness" in printed.out
    assert "accuracy, <b>" in printed.out
    assert "70.50 to 80.25" in printed.out
    assert "scoring" in printed.err
    assert "scores.csv" in printed.err
    report = report_of(tmp_path)
    assert (report["seed"], report["trials"]) == (5, 2)
    assert report["factors_from"] == "weights, detector none"
    assert len(report["weights"]) == 12
    assert report["protocols"][0]["folder"] == "set"
    assert str(tmp_path) not in (tmp_path / "report" / "report.html").read_text()
    with (tmp_path / "report" / "scores.csv").open() as file:
        assert [row["protocol"] for row in csv.DictReader(file)] == ["brightness"] * 2


def test_all_runs_what_is_there_and_tells_what_failed(
    words: Words,
    known: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toy.make_set(tmp_path / "root" / "set")

    def burst(*_: object) -> Result:
        raise RuntimeError("broken\nheart")

    known["rendering"] = replace(toy.RENDERING, run=burst)
    assert run(words("all", tmp_path / "root")) == 1
    assert "failed: unforeseen" in " ".join(capsys.readouterr().out.split())
    first, second = report_of(tmp_path)["protocols"]
    assert first["scores"][0]["name"] == "accuracy, <b>"
    assert second["error"] == "unforeseen RuntimeError: broken heart"


def test_what_was_done_before_an_interrupt_is_kept(
    words: Words,
    known: dict[str, object],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    toy.make_set(tmp_path / "root" / "set")

    def stop(*_: object) -> Result:
        raise KeyboardInterrupt

    known["rendering"] = replace(toy.RENDERING, run=stop)
    assert run(words("all", tmp_path / "root")) == 130
    assert "1 of 2 protocols are not in the report" in capsys.readouterr().err
    assert [p["protocol"] for p in report_of(tmp_path)["protocols"]] == ["brightness"]
    known["brightness"] = known["rendering"]
    assert run(words("all", tmp_path / "root", "--overwrite")) == 130
    assert [p["protocol"] for p in report_of(tmp_path)["protocols"]] == ["brightness"]


def test_a_table_gives_the_factors(words: Words, tiny_folder: Path, tmp_path: Path) -> None:
    data, table = toy.make_set(tmp_path / "set"), tmp_path / "faces.parquet"
    weights = ["--weights", str(tiny_folder), "--detector", "none"]
    assert run(["embed", str(data), "--out", str(table), *weights]) == 0
    assert run(words("brightness", data)) == 0
    by_weights = report_of(tmp_path)
    out = ["--out", str(tmp_path / "report"), "--overwrite"]
    given = ["--data", str(data), "--table", str(table)]
    assert run(["eval", "brightness", *given, *out]) == 0
    by_table = report_of(tmp_path)
    assert by_table["factors_from"] == "table faces.parquet, detector none"
    assert by_table["weights"] == by_weights["weights"]
    values = [r["protocols"][0]["scores"][0]["value"] for r in (by_table, by_weights)]
    assert values[0] == pytest.approx(values[1], abs=1e-4)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert run(arguments) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


def test_bad_input_is_one_line(
    words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy.make_set(tmp_path / "set")
    out = ["--out", str(tmp_path / "report")]
    assert "no PROTOCOL" in refused(["eval", "--data", str(data), *out], capsys)
    assert "--data FOLDER" in refused(["eval", "brightness", *out], capsys)
    assert "--out FOLDER" in refused(["eval", "brightness", "--data", str(data)], capsys)
    both = words("brightness", data, "--table", "t.parquet")
    assert "leave --weights and --detector out" in refused(both, capsys)
    missing = refused(words("brightness", tmp_path / "none"), capsys)
    assert "brightness wants brightness.txt" in missing
    (tmp_path / "empty").mkdir()
    empty = refused(words("brightness", tmp_path / "empty"), capsys)
    assert "brightness.txt is missing" in empty
    assert "is a data set that is known" in refused(words("all", tmp_path / "empty"), capsys)
    assert not (tmp_path / "report").exists()


def test_a_report_is_not_replaced_unasked(
    words: Words, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = toy.make_set(tmp_path / "set")
    assert run(words("brightness", data)) == 0
    capsys.readouterr()
    assert "report.json exists" in refused(words("brightness", data), capsys)
    assert run(words("brightness", data, "--overwrite")) == 0


def test_plots_are_asked_for_before_the_work(
    words: Words,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mien.cli.eval.find_spec", lambda name: None)
    data = toy.make_set(tmp_path / "set")
    assert "pip install 'mien[eval]'" in refused(words("brightness", data), capsys)
    assert not (tmp_path / "report").exists()


def test_the_list_tells_files_and_source(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["eval", "--list"]) == 0
    assert capsys.readouterr().out.splitlines()[:3] == [
        "brightness (light): how bright <it> is",
        "  files   brightness.txt, NAME.png",
        "  source  the makers of the toy",
    ]
