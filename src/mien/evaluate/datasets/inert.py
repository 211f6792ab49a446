"""What a pickle holds, if that is lists and tuples of bytes, numbers and NumPy's arrays of these.

Unpickling runs what a file asks for. Here its instructions are only listed, and those few carried
out that make such things; of the functions that a pickle may name, those by which NumPy writes its
arrays are known by name and done by hand. A file with anything else is refused.
"""

from __future__ import annotations

import pickletools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["read_inert"]

_NOTHING = ("PROTO", "FRAME", "STOP", "READONLY_BUFFER")
_VALUES = (
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1"),
    *("BINBYTES", "BINBYTES8", "SHORT_BINBYTES", "BYTEARRAY8"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
)
_TEXTS = ("STRING", "BINSTRING", "SHORT_BINSTRING")  # bytes as Python 2 wrote them
_MADE: dict[str, Callable[[], Any]] = {
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "NONE": lambda: None,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
_TUPLES = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_KEPT = ("PUT", "BINPUT", "LONG_BINPUT")
_TAKEN = ("GET", "BINGET", "LONG_BINGET")
_MODULES = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray")
_BUFFERS = ("numpy.core.numeric", "numpy._core.numeric")
KNOWN = {
    **{(module, "_reconstruct"): "array" for module in _MODULES},
    **{(module, "scalar"): "scalar" for module in _MODULES},
    **{(module, "_frombuffer"): "frombuffer" for module in _BUFFERS},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
}
"""Module and name => what it is, of the names that a pickle may ask for."""
KINDS = ("u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "b1", "O", "O8")
"""Types of the arrays' items."""


@dataclass(frozen=True)
class _Name:
    """A function or class that a pickle names; never imported."""

    kind: str


class _Type:
    """A type of items, as NumPy writes it: its name, then the order of its bytes."""

    def __init__(self, kind: Any) -> None:
        if kind not in KINDS:
            raise ValueError(f"asks for an array of {kind}")
        self.kind, self.order = str(kind), "<"

    def numpy(self) -> np.dtype[Any]:
        return np.dtype(object if self.kind[0] == "O" else self.order + self.kind)


class _Array:
    """An array that is filled by what follows."""

    value: np.ndarray[Any, Any] | None = None


def read_inert(data: bytes) -> Any:
    """Return what a pickle holds: lists and tuples of bytes, texts, numbers and arrays.

    Raises:
        ValueError: it holds, or asks for, anything else; or is no pickle.
    """
    machine = _Machine()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in texts: none of these is kept
            for instruction, value, _ in pickletools.genops(data):
                machine.do(instruction.name, value)
    except (AttributeError, IndexError, KeyError, LookupError, MemoryError, TypeError) as error:
        raise ValueError(" ".join(str(error).split()) or type(error).__name__) from error
    if len(machine.stack) != 1:
        raise ValueError("it holds nothing, or several things")
    return _plain(machine.stack[0])


def _plain(value: Any, depth: int = 3) -> Any:
    """Return a value with the arrays in place of what stands for them, a few levels down."""
    if not depth:
        raise ValueError("lists are nested deeper than lists of images are")
    if isinstance(value, _Array):
        if value.value is None:
            raise ValueError("holds an array of nothing")
        value = value.value
    if isinstance(value, list | tuple):
        return [_plain(item, depth - 1) if _is_inner(item) else item for item in value]
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [_plain(item, depth - 1) if _is_inner(item) else item for item in value.ravel()]
    return value


def _is_inner(item: Any) -> bool:
    return isinstance(item, _Array | list | tuple)


class _Machine:
    """The part of a pickle's machine that makes lists, tuples and arrays."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.kept: dict[int, Any] = {}
        self.marks: list[int] = []

    def do(self, name: str, value: Any) -> None:
        """Carry out one instruction; ValueError where it is none of ours."""
        if name in _VALUES:
            self.stack.append(value)
        elif name in _TEXTS:
            self.stack.append(value.encode("latin-1"))
        elif name in _MADE:
            self.stack.append(_MADE[name]())
        elif name == "MARK":
            self.marks.append(len(self.stack))
        elif name in _KEPT or name == "MEMOIZE":
            self.kept[len(self.kept) if name == "MEMOIZE" else value] = self.stack[-1]
        elif name in _TAKEN:
            self.stack.append(self.kept[value])
        elif name not in _NOTHING:
            self._gather(name, value)

    def _gather(self, name: str, value: Any) -> None:
        if name in _TUPLES:
            self.stack.append(tuple(self._above(len(self.stack) - _TUPLES[name])))
        elif name in ("TUPLE", "LIST"):
            items = self._above(self.marks.pop())
            self.stack.append(tuple(items) if name == "TUPLE" else items)
        elif name in ("APPEND", "APPENDS"):
            start = len(self.stack) - 1 if name == "APPEND" else self.marks.pop()
            items = self._above(start)
            if not isinstance(self.stack[-1], list):
                raise ValueError("appends to what is no list")
            self.stack[-1].extend(items)
        else:
            self._named(name, value)

    def _named(self, name: str, value: Any) -> None:
        if name in ("GLOBAL", "STACK_GLOBAL"):
            above = [] if name == "GLOBAL" else self._above(len(self.stack) - 2)
            module, *rest = above or str(value).split(" ", 1)
            asked = (str(module), str(rest[0]) if rest else "")
            if asked not in KNOWN:
                raise ValueError(f"asks for {'.'.join(asked)}")
            self.stack.append(_Name(KNOWN[asked]))
        elif name == "REDUCE":
            function, given = self._above(len(self.stack) - 2)
            self.stack.append(_made(function, given))
        elif name == "BUILD":
            made, state = self._above(len(self.stack) - 2)
            self.stack.append(_filled(made, state))
        else:
            raise ValueError(f"asks for {name}")

    def _above(self, start: int) -> list[Any]:
        if start < 0:
            raise ValueError("takes what is not there")
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _made(function: Any, given: Any) -> Any:
    """Return what a function that NumPy writes into pickles would give."""
    kind = function.kind if isinstance(function, _Name) else ""
    if kind == "array":
        return _Array()
    if kind == "dtype":
        return _Type(given[0])
    if kind == "encode":
        text, coding = given
        if coding not in ("latin1", "latin-1"):
            raise ValueError(f"asks for {coding}")
        return text.encode("latin-1")
    if kind == "scalar":
        return np.frombuffer(given[1], given[0].numpy(), 1)[0]
    if kind == "frombuffer":
        data, kind_of, shape, order = given
        return np.frombuffer(data, kind_of.numpy()).reshape(shape, order=order)
    raise ValueError("calls what is no function")


def _filled(made: Any, state: Any) -> Any:
    """Return an array or a type with what a pickle says of it."""
    if isinstance(made, _Type):
        made.order = ">" if state[1] == ">" else "<"
    elif isinstance(made, _Array):
        _, shape, kind, by_column, data = state
        values = _items(data, kind)
        made.value = values.reshape(shape, order="F" if by_column else "C")
    else:
        raise ValueError("fills what is no array")
    return made


def _items(data: Any, kind: _Type) -> np.ndarray[Any, Any]:
    if kind.kind[0] != "O":
        return np.frombuffer(data, kind.numpy())
    values = np.empty(len(data), dtype=object)
    for place, item in enumerate(data):  # a list of arrays would be taken for one array
        values[place] = item
    return values
