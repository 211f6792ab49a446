"""Micro-batches: what single requests bring is encoded together.

Jobs wait in a line. The encoder's thread takes the first, waits for others unless it has waited
already, and encodes them all at once. Whoever brings more than there is room for waits for it:
nothing grows.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from mien.pipeline.encode import Encoder, encode_crops
from mien.types import Factors

__all__ = ["BatchEncoder"]

Crops = Sequence[NDArray[np.uint8]]


@dataclass(eq=False)
class _Job:
    crops: Crops
    features: bool
    done: Future[Factors] = field(default_factory=Future)
    came: float = field(default_factory=time.monotonic)


class BatchEncoder:
    """One model on one thread, which encodes the crops of several images at a time."""

    def __init__(
        self,
        model: Encoder,
        *,
        size: int,
        wait_s: float,
        room: int,
        on_batch: Callable[[int], None] = lambda _: None,
        deliver: Callable[[Callable[[], None]], None] = lambda hand_out: hand_out(),
    ) -> None:
        """Start the thread.

        Args:
            model: encodes.
            size: crops in a batch at most.
            wait_s: how long the first crop of a batch waits for others. Seconds.
            room: crops that may wait.
            on_batch: is told the number of crops of each batch.
            deliver: is given what hands out a batch's factors, to be called on another thread:
                else the encoder would wait for whoever waits for them.
        """
        self._model, self._size, self._wait_s = model, size, wait_s
        self._room, self._on_batch, self._deliver = max(room, size), on_batch, deliver
        self._jobs: deque[_Job] = deque()
        self._waiting = 0
        self._closed = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="mien-encoder", daemon=True)
        self._thread.start()

    def submit(self, crops: Crops, *, features: bool = False) -> list[Future[Factors]]:
        """Put the crops of one image into the line; blocks while there is no room.

        Args:
            crops: RGB uint8, as large as the model wants them.
            features: read the encoders' features too.

        Returns:
            The factors to come, in the crops' order, a part of at most a batch each.

        Raises:
            RuntimeError: it is closed.
        """
        parts = [crops[i : i + self._size] for i in range(0, len(crops), self._size)]
        jobs = [_Job(part, features) for part in parts]
        for job in jobs:
            with self._changed:
                while self._waiting + len(job.crops) > self._room and not self._closed:
                    self._changed.wait()
                if self._closed:
                    raise RuntimeError("the encoder is closed")
                self._jobs.append(job)
                self._waiting += len(job.crops)
                self._changed.notify_all()
        return [job.done for job in jobs]

    def close(self) -> None:
        """Encode what waits, then end the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join()

    def _work(self) -> None:
        while taken := self._next():
            # Whoever has left waits for nothing, and nothing is told to them.
            batch = [job for job in taken if job.done.set_running_or_notify_cancel()]
            if not batch:
                continue
            try:
                self._encode(batch)
            except Exception:  # noqa: BLE001 - whichever image it is, the others are well
                for job in batch:
                    self._encode_alone(job)

    def _next(self) -> list[_Job]:
        """Return the jobs of the next batch; none at the end."""
        with self._changed:
            while not self._jobs and not self._closed:
                self._changed.wait()
            # What came while others were encoded has waited already.
            until = self._jobs[0].came + self._wait_s if self._jobs else 0.0
            while self._waiting < self._size and not self._closed:
                left = until - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    break
            batch: list[_Job] = []
            count = 0
            while self._jobs and count + len(self._jobs[0].crops) <= self._size:
                batch.append(self._jobs.popleft())
                count += len(batch[-1].crops)
            self._waiting -= count
            self._changed.notify_all()
            return batch

    def _encode(self, batch: list[_Job]) -> None:
        crops = [crop for job in batch for crop in job.crops]
        names = [f"face {i}" for i in range(len(crops))]
        features = any(job.features for job in batch)
        self._on_batch(len(crops))
        factors = encode_crops(crops, self._model, names=names, features=features)
        assert isinstance(factors, Factors)
        self._deliver(partial(_hand_out, batch, factors))

    def _encode_alone(self, job: _Job) -> None:
        try:
            self._encode([job])
        except Exception as error:  # noqa: BLE001 - whoever asked is told
            job.done.set_exception(error)


def _hand_out(batch: list[_Job], factors: Factors) -> None:
    """Give each job the factors of its crops."""
    start = 0
    for job in batch:
        own = factors[start : start + len(job.crops)]
        start += len(job.crops)
        job.done.set_result(own if job.features else replace(own, features=None))
