"""Pieces read on threads: results in order, progress reported, what is left out counted."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from mien.data.reading import NO_FACE
from mien.data.sources import Piece
from mien.errors import MienError
from mien.faces.detect import Detector, single_threaded_opencv
from mien.pipeline.prefetch import prefetch

__all__ = ["Progress", "Skipped", "read_pieces"]

T = TypeVar("T")


@dataclass(frozen=True)
class Skipped:
    """What was left out, by reason."""

    reasons: Counter[str] = field(default_factory=Counter)
    """How many."""
    examples: dict[str, str] = field(default_factory=dict)
    """The first of each."""

    def add(self, reason: str, name: str) -> None:
        """Count one more."""
        self.reasons[reason] += 1
        self.examples.setdefault(reason, name)

    @property
    def no_face(self) -> bool:
        """Whether faces were looked for in vain."""
        return NO_FACE in self.reasons

    def lines(self) -> Iterator[str]:
        """Yield a line for a person for each reason, the commonest first."""
        for reason, count in self.reasons.most_common():
            yield f"skipped {count:,}: {reason} (such as {self.examples[reason]})"

    def summary(self) -> str:
        """Return all reasons in a few words."""
        return ", ".join(f"{n} {reason}" for reason, n in self.reasons.items()) or "nothing given"


class Progress:
    """Reports every few seconds how far the pieces are."""

    def __init__(self, pieces: Sequence[Piece], report: Callable[[str], None]) -> None:
        self.pieces, self._report = pieces, report
        self._start = self._last = time.monotonic()

    def update(self, done: int) -> None:
        """Report that so many pieces are done, if it is time to."""
        now = time.monotonic()
        if now - self._last > 15:
            self._last = now
            left = (now - self._start) / done * (len(self.pieces) - done)
            self._report(f"caching: {done:,} of {len(self.pieces):,} files, {left:.0f} s left")


def read_pieces(
    pieces: Sequence[Piece],
    read: Callable[[Piece], T],
    detector: Detector,
    skipped: Skipped | None = None,
    progress: Progress | None = None,
    *,
    ahead: int = 8,
) -> Generator[tuple[Piece, T]]:
    """Yield pieces and what is made of them, in their order; a bad one is counted and left out.

    Args:
        pieces: to be read on threads.
        read: makes something of one; raises MienError with the bare reason where it cannot.
        detector: that `read` uses.
        skipped: where bad ones are counted.
        progress: told how far it is.
        ahead: how many results may wait, for each thread.
    """

    def attempt(piece: Piece) -> T | MienError:
        try:
            return read(piece)
        except MienError as error:
            return error

    workers = os.cpu_count() or 1
    tasks = (partial(attempt, piece) for piece in pieces)
    results = prefetch(tasks, workers=workers, in_flight=ahead * workers)
    with single_threaded_opencv(detector), contextlib.closing(results):
        for done, (piece, result) in enumerate(zip(pieces, results, strict=True), start=1):
            if not isinstance(result, MienError):
                yield piece, result
            elif skipped is not None:
                skipped.add(str(result), piece.name)
            if progress is not None:
                progress.update(done)
