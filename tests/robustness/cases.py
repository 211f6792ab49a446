"""Bad and hard inputs as a table: one line says the command, its files and what must come.

    CASES = [
        case("card w", {"w/config.json": "{"}, 2, "is not JSON"),
        case("embed a.png -o t.parquet --weights tiny", {"a.png": PNG}, 0, makes=["t.parquet"]),
    ]


    @pytest.mark.parametrize("case", CASES, ids=str)
    def test_case(case, place, capfd):
        check(case, place, capfd)

The command is run in this process, in an empty folder `place` (see conftest.py) that holds the
case's files and `tiny`, a small folder of weights.
"""

from __future__ import annotations

import io
import os
import resource
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from mien.cli.main import run

__all__ = ["PNG", "Case", "Content", "case", "check", "image", "make_files"]

Content = str | bytes | None | Callable[[Path], object]
"""Of a file: text, bytes, a function that makes it at a path; None makes a folder."""

# Guards, not measures: a hang or a demand for memory becomes a failure of its case.
_LIMIT_S = 120
_LIMIT_BYTES = 4 << 30
_LONGEST_LINE = 1000


@dataclass(frozen=True)
class Case:
    """A command line and what must come of it."""

    argv: str
    """Without `mien`; split as a shell does."""
    files: Mapping[str, Content] = field(default_factory=dict)
    """Name -> content, made beforehand in this order."""
    exit: int = 2
    message: str = ""
    """Stands in the error line; where the exit code is 0, in what is printed."""
    makes: Sequence[str] = ()
    """New files there must be afterwards: these and no others. Where the exit code is 2: none."""
    changes: Sequence[str] = ()
    """Files that may be changed; all others must stay as they were, byte for byte."""
    env: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        shown = f"{self.argv} - {self.message}".encode("ascii", "backslashreplace").decode()
        return "".join(c if c.isprintable() else "?" for c in shown)[:100]


case = Case


def check(case: Case, place: Path, capfd: pytest.CaptureFixture[str]) -> tuple[str, str]:
    """Run a case in the folder `place` and return what it wrote to stdout and stderr."""
    make_files(place, case.files)
    before = _contents(place)
    capfd.readouterr()
    with _bounded(), mock.patch.dict(os.environ, case.env):
        code = run(shlex.split(case.argv))
    out, err = capfd.readouterr()
    said = f"\nexit {code}\nstdout: {out[-500:]}\nstderr: {err[-2000:]}"
    assert code == case.exit, said
    if code == 2:
        assert err.startswith("error: "), said
        assert err.count("\n") == 1, f"one line is due, and no noise beside it{said}"
        assert len(err) <= _LONGEST_LINE, said
        assert err[:-1].isprintable(), f"control characters{said}"
        assert "unforeseen" not in err, said
        assert case.message in err, said
    else:
        assert case.message in out + err, said
    after = _contents(place)
    assert sorted(after.keys() - before.keys()) == sorted(case.makes), said
    for name, content in before.items():
        assert name in after, f"{name} is gone{said}"
        assert name in case.changes or after[name] == content, f"{name} was changed{said}"
    return out, err


def image(width: int = 48, height: int = 48, *, format: str = "PNG", seed: int = 0) -> bytes:
    """Return a file with a soft made-up image, no face."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(40, 215, (4, 4, 3), dtype=np.uint8))
    file = io.BytesIO()
    coarse.resize((width, height), Image.Resampling.BICUBIC).save(file, format=format)
    return file.getvalue()


PNG = image()


def make_files(place: Path, files: Mapping[str, Content]) -> None:
    """Make files in a folder, in their order."""
    for name, content in files.items():
        _make(place / name, content)


def _make(path: Path, content: Content) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if content is None:
        path.mkdir(exist_ok=True)
    elif isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_bytes(content.encode("utf-8", "surrogateescape"))
    else:
        content(path)


def _contents(place: Path) -> dict[str, bytes]:
    """Return what stands in the files below a folder, by name; of what is no file, its kind."""
    found = {}
    for path in sorted(place.rglob("*")):
        name = path.relative_to(place).as_posix()
        if path.is_symlink():
            found[name] = b"link to " + os.fsencode(path.readlink())
        elif path.is_file():
            found[name] = _content(path)
        elif not path.is_dir():
            found[name] = b"device or pipe"
    return found


def _content(path: Path) -> bytes:
    """Return what a file holds; of a huge one its size and time."""
    status = path.stat()
    if status.st_size > 1 << 26:
        return f"{status.st_size} {status.st_mtime_ns}".encode()
    return path.read_bytes() if os.access(path, os.R_OK) else b"unreadable"


@contextmanager
def _bounded() -> Iterator[None]:
    """Fail what hangs, and refuse memory far beyond what this process holds."""

    def hang(*_: object) -> None:
        raise AssertionError(f"no answer within {_LIMIT_S} s")

    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    old = signal.signal(signal.SIGALRM, hang)
    signal.alarm(_LIMIT_S)
    resource.setrlimit(resource.RLIMIT_AS, (held + _LIMIT_BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
