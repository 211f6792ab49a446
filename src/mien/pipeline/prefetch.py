"""Do work ahead on threads, hand it over in order, never more than a few pieces at a time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

__all__ = ["prefetch"]

Result = TypeVar("Result")


def prefetch(
    tasks: Iterator[Callable[[], Result]], *, workers: int, ahead: int
) -> Iterator[Result]:
    """Run tasks on threads and yield their results in the tasks' order.

    Tasks are drawn from the iterator on one thread of its own (so that a video can be decoded there
    while its frames are searched elsewhere), at most `ahead` beyond the one whose result was last
    asked for: memory does not grow with their number.

    Args:
        tasks: work to do; each call is made on some thread.
        workers: number of threads that work.
        ahead: how many tasks may be under way or waiting to be yielded.

    Raises:
        BaseException: whatever the iterator or a task raises, in its place in the order.
    """
    room = threading.Semaphore(ahead)
    stopped = threading.Event()
    waiting: queue.SimpleQueue[Future[Result] | None] = queue.SimpleQueue()

    def feed(pool: ThreadPoolExecutor) -> None:
        try:
            while room.acquire() and not stopped.is_set():
                task = next(tasks, None)
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
