"""Calls side by side, on threads that are kept: each new one would take memory of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

__all__ = ["side_by_side"]

_Given = TypeVar("_Given")
_Read = TypeVar("_Read")


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
