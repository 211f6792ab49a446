"""One writer at a time: a lock on a file, which the system lets go when the process ends."""

from __future__ import annotations

import os
from pathlib import Path

from mien.errors import MienError

__all__ = ["LockedError", "take_lock"]


class LockedError(MienError):
    """Another writer has the lock."""


def take_lock(path: Path, refusal: str) -> int | None:
    """Take the lock on a file, made where it is not there; `os.close` lets it go.

    Returns:
        The open file's descriptor; None on Windows, where two writers are not noticed.

    Raises:
        LockedError: another process, or another descriptor of this one, has it: says `refusal`.
        OSError: the file cannot be made.
    """
    try:
        import fcntl
    except ImportError:
        return None
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(number)
        raise LockedError(refusal) from error
    return number
