"""What is printed moves no cursor, and nobody has to read it: whole commands in strange company."""

from __future__ import annotations

import ast
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forked import Command, Streams
from mien.cli.main import run
from mien.media.video import write_mp4
from robustness.cases import Content, image, make_files
from robustness.made_tables import LABELS, TARGETS, table

ROOT = Path(__file__).parents[2]
WORDS = "embed in --weights tiny --detector none -o t.parquet"
PHOTOS: dict[str, Content] = {f"in/{n}.png": image(seed=n) for n in range(2)}


@pytest.mark.parametrize(
    "streams",
    [{2: None}, {1: None, 2: None}, {0: None, 1: None, 2: None}, {2: "/dev/full"}],
    ids=["2>&-", ">&- 2>&-", "<&- >&- 2>&-", "2>/dev/full"],
)
def test_a_table_is_written_whoever_listens(place: Path, streams: Streams) -> None:
    make_files(place, PHOTOS)
    code, _, errors = Command(shlex.split(WORDS), cwd=place, streams=streams).finish()
    assert code == 0, errors
    written = (place / "t.parquet").read_bytes()
    (place / "t.parquet").unlink()
    assert run(shlex.split(WORDS)) == 0
    assert (place / "t.parquet").read_bytes() == written


def unread(place: Path, words: str, *, stream: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command one of whose streams is a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    streams[stream] = writer
    try:
        return subprocess.run(
            [sys.executable, "-m", "mien", *shlex.split(words)],
            cwd=place, env=os.environ | {"PYTHONPATH": str(ROOT / "src")}, check=False, **streams,
        )  # fmt: skip
    finally:
        os.close(writer)


@pytest.mark.parametrize("words", ["embed --schema", "table info t.parquet"])
def test_a_reader_that_leaves_ends_a_command_without_a_word(place: Path, words: str) -> None:
    """As `mien ... | head -1` does."""
    make_files(place, {"t.parquet": table()})
    done = unread(place, words, stream="stdout")
    assert (done.returncode, done.stderr) == (1, b"")


def test_nobody_has_to_read_how_it_goes(place: Path) -> None:
    make_files(place, PHOTOS)
    assert unread(place, WORDS, stream="stderr").returncode == 0
    assert (place / "t.parquet").exists()


def test_nobody_has_to_read_of_an_error(place: Path) -> None:
    assert unread(place, "embed nothing -o t.parquet", stream="stderr").returncode == 2


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_from_outside_ends_the_process_in_order(place: Path, name: str) -> None:
    if not hasattr(signal, name):
        pytest.skip(f"no {name} here")
    if signal.getsignal(getattr(signal, name)) == signal.SIG_IGN:
        pytest.skip(f"{name} is ignored here, as under nohup, and stays so")
    make_files(place, PHOTOS)
    before = (
        "import os, signal, threading, mien.embedding.run as job\n"
        "def stop(*_, **__):\n"
        f"    os.kill(os.getpid(), signal.{name})\n"
        "    threading.Event().wait(60)\n"
        "job.record_batch = stop\n"
    )
    code, _, errors = Command(shlex.split(WORDS), cwd=place, before=before).finish()
    assert code == 128 + getattr(signal, name), errors
    assert errors.startswith("stopped; ")
    assert errors.count("\n") == 1
    assert not (place / "t.parquet").exists()


ODD = "a\x1b[31m\x07\x85\u202e\r"
"""A name that colours, rings, turns the writing round and goes back to the start of the line."""


def film(path: Path) -> None:
    write_mp4(path, [np.full((48, 64, 3), 30 * n, np.uint8) for n in range(3)], fps=10)


RENDER = ["--weights", "tiny", "--detector", "none", "--size", "32"]
SUCCESSES: list[tuple[list[str], dict[str, Content]]] = [
    (["embed", f"{ODD}.png", "-o", f"{ODD}.csv", "--weights", "tiny", "--detector", "none"],
     {f"{ODD}.png": image()}),
    (["embed", ODD, "-o", f"{ODD}.parquet", "--weights", "tiny", "--detector", "none"],
     {f"{ODD}/{ODD}.png": "no image"}),
    (["render", f"{ODD}.png", "--out", f"{ODD}2.png", *RENDER],
     {f"{ODD}.png": image()}),
    (["render", f"{ODD}.mp4", "--out", f"{ODD}2.mp4", *RENDER], {f"{ODD}.mp4": film}),
    (["calibrate", f"{ODD}.parquet", "--targets", f"{ODD}.csv", "-o", f"{ODD}.json"],
     {f"{ODD}.parquet": table(), f"{ODD}.csv": TARGETS}),
    (["probe", f"{ODD}.parquet", "--columns", "identity", "--labels", f"{ODD}.csv",
      "--suggest", "2", "-o", f"{ODD}.json"],
     {f"{ODD}.parquet": table(path=[f"{ODD if i > 7 else ''}{i}.png" for i in range(12)]),
      f"{ODD}.csv": "\n".join(LABELS.splitlines()[:9])}),
    (["forget", f"{ODD}.parquet", "--path", "0.png", "-o", f"{ODD}2.parquet"],
     {f"{ODD}.parquet": table()}),
    (["synth", "--head-model", "toy", "--identities", "1", "--frames", "1", "--size", "16", "--out",
      ODD], {}),
    (["card", "tiny"], {}),
    (["doctor"], {}),
    (["eval", "--list"], {}),
]  # fmt: skip


@pytest.mark.parametrize("number", range(len(SUCCESSES)), ids=lambda n: SUCCESSES[n][0][0] + str(n))
def test_no_control_character_of_a_name_is_printed(
    number: int, place: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words, files = SUCCESSES[number]
    make_files(place, files)
    (place / "tiny" / "README.md").write_text(f"# {ODD}\n")
    capfd.readouterr()
    code = run(words)
    out, err = capfd.readouterr()
    shown = out + err
    assert code in (0, 1), shown
    assert shown
    assert all(c.isprintable() or c in "\n\t" for c in shown), ascii(shown)
    if any(ODD in word for word in words) and words[0] != "calibrate":
        assert "\\x1b" in shown


SOURCES = sorted((ROOT / "src" / "mien").rglob("*.py"))


def prints(path: Path) -> bool:
    calls = [
        node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)
    ]
    return "print" in {call.id for call in calls if isinstance(call, ast.Name)}


def test_only_one_module_prints() -> None:
    """Others call its `show` and `say`, which escape what file names may hold."""
    # The other prints into a file that is given: what is listed, not what is shown.
    found = [path.relative_to(ROOT / "src" / "mien").as_posix() for path in SOURCES if prints(path)]
    assert found == ["cli/terminal.py", "embedding/listing.py"]
