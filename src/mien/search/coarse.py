"""Codes of four bits a number, compared by faiss: a fast first look at all faces.

    n = 0 .. 15:  number of the step of a dimension;  its value = first + (n + 0.5) step

First and step are of the dimension: the steps divide the range of a sample. Narrower ones would err
less on most numbers, but where a face and its like share a number beyond them, all on one side.

One query reads every code once: half a byte a number, where float32 has four. faiss adds up values
that it looks up in tables of the query (its fast scan of product quantisers, of one number each).
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engines.side_by_side import cores
from mien.search.codes import HALF, Codes, largest, numbers

__all__ = ["Coarse"]

_STEPS = 16
_SAMPLE = 4096
_SMALL_SHARD = 16384
_ONE_QUERY, _SEVERAL = 15, 0
"""faiss's numbers of its loops over the codes: faster for one query; its own choice."""
_ROWS = 1024
"""Codes packed at a time: as many as fit into a processor's cache."""


class Coarse:
    """Codes in memory, half a byte a number, a part for each processor."""

    def __init__(self, codes: Codes) -> None:
        import faiss

        self._faiss: Any = faiss  # whose classes pyright does not see
        count = len(codes)
        sample = numbers(codes.take(np.linspace(0, count - 1, min(count, _SAMPLE)).astype(int)))
        least, most = sample.min(axis=0), sample.max(axis=0)
        self._step = np.maximum((most - least) / _STEPS, 1)
        self._first = (most + least) / 2 - self._step * (_STEPS / 2)
        threads = max(1, min(cores(), count // _SMALL_SHARD))
        # faiss shares queries among its threads, not codes: each part has one thread.
        set_threads: Callable[[int], None] = faiss.omp_set_num_threads
        self._pool = ThreadPoolExecutor(threads, initializer=set_threads, initargs=(1,))
        edges = np.linspace(0, count, threads + 1).astype(int).tolist()
        parts = self._pool.map(lambda edge: self._part(codes, *edge), pairwise(edges))
        self._parts = list(zip(edges, parts, strict=False))

    def nearest(
        self, unit: NDArray[np.float32], wanted: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the positions that seem nearest, in no order, and their cosines, about.

        Positions are -1 and cosines -infinity where faiss leaves out what is far. Each [Q, K].

        Args:
            unit: vectors of length one. [Q, D].
            wanted: K, at most the number of codes.
        """

        def work(part: tuple[int, Any]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
            start, index = part
            index.implem = _ONE_QUERY if len(unit) == 1 else _SEVERAL
            near, rows = index.search(unit, min(wanted, index.ntotal))
            there = rows >= 0
            return np.where(there, rows + start, -1), np.where(there, near, -np.inf)

        found = list(self._pool.map(work, self._parts))
        positions, near = (np.concatenate(arrays, axis=1) for arrays in zip(*found, strict=True))
        return largest(positions, near, wanted)

    def _part(self, codes: Codes, start: int, stop: int) -> Any:
        """Return some of the codes as faiss scans them."""
        faiss, dim = self._faiss, codes.dim
        flat = faiss.IndexPQ(dim, dim, 4, faiss.METRIC_INNER_PRODUCT)
        middles = self._first[:, None] + self._step[:, None] * (np.arange(_STEPS) + 0.5)
        values = ((middles + 0.5 - HALF) / HALF).astype(np.float32)
        faiss.copy_array_to_vector(values.ravel(), flat.pq.centroids)
        flat.is_trained = True
        for chunk in codes.chunks(start, stop, rows=_ROWS):
            flat.add_sa_codes(self._packed(chunk))
        return faiss.IndexPQFastScan(flat)

    def _packed(self, chunk: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return the steps of codes, two in a byte. [N, 2, D] => [N, (D + 1) // 2]."""
        steps = numbers(chunk)
        steps -= self._first
        steps /= self._step
        np.clip(steps, 0, _STEPS - 1, out=steps)
        small = steps.astype(np.uint8)
        packed = small[:, 0::2].copy()
        odd = small[:, 1::2]
        packed[:, : odd.shape[1]] |= odd << 4
        return packed
