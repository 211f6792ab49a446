"""The nearest codes, exactly: coarse distances by faiss, then all candidates ranked by both bytes.

faiss compares the high bytes as whole numbers (a flat index; L2, which orders vectors of length one
as their cosine does); the candidates, 200 or more, are then ranked by cosines in float32 of both
bytes, and only theirs are read from the disk again. Without faiss NumPy finds the candidates.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mien.search.codes import Codes, decode, encode

__all__ = ["Engine", "engine_name"]

_CANDIDATES = 200
_MANY = 4
"""Candidates for each face that is asked for."""
_MOST = 4096
"""Candidates that faiss is asked for; more are found by NumPy."""
_SMALL_SHARD = 16384
_QUERIES = 256
"""Queries at a time, which bounds the memory of their products."""
_PIECE = 8192
"""Candidates ranked at a time."""

Positions = NDArray[np.int64]
Cosines = NDArray[np.float32]


def engine_name() -> Literal["faiss", "numpy"]:
    """Return what searches here."""
    return "faiss" if importlib.util.find_spec("faiss") else "numpy"


class Engine:
    """Codes made ready to be searched."""

    def __init__(self, codes: Codes, *, name: Literal["faiss", "numpy"] | None = None) -> None:
        self._codes = codes
        self.name = name or engine_name()
        """faiss or numpy."""
        self._shards: list[tuple[int, Any]] = []
        self._pool: ThreadPoolExecutor | None = None

    def nearest(self, unit: NDArray[np.float32], top: int) -> tuple[Positions, Cosines]:
        """Return the positions of the nearest codes and their cosines, best first. Each [Q, K].

        Args:
            unit: vectors of length one. [Q, D].
            top: how many; K is this, or all that there are.
        """
        top = min(top, len(self._codes))
        wanted = min(max(_CANDIDATES, _MANY * top), len(self._codes))
        fast = self.name == "faiss" and wanted <= _MOST
        candidates = self._by_faiss if fast else self._by_numpy
        found = []
        for start in range(0, len(unit), _QUERIES):
            asked = unit[start : start + _QUERIES]
            found.append(self._ranked(candidates(asked, wanted), asked, top))
        empty = (np.empty((0, top), np.int64), np.empty((0, top), np.float32))
        positions, cosines = zip(empty, *found, strict=True)
        return np.concatenate(positions), np.concatenate(cosines)

    def _by_numpy(self, unit: NDArray[np.float32], wanted: int) -> Positions:
        """Return candidates by products with the high bytes. [Q, wanted]."""
        positions = np.empty((len(unit), 0), np.int64)
        products = np.empty((len(unit), 0), np.float32)
        start = 0
        for chunk in self._codes.chunks():
            these = unit @ chunk[:, 0].astype(np.float32).T
            rows = np.broadcast_to(np.arange(start, start + len(chunk)), these.shape)
            start += len(chunk)
            positions, products = _largest(
                np.concatenate([positions, rows], axis=1),
                np.concatenate([products, these], axis=1),
                wanted,
            )
        return positions

    def _by_faiss(self, unit: NDArray[np.float32], wanted: int) -> Positions:
        """Return candidates by distances of the high bytes. [Q, wanted]."""
        if self._pool is None:
            self._load()
        assert self._pool is not None
        coarse = encode(unit)[:, 0].astype(np.float32)

        def work(shard: tuple[int, Any]) -> tuple[NDArray[np.float32], Positions]:
            start, index = shard
            distances, rows = index.search(coarse, min(wanted, index.ntotal))
            return distances, rows + start

        found = list(self._pool.map(work, self._shards))
        distances = np.concatenate([one[0] for one in found], axis=1)
        positions = np.concatenate([one[1] for one in found], axis=1)
        return _largest(positions, -distances, wanted)[0]

    def _ranked(
        self, positions: Positions, unit: NDArray[np.float32], top: int
    ) -> tuple[Positions, Cosines]:
        """Return the best candidates by both bytes, best first; ties by position. Each [Q, top]."""
        cosines = np.empty(positions.shape, np.float32)
        for query, candidates in enumerate(positions):
            for start in range(0, len(candidates), _PIECE):
                piece = candidates[start : start + _PIECE]
                near = decode(self._codes.take(piece))
                cosines[query, start : start + _PIECE] = near @ unit[query]
        positions, cosines = _largest(positions, cosines, top)
        order = np.lexsort((positions, -cosines), axis=1)
        return np.take_along_axis(positions, order, 1), np.take_along_axis(cosines, order, 1)

    def _load(self) -> None:
        """Put the high bytes into faiss, a part for each processor."""
        import faiss

        count = len(self._codes)
        threads = max(1, min(_processors(), count // _SMALL_SHARD))
        # faiss shares queries among its threads, not codes: each part has one thread.
        set_threads: Callable[[int], None] = faiss.omp_set_num_threads
        self._pool = ThreadPoolExecutor(threads, initializer=set_threads, initargs=(1,))
        edges = np.linspace(0, count, threads + 1).astype(int).tolist()
        for start, stop in pairwise(edges):
            kind = faiss.ScalarQuantizer.QT_8bit_direct
            index = faiss.IndexScalarQuantizer(self._codes.dim, kind, faiss.METRIC_L2)
            for chunk in self._codes.chunks(start, stop):
                index.add_sa_codes(np.ascontiguousarray(chunk[:, 0]))
            self._shards.append((start, index))


def _largest(positions: Positions, values: Cosines, count: int) -> tuple[Positions, Cosines]:
    """Return the largest values of each row and where they are, in no order."""
    if values.shape[1] <= count:
        return positions, values
    chosen = np.argpartition(-values, count - 1, axis=1)[:, :count]
    return np.take_along_axis(positions, chosen, 1), np.take_along_axis(values, chosen, 1)


def _processors() -> int:
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
