"""Run tasks on threads before their results are asked for; results in order, memory bounded."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

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
    feed = _Feed(tasks, workers + _WAITING if in_flight is None else in_flight)
    with ThreadPoolExecutor(workers, thread_name_prefix="mien-worker") as pool:
        feeder = threading.Thread(target=feed.run, args=(pool,), name="mien-feeder", daemon=True)
        try:
            feeder.start()
            while (coming := feed.waiting.get()) is not None:
                outcome = coming.get()
                if outcome.error is not None:
                    raise outcome.error
                feed.room.put(None)
                yield outcome.taken()
        finally:
            feed.stopped = True
            feed.room.put(None)
            if feeder.is_alive():
                feeder.join()
            pool.shutdown(wait=True, cancel_futures=True)


class _Feed(Generic[Result]):
    """Takes tasks as long as there is room, and hands them to a pool of threads.

    Made of queues in C, not of semaphores, events and futures: Ctrl-C between the taking of their
    inner lock and the block that lets go of it would leave it taken, and what waits for it would
    wait for ever.
    """

    def __init__(self, tasks: Iterable[Callable[[], Result]], in_flight: int) -> None:
        self._remaining = iter(tasks)
        self.room: queue.SimpleQueue[None] = queue.SimpleQueue()
        """One item for each task that may be taken."""
        self.waiting: queue.SimpleQueue[_Coming[Result] | None] = queue.SimpleQueue()
        """Where the outcome of each task comes, in the tasks' order; None: there are no more."""
        self.stopped = False
        for _ in range(in_flight):
            self.room.put(None)

    def run(self, pool: ThreadPoolExecutor) -> None:
        try:
            while self.room.get() is None and not self.stopped:
                task = next(self._remaining, None)
                if task is None:
                    self.waiting.put(None)
                    return
                coming: _Coming[Result] = queue.SimpleQueue()
                pool.submit(_run, task, coming)
                self.waiting.put(coming)
        except BaseException as error:  # noqa: BLE001 - the reader of the results raises it
            failed: _Coming[Result] = queue.SimpleQueue()
            failed.put(_Outcome(error=error))
            self.waiting.put(failed)


@dataclass
class _Outcome(Generic[Result]):
    """What a task returned, or raised."""

    result: list[Result] = field(default_factory=list)
    """One, until it is taken."""
    error: BaseException | None = None

    def taken(self) -> Result:
        """Return the result and hold it no longer."""
        return self.result.pop()


_Coming: TypeAlias = "queue.SimpleQueue[_Outcome[Result]]"


def _run(task: Callable[[], Result], outcome: _Coming[Result]) -> None:
    try:
        outcome.put(_Outcome([task()]))
    except BaseException as error:  # noqa: BLE001 - the reader of the results raises it
        outcome.put(_Outcome(error=error))
