"""Requests to stop: Ctrl-C, a scheduler's SIGTERM, a terminal that is closed (SIGHUP)."""

from __future__ import annotations

import signal
from types import FrameType

__all__ = ["Stopped", "exit_code", "stop_on_signals"]

_NAMES = ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP


class Stopped(KeyboardInterrupt):
    """A signal asked the process to stop: what Ctrl-C cleans up, it cleans up, too."""

    def __init__(self, number: int) -> None:
        """Keep the signal's number for the exit code."""
        super().__init__(signal.Signals(number).name)
        self.number = int(number)


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end this process as Ctrl-C does; what is ignored stays ignored.

    A second one kills at once.
    """
    for number in _numbers():
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _stop)


def exit_code(error: BaseException) -> int:
    """Return 128 and the number of the signal, as shells do: 130 after Ctrl-C."""
    return 128 + int(getattr(error, "number", signal.SIGINT))


def _stop(number: int, _: FrameType | None) -> None:
    for each in _numbers():
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    raise Stopped(number)


def _numbers() -> list[signal.Signals]:
    return [signal.Signals[name] for name in _NAMES if hasattr(signal, name)]
