"""The streams of a process that was started anyhow: closed, in ASCII, without a width."""

from __future__ import annotations

import io
import os
import sys

__all__ = ["one_line", "prepare", "printable", "stop_output"]

_LONGEST = 500
_WIDTHS = ("COLUMNS", "LINES")


def prepare() -> None:
    """Make stdin, stdout and stderr usable whatever they are.

    A closed one is opened on the null device: else the next file that is opened gets its number,
    and what is printed goes into that file. What an encoding lacks is written as an escape.
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
    for name in _WIDTHS:
        if not os.environ.get(name, "1").isdecimal() or int(os.environ.get(name, "1")) < 1:
            del os.environ[name]


def stop_output() -> None:
    """Write no more to stdout, whose reader has left or whose disk is full."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
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


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python keeps a byte that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
