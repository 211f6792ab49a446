"""The command line in processes that were started anyhow."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from mien.cli import terminal
from mien.cli.main import run

ROOT = Path(__file__).parents[2]
# A command of two lines that are not ASCII, quicker than any real one.
SAY = """
import sys, types
module = types.ModuleType("mien.cli.doctor")
def doctor() -> None:
    print("a – b \\u00fc")
    print("to the other", file=sys.stderr)
module.doctor = doctor
sys.modules["mien.cli.doctor"] = module
from mien.__main__ import main
"""
DOCTOR = f"{SAY}\nsys.argv = ['mien', 'doctor']\nmain()"


def started(code: str, redirected: str = "", **env: str) -> subprocess.CompletedProcess[bytes]:
    words = ["sh", "-c", f'exec "$0" -c "$1" {redirected}', sys.executable, code]
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")} | env
    environment = {name: value for name, value in environment.items() if value != "absent"}
    return subprocess.run(words, env=environment, capture_output=True, check=False, timeout=120)


@pytest.mark.parametrize(
    ("encoding", "printed"),
    [
        ("ascii", b"a \\u2013 b \\xfc\n"),
        ("latin-1", b"a \\u2013 b \xfc\n"),
        ("utf-8", "a – b ü\n".encode()),
    ],
)
def test_what_the_encoding_lacks_is_escaped(encoding, printed):
    done = started(DOCTOR, PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stdout, done.stderr) == (0, printed, b"to the other\n")


@pytest.mark.parametrize(
    ("redirected", "out", "err"),
    [
        (">&-", b"", b"to the other\n"),
        ("2>&-", b"a", b""),
        ("<&- >&- 2>&-", b"", b""),
        ("</dev/null >/dev/null", b"", b"to the other\n"),
    ],
)
def test_closed_streams_are_no_error(redirected, out, err):
    done = started(DOCTOR, redirected)
    assert (done.returncode, done.stdout[:1], done.stderr) == (0, out, err)


def test_files_never_get_the_number_of_a_closed_stream(tmp_path):
    written = tmp_path / "table"
    code = DOCTOR.replace("    print(", f"    file = open({str(written)!r}, 'w')\n    print(", 1)
    done = started(code, ">&- 2>&-")
    assert done.returncode == 0
    assert written.read_bytes() == b""


def test_a_full_disk_behind_stdout_is_one_line():
    done = started(DOCTOR, ">/dev/full")
    assert done.returncode == 2
    assert done.stderr.endswith(b"error: no space left on the disk; free some and run again\n")
    assert b"Exception" not in done.stderr


def test_a_full_disk_behind_stderr_changes_nothing():
    assert started(DOCTOR, "2>/dev/full").stdout.startswith(b"a")


def test_helps_survive_the_loss_of_docstrings():
    shown = SAY.replace("mien.cli.doctor", "mien.cli.none") + (
        "from mien.cli.main import COMMANDS, run\n"
        "sys.exit(sum(run([name, '--help']) for name in COMMANDS))\n"
    )
    plain, optimized = (started(shown, PYTHONOPTIMIZE=level) for level in ("", "2"))
    assert plain.returncode == optimized.returncode == 0
    assert optimized.stdout == plain.stdout


INTERRUPTED = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Interrupt())
from mien.__main__ import main
sys.argv = ["mien", "card"]
main()
"""


@pytest.mark.parametrize(
    "module", ["typer", "mien.cli.main", "mien.cli.card", "numpy._core._multiarray_umath"]
)
def test_an_interrupt_while_importing_is_one_word(module):
    done = started(INTERRUPTED.format(module=module))
    assert (done.returncode, done.stderr) == (130, b"interrupted\n")


@pytest.mark.parametrize("columns", ["0", "-3", "wide", ""])
def test_an_impossible_width_is_none(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setenv("LINES", "24")
    terminal.prepare()
    assert "COLUMNS" not in os.environ
    assert os.environ["LINES"] == "24"
    assert run(["card", "--help"]) == 0
    assert "--has" in capsys.readouterr().out


def test_a_narrow_terminal_is_no_error(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "1")
    assert run(["--help"]) == 0
    assert capsys.readouterr().out


def test_text_that_moves_the_cursor_is_escaped():
    assert terminal.printable("a\x1b[31m\x07\x85\udcff\u202e\ud800 ü\n\tb") == (
        "a\\x1b[31m\\x07\\x85\\xff\\u202e\\ud800 ü\n\tb"
    )
    assert terminal.one_line(" a\n b\r\x1b ") == "a b \\x1b"
    assert terminal.one_line("a" * 500) == "a" * 500
    cut = terminal.one_line("start " + "a" * 5000 + " end")
    assert len(cut) <= 500
    assert cut.startswith("start a")
    assert cut.endswith("a end")
    assert " ... " in cut


def test_what_pillow_warns_of_is_no_line(capsys):
    with warnings.catch_warnings():
        warnings.resetwarnings()
        terminal.prepare()
        for module, line in (("PIL.TiffImagePlugin", 982), ("mien.somewhere", 1)):
            warnings.warn_explicit("Truncated File Read", UserWarning, "x.py", line, module)
        assert capsys.readouterr().err == "warning: Truncated File Read\n"


def test_without_a_home_folder_nothing_is_looked_for_there(monkeypatch, tmp_path):
    from mien.faces.yunet import find_yunet

    for name in ("HOME", "XDG_CACHE_HOME", "MIEN_CACHE", "MIEN_YUNET"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 2**31 - 5)  # nobody's
    monkeypatch.chdir(tmp_path)
    assert find_yunet() is None
