"""Many numbers in one answer: a line of JSON, then the numbers as they lie in memory.

    length of the JSON (uint32), JSON padded with spaces, numbers (little-endian)

JSON and its length take a multiple of four bytes together, so that the numbers can be looked at
where they are.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["packed", "unpacked"]


def packed(about: Mapping[str, Any], numbers: NDArray[Any]) -> bytes:
    """Return numbers with what is said of them."""
    text = json.dumps(about, allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    little = numbers.astype(numbers.dtype.newbyteorder("<"), copy=False)
    return len(text).to_bytes(4, "little") + text + little.tobytes()


def unpacked(data: bytes, kind: str) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return what `packed` was given; the numbers are of this kind, such as `<f4`."""
    end = 4 + int.from_bytes(data[:4], "little")
    return json.loads(data[4:end]), np.frombuffer(data, kind, offset=end)
