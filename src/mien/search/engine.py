"""The nearest codes, exactly: a coarse look at all by faiss, then candidates ranked by both bytes.

The candidates, 512 or more, are ranked by cosines in float32, and only theirs are read from the
disk again. How far the coarse cosines are off is seen in the nearest; candidates that cannot belong
to the best are not even read. Where one that is no candidate might belong to them, more are taken,
at last all. Without faiss NumPy compares all by both bytes.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.search.coarse import Coarse
from mien.search.codes import HALF, Codes, decode, largest

__all__ = ["Engine", "engine_name"]

_CANDIDATES = 512
_MANY = 4
"""Candidates for each face that is asked for; also by how many times more are taken next."""
_MOST = 16384
"""Candidates that faiss is asked for; if they are not enough, NumPy compares all."""
_MORE = 44
"""Candidates, besides as many as are asked for, that show how far the coarse cosines are off."""
_SURE = 6.0
"""Standard errors of the coarse cosine between the last of the best and what is left out."""
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
        self._coarse: Coarse | None = None

    def nearest(self, unit: NDArray[np.float32], top: int) -> tuple[Positions, Cosines]:
        """Return the positions of the nearest codes and their cosines, best first. Each [Q, K].

        Args:
            unit: vectors of length one. [Q, D].
            top: how many; K is this, or all that there are.
        """
        top = min(top, len(self._codes))
        positions = np.empty((len(unit), top), np.int64)
        cosines = np.empty((len(unit), top), np.float32)
        for start in range(0, len(unit), _QUERIES):
            some = slice(start, start + _QUERIES)
            positions[some], cosines[some] = self._nearest(unit[some], top)
        return positions, cosines

    def _nearest(self, unit: NDArray[np.float32], top: int) -> tuple[Positions, Cosines]:
        positions = np.empty((len(unit), top), np.int64)
        cosines = np.empty((len(unit), top), np.float32)
        left = list(range(len(unit)))
        wanted = max(_CANDIDATES, _MANY * top)
        while self.name == "faiss" and left and wanted <= min(_MOST, len(self._codes) - 1):
            if self._coarse is None:
                self._coarse = Coarse(self._codes)
            unsure: list[int] = []
            candidates, near = self._coarse.nearest(unit[left], wanted)
            for row, query in enumerate(left):
                best = self._best_of(candidates[row], near[row], unit[query], top)
                if best is None:
                    unsure.append(query)
                else:
                    positions[query], cosines[query] = best
            left, wanted = unsure, wanted * _MANY
        if left:
            for query, candidates in zip(left, self._by_numpy(unit[left], top), strict=True):
                exact = self._cosines(candidates, unit[query])
                positions[query], cosines[query] = _best(candidates, exact, top)
        return positions, cosines

    def _best_of(
        self, positions: Positions, near: Cosines, unit: NDArray[np.float32], top: int
    ) -> tuple[Positions, Cosines] | None:
        """Return the best candidates of one query; None if one that was left out may be better.

        Args:
            positions: of the candidates; -1: there is none. [K].
            near: their coarse cosines. [K].
            unit: the query. [D].
            top: how many.
        """
        order = np.argsort(-near)
        positions, near = positions[order], near[order]
        if positions[-1] < 0:
            return None
        first = top + _MORE
        exact = self._cosines(positions[:first], unit)
        error = float(np.sqrt(np.mean((near[:first] - exact).astype(np.float64) ** 2)))
        worst = np.partition(exact, -top)[-top]
        # Of the others only those whose cosine may be larger than the worst are read.
        needed = int(np.count_nonzero(near >= worst - _SURE * error))
        if needed == len(near):
            return None
        if needed > first:
            exact = np.concatenate([exact, self._cosines(positions[first:needed], unit)])
        return _best(positions[: len(exact)], exact, top)

    def _by_numpy(self, unit: NDArray[np.float32], top: int) -> Positions:
        """Return the nearest of all by products with both bytes, in no order. [Q, top]."""
        positions = np.empty((len(unit), 0), np.int64)
        products = np.empty((len(unit), 0), np.float32)
        both = np.concatenate([unit * 256, unit], axis=1)
        offset = unit.sum(axis=1, keepdims=True) * (0.5 - HALF)
        start = 0
        for chunk in self._codes.chunks():
            these = both @ chunk.reshape(len(chunk), -1).astype(np.float32).T + offset
            rows = np.broadcast_to(np.arange(start, start + len(chunk)), these.shape)
            start += len(chunk)
            positions, products = largest(
                np.concatenate([positions, rows], axis=1),
                np.concatenate([products, these], axis=1),
                top,
            )
        return positions

    def _cosines(self, positions: Positions, unit: NDArray[np.float32]) -> Cosines:
        """Return the cosines of some codes and a query by both bytes. [K], [D] => [K]."""
        cosines = np.empty(len(positions), np.float32)
        for start in range(0, len(positions), _PIECE):
            piece = positions[start : start + _PIECE]
            cosines[start : start + _PIECE] = decode(self._codes.take(piece)) @ unit
        return cosines


def _best(positions: Positions, cosines: Cosines, top: int) -> tuple[Positions, Cosines]:
    """Return the best of some candidates, best first; ties by position. Each [top]."""
    order = np.lexsort((positions, -cosines))[:top]
    return positions[order], cosines[order]
