"""Unit vectors as two bytes a number, all high bytes of a vector before its low ones.

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

__all__ = ["HALF", "Codes", "decode", "encode", "largest", "numbers"]

HALF = 1 << 15
"""What a number of 0 is written as, less the half that was rounded off."""
_CHUNK = 8192


def encode(unit: NDArray[np.floating[Any]]) -> NDArray[np.uint8]:
    """Return the high bytes and the low bytes of unit vectors. [N, D] => [N, 2, D]."""
    whole = np.clip(np.floor((unit + 1) * HALF), 0, 2 * HALF - 1).astype(np.uint16)
    return np.stack([whole >> 8, whole & 255], axis=1).astype(np.uint8)


def decode(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return the vectors that codes stand for: the middle of what was rounded. [..., 2, D]."""
    return (numbers(codes) + np.float32(0.5 - HALF)) / np.float32(HALF)


def numbers(codes: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return u, 0 .. 65535, of both bytes. [..., 2, D]."""
    return codes[..., 0, :].astype(np.float32) * 256 + codes[..., 1, :]


def largest(
    positions: NDArray[np.int64], values: NDArray[np.float32], count: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return the largest values of each row and where they are, in no order. Each [Q, K]."""
    if values.shape[1] <= count:
        return positions, values
    chosen = np.argpartition(-values, count - 1, axis=1)[:, :count]
    return np.take_along_axis(positions, chosen, 1), np.take_along_axis(values, chosen, 1)


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

    def chunks(
        self, start: int = 0, stop: int | None = None, *, rows: int = _CHUNK
    ) -> Iterator[NDArray[np.uint8]]:
        """Yield the codes from one position to before another, some thousand at a time."""
        stop = len(self) if stop is None else stop
        first = 0
        for codes, chosen in self.parts:
            length = _length((codes, chosen))
            for at in range(max(start - first, 0), min(stop - first, length), rows):
                some = slice(at, min(at + rows, stop - first, length))
                yield codes[some] if chosen is None else codes[chosen[some]]
            first += length


def _length(part: tuple[NDArray[np.uint8], NDArray[np.int64] | None]) -> int:
    return len(part[0]) if part[1] is None else len(part[1])
