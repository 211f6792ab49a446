"""Work for the steps to come, done by threads while the present step runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["ahead"]

T = TypeVar("T")
_SPARE = 2  # results ready beyond those that threads are working on


def ahead(
    work: Callable[[int], T], start: int, stop: int, workers: int
) -> Generator[T, None, None]:
    """Yield work(start), ..., work(stop - 1) in this order.

    Args:
        work: may be called from several threads at once.
        start: first number.
        stop: number after the last one.
        workers: threads; they end when this does.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="batches") as pool:
        try:
            for step in range(start, min(stop, start + workers + _SPARE)):
                waiting.append(pool.submit(work, step))
            for step in range(start, stop):
                ready = waiting.popleft().result()
                later = step + workers + _SPARE
                if later < stop:
                    waiting.append(pool.submit(work, later))
                yield ready
        finally:
            for future in waiting:
                future.cancel()
