"""How far a job is: a bar with rate and time left on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self, TextIO

from mien.cli.terminal import say

if TYPE_CHECKING:
    from mien.embedding.summary import Status

__all__ = ["ProgressDisplay", "progress_line"]

_SECONDS_PER_LINE = 10.0


class ProgressDisplay:
    """Shows each status that it is called with, on stderr."""

    def __init__(
        self, *, stream: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._clock = clock
        self._started = self._shown = clock()
        self._before: float | None = None
        self._bar: Any = None

    def __enter__(self) -> Self:
        if self._stream.isatty():
            self._bar = _make_bar(self._stream)
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, status: Status) -> None:
        """Show the status, if it is time to."""
        now = self._clock()
        if self._before is None:
            # What an earlier run did must not count into this run's rate.
            self._before = status.done
        line = progress_line(status, seconds=now - self._started, before=self._before)
        if self._bar is not None:
            if not self._bar.tasks:
                self._bar.add_task("", total=status.total)
            self._bar.update(0, completed=status.done, total=status.total, description=line)
        elif now - self._shown >= _SECONDS_PER_LINE:
            say(line, stream=self._stream)
            self._shown = now


def progress_line(status: Status, *, seconds: float, before: float) -> str:
    """Return how far the job is as one line: inputs, faces, rate, time left.

    Args:
        status: how far.
        seconds: since this run began.
        before: inputs that were done when it began.
    """
    line = f"{int(status.done):,} of {status.total:,} inputs, {status.faces:,} faces"
    if seconds > 0 and status.frames:
        line += f", {status.faces / seconds:,.1f} faces/s, {status.frames / seconds:,.1f} frames/s"
    if status.done > before:
        left = seconds * (status.total - status.done) / (status.done - before)
        line += f", {_duration(left)} left"
    return line


def _duration(seconds: float) -> str:
    hours, rest = divmod(round(seconds), 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def _make_bar(stream: TextIO) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

    columns = (BarColumn(), TaskProgressColumn(), TextColumn("{task.description}"))
    return Progress(*columns, console=Console(file=stream), transient=True)
