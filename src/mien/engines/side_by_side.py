"""Calls side by side, on threads that are kept: each new one would take memory of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["cores", "parts_of", "side_by_side", "threads"]

# This many faces are looked at at a time: images at full size take memory, and what a processor
# keeps near is small. More than 8 are no faster.
_AT_A_TIME, _FEWEST = 8, 4

_Given = TypeVar("_Given")
_Read = TypeVar("_Read")


def cores() -> int:
    """Return how many cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def threads() -> int:
    """Return how many calls at a time: as many as OMP_NUM_THREADS, else as cores may be used."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    return int(asked) if asked.isdigit() and int(asked) else cores()


def parts_of(count: int, threads: int) -> list[slice]:
    """Return the rows that are looked at at a time, of `count` that several threads share."""
    size = min(_AT_A_TIME, max(_FEWEST, -(-count // threads)))
    return [slice(start, start + size) for start in range(0, count, size)]


def side_by_side(
    read: Callable[[_Given], _Read], parts: Sequence[_Given], threads: int
) -> Iterator[_Read]:
    """Yield what `read` returns for each part, in order.

    Args:
        read: takes one part; with several threads, called on several at a time. It must not call
            this function itself.
        parts: what to read.
        threads: how many calls at a time; 1 stays on this thread.

    Raises:
        Exception: whatever `read` raises, in its place in the order.
    """
    if min(threads, len(parts)) <= 1:
        yield from map(read, parts)
    else:
        yield from _pool(threads).map(read, parts)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "mien-encode")


if hasattr(os, "register_at_fork"):  # a forked process has none of the threads
    os.register_at_fork(after_in_child=_pool.cache_clear)
