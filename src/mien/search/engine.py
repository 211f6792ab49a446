"""The nearest codes, exactly: a coarse look at all by faiss, then candidates ranked by both bytes.

The candidates, 1,024 or more, are ranked by cosines in float32, and only theirs are read from the
disk again. How far the coarse cosines are off is seen in the candidates. Where one that was left
out might belong to the best all the same, more are taken, at last all. Without faiss NumPy compares
all by both bytes.
"""

from __future__ import annotations

import importlib.util
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from mien.search.coarse import Coarse
from mien.search.codes import HALF, Codes, decode, largest

__all__ = ["Engine", "engine_name"]

_CANDIDATES = 1024
_MANY = 4
"""Candidates for each face that is asked for; also by how many times more are taken next."""
_MOST = 16384
"""Candidates that faiss is asked for; if they are not enough, NumPy compares all."""
_SURE = 5.0
"""Standard errors of the coarse cosine between the last of the best and the last candidate."""
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
        left = np.arange(len(unit))
        wanted = max(_CANDIDATES, _MANY * top)
        while self.name == "faiss" and len(left) and wanted <= min(_MOST, len(self._codes) - 1):
            if self._coarse is None:
                self._coarse = Coarse(self._codes)
            candidates, near = self._coarse.nearest(unit[left], wanted)
            exact = self._cosines(candidates, unit[left])
            found = _best(candidates, exact, top)
            sure = _is_sure(near, exact, found[1][:, -1])
            positions[left[sure]], cosines[left[sure]] = found[0][sure], found[1][sure]
            left, wanted = left[~sure], wanted * _MANY
        if len(left):
            candidates = self._by_numpy(unit[left], top)
            exact = self._cosines(candidates, unit[left])
            positions[left], cosines[left] = _best(candidates, exact, top)
        return positions, cosines

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
        """Return the candidates' cosines by both bytes; -infinity at position -1. [Q, K]."""
        cosines = np.empty(positions.shape, np.float32)
        for query, candidates in enumerate(positions):
            for start in range(0, len(candidates), _PIECE):
                piece = candidates[start : start + _PIECE]
                near = decode(self._codes.take(piece))
                cosines[query, start : start + _PIECE] = near @ unit[query]
        cosines[positions < 0] = -np.inf
        return cosines


def _best(positions: Positions, cosines: Cosines, top: int) -> tuple[Positions, Cosines]:
    """Return the best candidates, best first; ties by position. Each [Q, top]."""
    positions, cosines = largest(positions, cosines, top)
    order = np.lexsort((positions, -cosines), axis=1)
    return np.take_along_axis(positions, order, 1), np.take_along_axis(cosines, order, 1)


def _is_sure(near: Cosines, exact: Cosines, worst: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return for which queries nothing that was left out can belong to the best. [Q].

    Args:
        near: coarse cosines of the candidates. [Q, K].
        exact: their cosines. [Q, K].
        worst: the last cosine of the best. [Q].
    """
    whole = np.isfinite(near).all(axis=1)
    off = np.where(whole[:, None], near - exact, 0)
    error = np.sqrt((off.astype(np.float64) ** 2).mean(axis=1))
    return whole & (worst - near.min(axis=1) >= _SURE * error)
