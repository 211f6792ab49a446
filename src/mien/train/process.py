"""The process of a run: Ctrl-C, a scheduler's request to stop, and memory that is kept."""

from __future__ import annotations

import ctypes
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["Interrupted", "StopRequest", "keep_freed_memory", "stop_on_signals"]

_STOPS = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has no SIGHUP
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # names of glibc's malloc.h


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
    """Note the first Ctrl-C, SIGTERM or SIGHUP in place of dying of it; the second acts as usual.

    A SIGHUP that is ignored, as by nohup, stays ignored.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    numbers = [signal.Signals[name] for name in _STOPS if hasattr(signal, name)]
    usual = {number: signal.getsignal(number) for number in numbers}
    usual = {number: handler for number, handler in usual.items() if handler != signal.SIG_IGN}

    def note(number: int, _: FrameType | None) -> None:
        request.number = number
        for each, handler in usual.items():
            signal.signal(each, handler)

    for number in usual:
        signal.signal(number, note)
    try:
        yield request
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def keep_freed_memory() -> bool:
    """Tell glibc to keep large freed blocks; return whether it did.

    By default each large tensor is mapped from the kernel and faulted in page by page at every
    step, which costs a CPU training step a quarter of its time or more. Elsewhere than on Linux
    with glibc nothing is done.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    kept = [
        mallopt(_MMAP_THRESHOLD, 1 << 30),
        mallopt(_TRIM_THRESHOLD, (1 << 31) - 1),
        mallopt(_TOP_PAD, 256 << 20),
    ]
    return all(kept)
