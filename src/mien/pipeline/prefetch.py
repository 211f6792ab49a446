"""Run tasks on threads before their results are asked for; results in order, memory bounded."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeVar

__all__ = ["prefetch"]

Result = TypeVar("Result")

# Each thread may hold a large image, and each waiting task a video's frame.
_MAX_WORKERS = 16
_WAITING = 4


def prefetch(
    tasks: Iterable[Callable[[], Result]],
    *,
    workers: int | None = None,
    in_flight: int | None = None,
) -> Generator[Result]:
    """Run tasks on threads and yield their results in the tasks' order.

    Tasks are taken from the iterable on one thread of its own (so that a video can be decoded there
    while faces are detected in its frames elsewhere), at most `in_flight` beyond the one whose
    result was last asked for: memory does not grow with their number. Closing the generator ends
    the threads.

    Args:
        tasks: work to do; each call is made on some thread.
        workers: number of threads that work; None: one a processor, at most 16.
        in_flight: how many tasks may be running or waiting to be yielded; None: `workers` + 4.

    Raises:
        BaseException: whatever the iterable or a task raises, in its place in the order.
    """
    workers = max(1, workers or min(os.cpu_count() or 1, _MAX_WORKERS))
    # No semaphore, event or future on this side: Ctrl-C between the taking of their inner lock and
    # the block that lets go of it would leave it taken, and what waits for it would wait for ever.
    room: queue.SimpleQueue[None] = queue.SimpleQueue()
    waiting: queue.SimpleQueue[queue.SimpleQueue[_Outcome[Result]] | None] = queue.SimpleQueue()
    remaining = iter(tasks)
    stopped = False
    for _ in range(workers + _WAITING if in_flight is None else in_flight):
        room.put(None)

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            while room.get() is None and not stopped:
                task = next(remaining, None)
                if task is None:
                    waiting.put(None)
                    return
                coming: queue.SimpleQueue[_Outcome[Result]] = queue.SimpleQueue()
                pool.submit(_run, task, coming)
                waiting.put(coming)
        except BaseException as error:  # noqa: BLE001 - the reader of the results raises it
            failed: queue.SimpleQueue[_Outcome[Result]] = queue.SimpleQueue()
            failed.put(_Outcome(error=error))
            waiting.put(failed)

    with ThreadPoolExecutor(workers, thread_name_prefix="mien-worker") as pool:
        feeder = threading.Thread(target=feed, args=(pool,), name="mien-feeder", daemon=True)
        try:
            feeder.start()
            while (coming := waiting.get()) is not None:
                outcome = coming.get()
                del coming
                if outcome.error is not None:
                    raise outcome.error
                room.put(None)
                yield outcome.taken()
        finally:
            stopped = True
            room.put(None)
            if feeder.is_alive():
                feeder.join()
            pool.shutdown(wait=True, cancel_futures=True)


@dataclass
class _Outcome(Generic[Result]):
    """What a task returned, or raised."""

    result: list[Result] = field(default_factory=list)
    """One, until it is taken."""
    error: BaseException | None = None

    def taken(self) -> Result:
        """Return the result and hold it no longer."""
        return self.result.pop()


def _run(task: Callable[[], Result], outcome: queue.SimpleQueue[_Outcome[Result]]) -> None:
    try:
        outcome.put(_Outcome([task()]))
    except BaseException as error:  # noqa: BLE001 - the reader of the results raises it
        outcome.put(_Outcome(error=error))
