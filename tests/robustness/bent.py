"""Bytes and values that are bent at any place, and what a reader may make of them."""

from __future__ import annotations

from hypothesis import strategies as st

from mien.errors import MienError

__all__ = ["CHANGES", "CUT", "JSON", "bent", "one_line"]


def one_line(read, *given, **named):
    """Return what a reader gives; None where it refuses the file in one line."""
    try:
        return read(*given, **named)
    except MienError as error:
        if "\n" in str(error):
            raise AssertionError("one line is due") from error
        return None


def bent(data: bytes, changes: list[tuple[int, int]], cut: int) -> bytes:
    """The same with some bytes changed, and its end cut off."""
    out = bytearray(data)
    for place, value in changes:
        out[place % len(out)] = value
    return bytes(out[: len(out) - cut % len(out)] if cut else out)


CHANGES = st.lists(st.tuples(st.integers(0, 2**20), st.integers(0, 255)), max_size=4)
CUT = st.one_of(st.just(0), st.integers(0, 2**20))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
