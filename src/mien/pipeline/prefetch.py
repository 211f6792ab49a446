"""Run tasks on threads before their results are asked for; results in order, memory bounded."""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

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
    room = threading.Semaphore(workers + _WAITING if in_flight is None else in_flight)
    stopped = threading.Event()
    waiting: queue.SimpleQueue[Future[Result] | None] = queue.SimpleQueue()
    remaining = iter(tasks)

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            while room.acquire() and not stopped.is_set():
                task = next(remaining, None)
                waiting.put(None if task is None else pool.submit(task))
                if task is None:
                    return
        except BaseException as error:  # noqa: BLE001 - the reader of the results raises it
            failed: Future[Result] = Future()
            failed.set_exception(error)
            waiting.put(failed)

    with ThreadPoolExecutor(workers, thread_name_prefix="mien-worker") as pool:
        feeder = threading.Thread(target=feed, args=(pool,), name="mien-feeder", daemon=True)
        feeder.start()
        try:
            while (future := waiting.get()) is not None:
                result = future.result()
                del future  # or the result would be held until the next one comes
                room.release()
                yield result
        finally:
            stopped.set()
            room.release()
            feeder.join()
            pool.shutdown(wait=True, cancel_futures=True)
