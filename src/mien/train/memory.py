"""Keep freed memory in the process: a training step frees and takes the same blocks again."""

from __future__ import annotations

import ctypes
import sys

__all__ = ["keep_freed_memory"]

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3  # names of glibc's malloc.h


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
