"""From an image's bytes to its faces: decoded and cropped on threads, encoded in micro-batches."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from mien.errors import MienError
from mien.faces.detect import single_threaded_opencv
from mien.faces.face import Face
from mien.media.image import image_size
from mien.model import Model
from mien.pipeline.analyze import AnalyzedFace, find_crops, join
from mien.pipeline.crops import Crop, Cropper
from mien.serve.batching import BatchEncoder
from mien.serve.errors import ApiError
from mien.serve.metrics import Metrics
from mien.serve.options import ServeOptions
from mien.types import Factors

__all__ = ["Engine", "Seen", "chosen", "largest"]

Result = TypeVar("Result")
_Read = tuple[tuple[int, int], list[tuple[Crop, Face]], list[Future[Factors]]]
"""Size of an image, its faces, and their factors to come."""

_MAX_WORKERS = 8
_MAX_FITS = 4


@dataclass(frozen=True, eq=False)
class Seen:
    """An image and its faces."""

    width: int
    """Pixels, as in the file: before it is turned as its EXIF says."""
    height: int
    faces: list[AnalyzedFace]
    """From left to right."""


class Engine:
    """One model and its threads, for all requests."""

    def __init__(self, model: Model, options: ServeOptions, metrics: Metrics) -> None:
        """Open the detector and start the threads.

        Raises:
            MienError: the detector cannot be had here.
        """
        self.model = model
        self._options, self._metrics = options, metrics
        self._cropper = Cropper.open(options.detector, model.crop_size)
        self._open = contextlib.ExitStack()
        self._open.enter_context(single_threaded_opencv(self._cropper.detector))
        workers = min(os.cpu_count() or 1, _MAX_WORKERS)
        self._readers = ThreadPoolExecutor(workers, thread_name_prefix="mien-reader")
        # Compiled loops that share their threads may not be entered from two places at once.
        self._renderer = ThreadPoolExecutor(1, thread_name_prefix="mien-renderer")
        self._fitter = ThreadPoolExecutor(1, thread_name_prefix="mien-fitter")
        self._encoder = BatchEncoder(
            model,
            size=options.batch_size,
            wait_s=options.batch_wait_ms / 1000,
            room=max(options.max_faces, 2 * options.batch_size),
            on_batch=metrics.batch.observe,
            deliver=self._on_loop,
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room, self._fits = options.max_queue, _MAX_FITS

    @property
    def detector(self) -> str:
        """Return the name of the detector in use."""
        return self._cropper.detector.name

    async def see(
        self,
        data: bytes,
        *,
        name: str = "the image",
        photograph: bool = True,
        features: bool = False,
    ) -> Seen:
        """Return the faces of an image.

        Args:
            data: an image file.
            name: what errors call it.
            photograph: look for faces that are not upright, too, where no other is found.
            features: read the encoders' features too.

        Raises:
            ApiError: as much is waiting as may wait; the image is too large, cannot be read, or
                shows too many faces.
        """
        self._loop = asyncio.get_running_loop()
        with self.place():
            work = self._readers.submit(
                self._read, data, name, photograph=photograph, features=features
            )
            size, found, parts = await _Reading(work).result()
            factors = [part.result() for part in parts]
        self._metrics.images.inc()
        self._metrics.faces.inc(len(found))
        if not found:
            return Seen(*size, [])
        return Seen(*size, join([(0, crop, face) for crop, face in found], Factors.cat(factors)))

    async def render(self, work: Callable[[], Result]) -> Result:
        """Run work that renders, one at a time.

        Raises:
            ApiError: as much is waiting as may wait.
        """
        with self.place():
            return await asyncio.wrap_future(self._renderer.submit(work))

    async def fit(self, work: Callable[[], Result]) -> Result:
        """Run work that learns, one at a time.

        Raises:
            ApiError: as much is waiting as may wait.
        """
        if not self._fits:
            raise ApiError("busy", "other fits are running; try again soon", retry_after_s=5)
        self._fits -= 1
        try:
            return await asyncio.wrap_future(self._fitter.submit(work))
        finally:
            self._fits += 1

    def close(self) -> None:
        """End the threads when what they were given is done."""
        for pool in (self._readers, self._renderer, self._fitter):
            pool.shutdown(wait=True)
        self._encoder.close()
        self._open.close()

    @contextlib.contextmanager
    def place(self) -> Iterator[None]:
        """Hold one of the fixed number of places; only the event loop's thread comes here."""
        if not self._room:
            raise ApiError(
                "busy",
                f"{self._options.max_queue} images are waiting; try again soon",
                retry_after_s=1,
            )
        self._room -= 1
        self._metrics.queue.inc()
        try:
            yield
        finally:
            self._room += 1
            self._metrics.queue.dec()

    def _on_loop(self, work: Callable[[], None]) -> None:
        """Have work done on the event loop's thread, at once where there is none any more."""
        try:
            assert self._loop is not None
            self._loop.call_soon_threadsafe(work)
        except RuntimeError:  # it is closed
            work()

    def _read(self, data: bytes, name: str, *, photograph: bool, features: bool) -> _Read:
        """Decode, detect, crop, and put the crops into the encoder's line."""
        size = self.check(data, name)
        try:
            found = find_crops(io.BytesIO(data), self._cropper, name=name, photograph=photograph)
        except MienError as error:
            raise ApiError("unreadable_image", str(error)) from error
        if len(found) > self._options.max_faces:
            raise ApiError(
                "too_many_faces",
                f"{name} shows {len(found)} faces; up to {self._options.max_faces} are taken",
            )
        pixels = [crop.pixels for crop, _ in found]
        return size, found, self._encoder.submit(pixels, features=features)

    def check(self, data: bytes, name: str = "the image") -> tuple[int, int]:
        """Return width and height of an image that may be decoded, by its head alone.

        Raises:
            ApiError: it has too many bytes or pixels, or is no image.
        """
        if len(data) > self._options.image_bytes:
            raise ApiError(
                "image_too_large",
                f"{name} has {len(data):,} bytes; up to {self._options.image_bytes:,} are taken",
            )
        try:
            width, height = image_size(io.BytesIO(data), name=name)
        except MienError as error:
            raise ApiError("unreadable_image", str(error)) from error
        if width * height > self._options.image_pixels:
            raise ApiError(
                "too_many_pixels",
                f"{name} has {width} x {height} pixels; up to {self._options.image_pixels:,} in "
                "all are decoded",
            )
        return width, height


class _Reading:
    """An image that is read and then encoded; wakes the event loop once, when both are done."""

    def __init__(self, work: Future[_Read]) -> None:
        """Wait for work on the running event loop."""
        self._work, self._loop = work, asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._done: asyncio.Future[None] = self._loop.create_future()
        work.add_done_callback(self._was_read)

    async def result(self) -> _Read:
        """Return what was read; where the caller is cancelled, what has not begun is left out."""
        try:
            await self._done
        except asyncio.CancelledError:
            self._work.cancel()
            if self._work.done():
                for part in self._parts():
                    part.cancel()
            raise
        return self._work.result()

    def _parts(self) -> list[Future[Factors]]:
        failed = self._work.cancelled() or self._work.exception() is not None
        return [] if failed else self._work.result()[2]

    def _was_read(self, _: Future[_Read]) -> None:
        for part in self._parts():
            part.add_done_callback(self._was_encoded)
        if not self._parts():
            self._was_encoded()

    def _was_encoded(self, _: Future[Factors] | None = None) -> None:
        if not all(part.done() for part in self._parts()):
            return
        if threading.get_ident() == self._thread:
            self._tell()
        else:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        if not self._done.done():
            self._done.set_result(None)


def chosen(faces: list[AnalyzedFace], number: int | None, name: str = "the image") -> AnalyzedFace:
    """Return the face of this number, from 0 at the left; None: the largest.

    Raises:
        ApiError: there is none.
    """
    if number is None:
        return largest(faces, name)
    if number >= len(faces):
        raise ApiError("no_face", f"{name} shows {len(faces)} faces, counted from 0 at the left")
    return faces[number]


def largest(faces: list[AnalyzedFace], name: str = "the image") -> AnalyzedFace:
    """Return the face with the largest box.

    Raises:
        ApiError: there is none.
    """
    if not faces:
        raise ApiError("no_face", f"no face is found in {name}; give an image that shows one")

    def area(face: AnalyzedFace) -> float:
        x1, y1, x2, y2 = face.box
        return (x2 - x1) * (y2 - y1)

    return max(faces, key=area)
