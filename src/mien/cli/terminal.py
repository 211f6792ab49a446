"""The streams of a process that was started anyhow: closed, in ASCII, without a width."""

from __future__ import annotations

import io
import os
import sys
import warnings
from typing import TextIO

__all__ = ["one_line", "prepare", "printable", "say", "show", "stop_output"]

_LONGEST = 500
_WIDTHS = ("COLUMNS", "LINES")


def prepare() -> None:
    """Make stdin, stdout and stderr usable whatever they are.

    A closed one is opened on the null device: else the next file that is opened gets its number,
    and what is printed goes into that file. What an encoding lacks is written as an escape. A
    warning is one line.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest free number: this one
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    warnings.showwarning = _show_warning
    # What Pillow warns of in a damaged image is said by the error, or is of no account.
    warnings.filterwarnings("ignore", module=r"PIL\.")
    for name in _WIDTHS:
        if not os.environ.get(name, "1").isdecimal() or int(os.environ.get(name, "1")) < 1:
            del os.environ[name]


def show(*lines: str) -> None:
    """Print lines to stdout, where results go; a file name in them moves no cursor.

    Raises:
        OSError: nobody reads them, or their disk is full.
    """
    print(*map(printable, lines), sep="\n", flush=True)


def say(*lines: str, stream: TextIO | None = None) -> None:
    """Print lines to stderr, which tells how it goes; that nobody can read them stops no work."""
    stream = sys.stderr if stream is None else stream
    try:
        print(*map(printable, lines), sep="\n", file=stream, flush=True)
    except OSError:
        stop_output(stream)


def stop_output(stream: TextIO | None = None) -> None:
    """Write no more to a stream (stdout) whose reader has left or whose disk is full."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, (sys.stdout if stream is None else stream).fileno())
    os.close(null)


def printable(text: str) -> str:
    r"""Return text that moves no cursor: control characters but line ends and tabs as `\xNN`.

    File names and fetched cards may hold anything; bytes that are no UTF-8 are escaped, too.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else _escape(c) for c in text)


def one_line(text: object) -> str:
    """Return text as one printable line of at most 500 characters, its middle left out."""
    line = printable(" ".join(str(text).split()))
    if len(line) <= _LONGEST:
        return line
    half = _LONGEST // 2 - 3
    return f"{line[:half]} ... {line[-half:]}"


def _show_warning(message: Warning | str, *_: object) -> None:
    """Print a warning as one line, without the place in the code."""
    say(f"warning: {one_line(message)}")


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
