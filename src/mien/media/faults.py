"""What the system says when it refuses to write, in words that name the cure."""

from __future__ import annotations

import errno
import os
import re

__all__ = ["FULL", "fault", "fault_in_text"]

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of errors that end when there is room again."""

_WORDS = {
    errno.ENOSPC: "no space left on the disk; free some and run again",
    errno.EDQUOT: "no space left on the disk that your quota grants; free some and run again",
    errno.EROFS: "its file system is read-only; name another place",
    errno.EACCES: "permission denied; name another place",
}


_NUMBERED = re.compile(r"\(os error (\d+)\)")


def fault_in_text(error: Exception) -> str:
    """Return the reason of an error of a library that keeps the system's error as text alone."""
    number = _NUMBERED.search(str(error))
    return fault(OSError(int(number[1]), "")) if number else " ".join(str(error).split())[:200]


def fault(error: OSError) -> str:
    """Return the reason of an error of the system, and where it is known the cure."""
    known = _WORDS.get(error.errno or 0)
    if known is not None:
        return known
    if error.errno:  # the libraries' own words for it name a temporary file
        return os.strerror(error.errno)
    return error.strerror or " ".join(str(error).split())[:200] or type(error).__name__
