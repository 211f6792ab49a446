"""A disk that fails, a signal that comes, another writer: at any moment that a test chooses.

    with Disk(place, at=3, then=full) as disk:
        run(...)
    assert disk.moments > 3

counts what a command asks of the disk below a folder (files opened and written, folders made,
names given), and at moment `at` does what `then` says; from then on also whenever anything is
written. What C++ writes itself is counted where it is begun; real small disks try the rest.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq

__all__ = ["Disk", "mounted", "refuse", "send"]


def refuse(number: int) -> Callable[[], None]:
    """Return what raises the system's error of this number."""

    def act() -> None:
        raise OSError(number, os.strerror(number))

    return act


def send(number: int) -> Callable[[], None]:
    """Return what sends this process a signal, once."""
    sent: list[int] = []

    def act() -> None:
        if not sent:
            sent.append(number)
            signal.raise_signal(number)

    return act


class Disk:
    """Counts the moments of a command, and acts from one of them on."""

    def __init__(self, place: Path, *, at: int, then: Callable[[], None]) -> None:
        self._place, self._at, self._then = os.fspath(place), at, then
        self._stack = ExitStack()
        self.moments = 0

    def __enter__(self) -> Disk:
        for name in ("mkdir", "replace", "rename", "link"):
            self._watch(os, name)
        for owner in (io, __import__("builtins")):
            self._stack.enter_context(mock.patch.object(owner, "open", self._opened(owner.open)))
        self._watch(pq.ParquetWriter, "write_table", everywhere=True)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def pass_moment(self, *, writes: bool = True) -> None:
        here, self.moments = self.moments, self.moments + 1
        if here == self._at or (writes and here > self._at):
            self._then()

    def _ours(self, name: Any) -> bool:
        if not isinstance(name, (str, os.PathLike)):
            return False
        return os.path.abspath(os.fspath(name)).startswith(self._place)  # noqa: PTH100

    def _watch(self, owner: Any, name: str, *, everywhere: bool = False) -> None:
        real = getattr(owner, name)

        def call(*given: Any, **named: Any) -> Any:
            if everywhere or self._ours(given[0]):
                self.pass_moment(writes=everywhere)
            return real(*given, **named)

        self._stack.enter_context(mock.patch.object(owner, name, call))

    def _opened(self, real: Callable[..., Any]) -> Callable[..., Any]:
        """Return an `open` whose files for writing ask at every write."""
        disk = self

        class Watched(io.FileIO):
            def write(self, data: Any) -> int | None:
                disk.pass_moment()
                return super().write(data)

        def call(
            file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None,
            errors: Any = None, newline: Any = None, *more: Any, **named: Any,
        ) -> Any:  # fmt: skip
            if not set(mode) & set("wax+") or not self._ours(file):
                return real(file, mode, buffering, encoding, errors, newline, *more, **named)
            self.pass_moment()
            raw = Watched(file, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline)

        return call


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[bool]:
    """Mount a small disk over a folder; gives False where this is not allowed."""
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        done = False
    try:
        yield done
    finally:
        if done:
            subprocess.run(["umount", str(folder)], check=True)
