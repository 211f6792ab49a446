"""What the system says when it refuses to write, in words that name the cure."""

from __future__ import annotations

import errno
import os

__all__ = ["FULL", "fault"]

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Of errors that end when there is room again."""

_WORDS = {
    errno.ENOSPC: "no space left on the disk; free some and run again",
    errno.EDQUOT: "no space left on the disk that your quota grants; free some and run again",
    errno.EROFS: "its file system is read-only; name another place",
    errno.EACCES: "permission denied; name another place",
}


def fault(error: OSError) -> str:
    """Return the reason of an error of the system, and where it is known the cure."""
    known = _WORDS.get(error.errno or 0)
    if known is not None:
        return known
    if error.errno:  # the libraries' own words for it name a temporary file
        return os.strerror(error.errno)
    return error.strerror or " ".join(str(error).split())[:200] or type(error).__name__
