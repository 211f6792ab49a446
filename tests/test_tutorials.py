"""The tutorials run as they stand, block after block, and print what they say they print.

A block of `sh` or `python` that a block of `text` follows must print that text: a line `...` stands
for any lines, ` ...` within one for any words, `.../` for the folder, and numbers with decimals
may be off by some percent, as processors round differently.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from mien.cli.main import run

FOLDER = Path(__file__).parents[1] / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.md"))
FIGURES = {
    "embed_and_plot": ("timeline.png", "alike.png", "factors.png"),
    "gaze": ("gaze.png",),
    "pretrain": ("sheet.png",),
    "probe": ("probed.png",),
    "search": ("hits.png",),
}
PROGRESS = re.compile(r"^\d+ of \d+ inputs, .* left\n", re.MULTILINE)
"""What is printed in between where it takes more than some seconds."""
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
SHELL = re.compile(r"[|&;<>$*`(){}]|\\$|^\s*#", re.MULTILINE)
"""What only a shell understands; a `mien` without it is run in this process, which is faster."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a tutorial."""

    kind: str
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    """Return the fenced blocks, in order."""
    source = path.read_text()
    found = re.finditer(r"^```(\w*)\n(.*?)^```$", source, re.DOTALL | re.MULTILINE)
    return [Block(b[1], b[2], source[: b.start()].count("\n") + 1) for b in found]


def printed_by(block: Block, names: dict[str, object]) -> str:
    """Run a block in the present folder and return what it prints."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        if block.kind == "python":
            exec(compile(block.text, "the tutorial", "exec"), names)  # noqa: S102 - that is tested
            return out.getvalue()
        lines = block.text.strip().replace("\\\n", " ").splitlines()
        if all(line.startswith("mien ") and not SHELL.search(line) for line in lines):
            for line in lines:
                code = run(shlex.split(line)[1:])
                assert code == 0, out.getvalue()
            return out.getvalue()
    shell = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(shell, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def assert_alike(found: str, shown: str) -> None:
    """Compare what was printed with what the tutorial shows."""
    pattern, expected = "", []
    for line in shown.splitlines():
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
            continue
        parts = re.split(r" \.\.\.(?: |$)", line.rstrip())
        numerals = [NUMERAL.join(map(re.escape, NUMBER.split(part))) for part in parts]
        pattern += r"[^\n]*?".join(numerals) + r"[ ]*\n"
        expected += [number for part in parts for number in NUMBER.findall(part)]
    match = re.fullmatch(pattern, found if found.endswith("\n") else found + "\n")
    assert match, f"printed:\n{found}\nshown:\n{shown}"
    for got, said in zip(match.groups(), expected, strict=True):
        decimals = len(said.partition(".")[2])
        allowed = max(1.5 * 10.0**-decimals, 0.08 * abs(value(said))) if decimals else 0.0
        assert abs(value(got) - value(said)) <= allowed, f"{got} was printed, {said} is shown"


NUMERAL = rf"({NUMBER.pattern})"


def value(numeral: str) -> float:
    return float(numeral.replace(",", ""))


def run_all(path: Path, folder: Path, names: dict[str, object]) -> None:
    """Run the blocks of a tutorial and compare what they print."""
    printed: str | None = None
    for block in blocks(path):
        if block.kind == "text":
            assert printed is not None, f"line {block.line}: nothing was run"
            try:
                assert_alike(printed, block.text)
            except AssertionError as error:
                raise AssertionError(f"{path.name}, line {block.line}: {error}") from error
            printed = None
            continue
        assert block.kind in ("python", "sh"), f"line {block.line}: a block says what it is"
        printed = PROGRESS.sub("", printed_by(block, names)).replace(f"{folder}/", ".../")


def stop_all(names: dict[str, object]) -> None:
    """End what a tutorial that failed has left running."""
    for thing in names.values():
        if isinstance(thing, subprocess.Popen):
            thing.kill()
            thing.wait()
            if thing.stdout is not None:
                thing.stdout.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_it_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    places = [str(Path(sys.executable).parent), os.environ["PATH"]]
    monkeypatch.setenv("PATH", os.pathsep.join(places))
    monkeypatch.setenv("MIEN_OFFLINE", "1")
    names: dict[str, object] = {"__name__": "tutorial"}
    try:
        run_all(path, tmp_path, names)
    finally:
        stop_all(names)
    for name in FIGURES[path.stem]:
        with Image.open(tmp_path / name) as image:
            extrema = image.convert("L").getextrema()
            assert image.width >= 300, name
            assert extrema[0] != extrema[1], f"{name} is empty"


def test_there_are_five() -> None:
    assert [path.stem for path in TUTORIALS] == sorted(FIGURES)
    for path in TUTORIALS:
        kinds = [block.kind for block in blocks(path)]
        assert "text" in kinds, f"{path.name} shows nothing that is checked"


@pytest.mark.parametrize(
    ("found", "shown"),
    [
        ("3 faces\n", "4 faces\n"),
        ("error 6.14 degrees\n", "error 6.75 degrees\n"),
        ("one\nthree\n", "one\ntwo\n"),
        ("one\ntwo\nthree\n", "one\nthree\n"),
        ("faces 3\n", "faces three\n"),
    ],
)
def test_another_text_is_noticed(found: str, shown: str) -> None:
    with pytest.raises(AssertionError):
        assert_alike(found, shown)


def test_little_is_forgiven() -> None:
    shown = "at 1,024 px: 6.15 of 7\n...\nit is ... now\n"
    assert_alike("at 1,024 px: 6.14 of 7\nbusy\nbusy\nit is done by now\n", shown)
