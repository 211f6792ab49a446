"""Ctrl-C and a scheduler's request to stop: the step is finished and a checkpoint written first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "StopRequest", "stop_on_signals"]


class Interrupted(KeyboardInterrupt):
    """The run stopped because it was asked to; its last checkpoint is whole."""

    def __init__(self, message: str, number: int = signal.SIGINT) -> None:
        """Keep the message for the person and the signal's number for the exit status."""
        super().__init__(message)
        self.number = int(number)


class StopRequest:
    """Whether a signal has asked the run to stop."""

    number: int | None = None


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Note the first Ctrl-C or SIGTERM in place of dying of it; the second one acts as usual."""
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    usual = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, _: FrameType | None) -> None:
        request.number = number
        for each, handler in usual.items():
            signal.signal(each, handler)

    for number in numbers:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
