"""Unit vectors as two bytes a number: a coarse one to search by, a fine one to rank by.

    u = floor((x + 1) * 2^15), clipped to 0 .. 65535;  high = u div 256, low = u mod 256

x lies in [-1, 1]. The high bytes alone are the 8-bit code of a scalar quantiser: off by 1/256 at
most. Both together are off by 1/65536 at most.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Codes", "decode", "encode"]

_HALF = 1 << 15
_CHUNK = 8192


def encode(unit: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the high bytes and the low bytes of unit vectors. [N, D] => [N, 2, D]."""
    numbers = np.clip(np.floor((unit + 1) * _HALF), 0, 2 * _HALF - 1).astype(np.uint16)
    return np.stack([numbers >> 8, numbers & 255], axis=1).astype(np.uint8)


def decode(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vectors that codes stand for: the middle of what was rounded. [..., 2, D]."""
    numbers = codes[..., 0, :].astype(np.float32) * 256 + codes[..., 1, :]
    return (numbers + np.float32(0.5 - _HALF)) / np.float32(_HALF)


@dataclass(frozen=True, eq=False)
class Codes:
    """The codes of an index: on disk, mapped, then those that were added; some may be left out."""

    dim: int
    """D."""
    parts: tuple[tuple[NDArray[np.uint8], NDArray[np.int64] | None], ...] = ()
    """Codes [N, 2, D], and which of them count; None: all."""

    def __len__(self) -> int:
        return sum(_length(part) for part in self.parts)

    def plus(self, codes: NDArray[np.uint8]) -> Codes:
        """Return these and some more."""
        return Codes(self.dim, (*self.parts, (codes, None)))

    def only(self, kept: NDArray[np.bool_]) -> Codes:
        """Return those that are kept. Bool [N]."""
        parts, start = [], 0
        for codes, chosen in self.parts:
            rows = np.arange(len(codes)) if chosen is None else chosen
            parts.append((codes, rows[kept[start : start + len(rows)]]))
            start += len(rows)
        return Codes(self.dim, tuple(parts))

    def take(self, positions: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Return the codes at some positions. [K] => [K, 2, D]."""
        found = np.empty((len(positions), 2, self.dim), dtype=np.uint8)
        start = 0
        for codes, chosen in self.parts:
            stop = start + _length((codes, chosen))
            here = (positions >= start) & (positions < stop)
            rows = positions[here] - start
            found[here] = codes[rows if chosen is None else chosen[rows]]
            start = stop
        return found

    def chunks(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint8]]:
        """Yield the codes from one position to before another, some thousand at a time."""
        stop = len(self) if stop is None else stop
        first = 0
        for codes, chosen in self.parts:
            length = _length((codes, chosen))
            for at in range(max(start - first, 0), min(stop - first, length), _CHUNK):
                rows = slice(at, min(at + _CHUNK, stop - first, length))
                yield codes[rows] if chosen is None else codes[chosen[rows]]
            first += length


def _length(part: tuple[NDArray[np.uint8], NDArray[np.int64] | None]) -> int:
    return len(part[0]) if part[1] is None else len(part[1])
