"""Numbers and texts in Matlab's files, versions 5 to 7.2.

A file is a header of 128 bytes and then elements: a tag (type and number of bytes) and the data,
padded to 8 bytes. An element of type matrix holds elements again: flags with the class, dimensions,
name, and the values column after column. Read here, within bounds, because SciPy's reader ends the
whole process (bus error) on some files with one wrong byte, and unpacks without a bound.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["read_variables"]

Parts = list[tuple[int, bytes]]
"""Types and data of elements."""
_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
_CODINGS = {2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16"}
_CELL, _CHAR, _NUMBERS = 1, 4, range(6, 16)
_MOST_DIMENSIONS = 32


@dataclass(frozen=True)
class _File:
    order: str
    """< or >, as struct has it."""
    most: int
    """Bytes that one element unpacks to."""

    def elements(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield type and data of each element."""
        place = 0
        while place + 8 <= len(data):
            kind, length = struct.unpack_from(f"{self.order}II", data, place)
            start = place + 8
            if kind >> 16:  # a small element: both numbers in four bytes, the data in the next
                kind, length, start = kind & 0xFFFF, kind >> 16, place + 4
            if start + length > len(data):
                raise ValueError("it is cut off, or damaged")
            yield kind, data[start : start + length]
            end = start + length
            place = end if kind == _COMPRESSED else end + -end % 8

    def variables(self, data: bytes) -> Iterator[tuple[str, int, tuple[int, ...], Parts]]:
        """Yield what `matrix` gives of each."""
        for kind, inner in self.elements(data):
            if kind == _COMPRESSED:
                unpacked = zlib.decompressobj().decompress(inner, self.most + 1)
                if len(unpacked) > self.most:
                    raise ValueError(f"a variable unpacks to more than {self.most >> 20} MiB")
                yield from self.variables(unpacked)
            elif kind == _MATRIX:
                yield self.matrix(inner)

    def matrix(self, data: bytes) -> tuple[str, int, tuple[int, ...], Parts]:
        """Return name, class, shape and inner elements of a matrix."""
        parts = list(self.elements(data))
        if len(parts) < 3 or len(parts[0][1]) < 4:
            raise ValueError("a variable has no name")
        (flags,) = struct.unpack_from(f"{self.order}I", parts[0][1])
        shape = tuple(np.frombuffer(parts[1][1], f"{self.order}i4").tolist())
        if not 0 < len(shape) <= _MOST_DIMENSIONS or min(shape) < 0:
            raise ValueError(f"a variable claims to be of shape {shape}")
        return parts[2][1].decode("latin-1"), flags & 0xFF, shape, parts[3:]

    def value(
        self, kind: int, shape: tuple[int, ...], parts: Parts
    ) -> NDArray[np.float64] | list[str] | None:
        """Return numbers, or texts; None of anything else."""
        if kind == _CELL:
            inner = (inner for code, inner in parts if code == _MATRIX)
            found = [self.value(*self.matrix(one)[1:]) for one in inner]
            return [each[0] if isinstance(each, list) and each else "" for each in found]
        code, data = parts[0] if parts else (0, b"")
        count = math.prod(shape)
        if kind == _CHAR and code in _CODINGS:
            end = "le" if self.order == "<" else "be"
            coding = _CODINGS[code].replace("utf-16", f"utf-16-{end}")
            text = data.decode(coding, "replace")
            if len(text) != count:
                raise ValueError(f"a text of shape {shape} holds {len(text)} letters")
            rows = np.array(list(text), dtype="U1").reshape(shape, order="F")
            return ["".join(row.ravel()).rstrip() for row in rows]
        if kind not in _NUMBERS or code not in _TYPES:
            return None
        values = np.frombuffer(data, self.order + _TYPES[code])
        if len(values) != count:
            raise ValueError(f"{len(values)} numbers are there, of shape {shape}")
        return values.astype(np.float64).reshape(shape, order="F")


def read_variables(
    data: bytes, names: frozenset[str], *, most: int
) -> dict[str, NDArray[np.float64] | list[str] | None]:
    """Return the variables of these names, as far as they are there.

    Args:
        data: of the file.
        names: of variables of numbers or texts.
        most: bytes that a variable may unpack to.

    Returns:
        Numbers as float64 of the variable's shape; texts as a list; None of anything else.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    orders = {b"IM": "<", b"MI": ">"}
    if len(data) < _HEADER or data[126:128] not in orders or not data.startswith(b"MATLAB 5"):
        raise ValueError("it is not of Matlab's versions 5 to 7.2")
    file = _File(orders[data[126:128]], most)
    try:
        found = file.variables(data[_HEADER:])
        return {
            name: file.value(kind, shape, parts)
            for name, kind, shape, parts in found
            if name in names
        }
    except (RecursionError, struct.error, zlib.error) as error:
        raise ValueError(f"it is damaged: {error}") from error
