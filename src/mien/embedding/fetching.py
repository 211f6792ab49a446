"""Inputs at addresses: fetched ahead, several at a time, so that nothing waits for the network."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby

from mien.errors import MienError
from mien.media.inputs import Source
from mien.media.remote import copied, fetch, too_large
from mien.media.remote_faults import LostError
from mien.pipeline.prefetch import prefetch
from mien.pipeline.read import Frame, read_still

__all__ = ["Fetched", "fetched", "on_disk"]

_AT_ONCE = 16
_AHEAD = 16
"""Files that wait to be read, of at most `mien.media.remote.IN_MEMORY` bytes each."""
_MOST_BYTES = 1 << 30
"""Of an image: it is no photograph beyond that."""


@dataclass(frozen=True, eq=False)
class Fetched:
    """An input, and what it holds where it is an image at an address."""

    number: int
    """Of the input."""
    source: Source
    content: bytes | MienError | None = None
    """None: it is to be read where it is, or is in memory; an error: why it cannot be read."""

    def still(self) -> Frame:
        """Return the input, an image, as a frame.

        Raises:
            MienError: it cannot be read.
        """
        source, content = self.source, self.content
        if isinstance(content, MienError):
            raise content
        if content is not None:
            return read_still(io.BytesIO(content), name=source.full_path)
        if source.remote is None:
            return read_still(source.full_path if source.image is None else source.image)
        if (source.remote.size or 0) > _MOST_BYTES:
            raise too_large(source.full_path, _MOST_BYTES)
        with copied(source.full_path, limit=_MOST_BYTES) as path, path.open("rb") as file:
            return read_still(file, name=source.full_path)


@contextlib.contextmanager
def on_disk(source: Source) -> Iterator[str]:
    """Give the path of an input, of one at an address that of a copy for a while.

    Raises:
        MienError: it cannot be had; or what is raised in the block, the copy called by its address.
    """
    if source.remote is None:
        yield source.full_path
        return
    with copied(source.full_path) as path:
        try:
            yield str(path)
        except MienError as error:
            raise MienError(str(error).replace(str(path), source.full_path)) from error


def fetched(sources: Iterable[tuple[int, Source]]) -> Generator[Fetched]:
    """Yield inputs with their numbers, those at addresses fetched; the rest passes through."""
    for remote, group in groupby(sources, key=lambda each: each[1].remote is not None):
        if not remote:
            yield from (Fetched(number, source) for number, source in group)
            continue
        tasks = (partial(_fetch, number, source) for number, source in group)
        ahead = prefetch(tasks, workers=_AT_ONCE, in_flight=_AT_ONCE + _AHEAD)
        with contextlib.closing(ahead):
            yield from ahead


def _fetch(number: int, source: Source) -> Fetched:
    """Fetch an image; a video is copied when its turn comes, for it may be large."""
    size = None if source.remote is None else source.remote.size
    if source.kind != "image":
        return Fetched(number, source)
    try:
        return Fetched(number, source, fetch(source.full_path, size))
    except LostError:
        raise
    except MienError as error:
        return Fetched(number, source, error)
