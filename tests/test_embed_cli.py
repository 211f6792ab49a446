from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from forked import Command
from mien.cli.main import run
from mien.embedding.job import JobFolder
from mien.media.image import write_png
from mien.table.read import read_table
from mien.table.schema import COLUMNS

# The real command in a process of its own: small parts, often written, and in no hurry.
SLOW_EMBED = """
import time
from mien.embedding import run
from mien.table.writer import PartWriter
PartWriter.__init__.__kwdefaults__["rows_per_part"] = 8
encode = run.encode_crops
run.encode_crops = lambda *given, **more: (time.sleep(0.4), encode(*given, **more))[1]
"""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    numbers = np.random.default_rng(0)
    for i in range(96):
        write_png(folder / f"{i:03}.png", numbers.integers(0, 256, (16, 16, 3), np.uint8))
    return folder


def words(inputs: Path, out: Path, weights: Path, *more: str) -> list[str]:
    common = ["embed", str(inputs), "--out", str(out), "--weights", str(weights)]
    return [*common, "--detector", "none", "--batch-size", "4", *more]


def test_a_table_is_written(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "in").mkdir()
    write_png(tmp_path / "in" / "a.png", np.full((9, 9, 3), 80, np.uint8))
    (tmp_path / "in" / "b.png").write_text("bad")
    out = tmp_path / "t.parquet"
    assert run(words(tmp_path / "in", out, tiny_folder)) == 0
    table = read_table(out)
    assert table.frame["face_found"].tolist() == [True, False]
    assert table.codes("identity").shape == (2, 32)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.splitlines()[0].endswith("1 face in 2 inputs; 1 could not be read:")
    assert "not an image" in printed.err


def test_only_bad_input_is_no_error(tmp_path: Path, tiny_folder: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"")
    assert run(words(tmp_path / "a.jpg", tmp_path / "t.parquet", tiny_folder)) == 0
    reasons = read_table(tmp_path / "t.parquet").frame["reason"].tolist()
    assert [reason[:17] for reason in reasons] == ["the file is empty"]


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["embed", "--schema"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [column.name for column in COLUMNS]


def mistakes(folder: Path, weights: Path) -> dict[str, tuple[list[str], str]]:
    (folder / "empty").mkdir()
    (folder / "a.jpg").write_text("bad")
    (folder / "there.parquet").write_text("mine")
    out = folder / "t.parquet"
    good = folder / "a.jpg"
    cases = {
        "nothing given": (["embed", "--out", str(out)], "no INPUT is given"),
        "no table": (["embed", str(good)], "give --out"),
        "missing": (words(folder / "none.jpg", out, weights), "does not exist"),
        "empty folder": (words(folder / "empty", out, weights), "no image or video"),
        "is there": (words(good, folder / "there.parquet", weights), "--overwrite"),
        "detector": (words(good, out, weights, "--detector", "best"), "no detector best"),
        "both": (words(good, out, weights, "--every", "2", "--fps", "3"), "give one of them"),
        "weights": (words(good, out, folder / "empty"), "empty"),
        "crop": ([*words(good, out, weights)[:-4], "--crop", "nose"], "no crop nose"),
        "searched eye-region crops": (
            words(good, out, weights, "--crop", "eyes"),
            "leave --detector out",
        ),
        "no gaze": (
            [*words(good, out, weights)[:-4], "--crop", "eyes"],
            "have no gaze branch, which --crop eyes asks for",
        ),
        "nothing to calibrate": (
            words(good, out, weights, "--calibration", str(good)),
            "have no gaze branch, which --calibration asks for",
        ),
        "batch size": (words(good, out, weights, "--batch-size", "0"), "batch-size"),
    }
    if not torch.cuda.is_available():
        cases["cuda"] = (words(good, out, weights, "--device", "cuda"), "CUDA")
    return cases


def test_what_is_wrong_is_one_line(
    tmp_path: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, (line, message) in mistakes(tmp_path, tiny_folder).items():
        assert run(line) == 2, name
        printed = capsys.readouterr().err
        assert printed.startswith("error: "), name
        assert printed.count("\n") == 1, name
        assert message in printed, name
    assert {path.name for path in tmp_path.iterdir()} == {"empty", "a.jpg", "there.parquet"}


def wait_for_parts(process: Command, folder: Path) -> None:
    while len(list(folder.glob("part-*"))) < 2:
        assert process.poll() is None, process.finish()[2]
        time.sleep(0.05)


def assert_same(left: Path, right: Path) -> None:
    first, second = read_table(left), read_table(right)
    assert first.info == second.info
    assert first.frame["path"].tolist() == second.frame["path"].tolist()
    np.testing.assert_allclose(first.frame["yaw_rad"], second.frame["yaw_rad"], atol=1e-5)
    for name in first.code_names:
        np.testing.assert_allclose(first.codes(name), second.codes(name), atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_loses_nothing(
    tmp_path: Path, images: Path, tiny_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out = tmp_path / "whole.parquet", tmp_path / "t.parquet"
    assert run(words(images, whole, tiny_folder)) == 0
    parts = JobFolder(out).path

    process = Command(words(images, out, tiny_folder), before=SLOW_EMBED)
    wait_for_parts(process, parts)
    process.send_signal(signal.SIGINT)
    code, _, printed = process.finish()
    assert code == 130
    # On a slow machine a line on how far it is may stand before.
    last = printed.splitlines()[-1]
    assert last.startswith("stopped; ")
    assert "--resume" in last
    assert not out.exists()

    capsys.readouterr()
    assert run(words(images, out, tiny_folder)) == 2
    assert "continue with --resume" in capsys.readouterr().err
    assert run(words(images, out, tiny_folder, "--resume")) == 0
    assert "were done before" in capsys.readouterr().err
    assert_same(out, whole)
    assert not parts.exists()
