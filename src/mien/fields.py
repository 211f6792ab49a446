"""What options may be: type and range stand at each field of a frozen dataclass, checked here.

Configurations of runs and of networks alike are such dataclasses; whoever makes one, from a file, a
command line or in Python, gets the same checks.
"""

from __future__ import annotations

import math
import types
import typing
from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields, is_dataclass
from functools import lru_cache
from typing import Annotated, Any, Literal

from mien.errors import MienError

__all__ = [
    "Amount",
    "Count",
    "Fraction",
    "OptionError",
    "Positive",
    "Range",
    "Steps",
    "Width",
    "check_fields",
    "check_sizes",
    "hints_of",
]


class OptionError(MienError, ValueError):
    """An option that its field does not take."""


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included."""

    low: float
    high: float


Steps = Annotated[int, Range(0, 10**9)]
Count = Annotated[int, Range(1, 10**6)]
Width = Annotated[int, Range(1, 2**14)]
Fraction = Annotated[float, Range(0, 1)]
Amount = Annotated[float, Range(0, 1e6)]
Positive = Annotated[float, Range(1e-9, 1e6)]


@lru_cache
def hints_of(kind: type) -> dict[str, Any]:
    """Return the fields of a dataclass with their types, ranges included."""
    hints = typing.get_type_hints(kind, include_extras=True)
    return {entry.name: hints[entry.name] for entry in fields(kind)}


def check_fields(options: Any, group: str) -> None:
    """Refuse a dataclass one of whose fields has a wrong type or is out of its range.

    Args:
        options: the dataclass; groups inside it check themselves.
        group: named before a field in the message, such as "loop".

    Raises:
        OptionError: names the field and what it takes.
    """
    for name, hint in hints_of(type(options)).items():
        _check(f"{group}.{name}", hint, getattr(options, name))


def _check(name: str, hint: Any, value: Any) -> None:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        _check(name, inner[0], value)
        _check_range(name, inner[1], value)
    elif origin in (types.UnionType, typing.Union):
        if value is not None:
            _check(name, inner[0], value)
    elif origin is Literal:
        if value not in inner:
            raise OptionError(f"{name} takes {', '.join(map(str, inner))}, not {value!r}")
    elif origin is tuple:
        if not isinstance(value, tuple):
            raise OptionError(f"{name} takes a list, not {value!r}")
        for item in value:
            _check(name, inner[0], item)
    elif not is_dataclass(hint):
        _check_type(name, hint, value)


def _check_range(name: str, allowed: Range, value: float) -> None:
    if not (math.isfinite(value) and allowed.low <= value <= allowed.high):
        bounds = f"from {allowed.low:g} to {allowed.high:g}"
        raise OptionError(f"{name} must be {bounds}, not {value:g}")


def _check_type(name: str, kind: type, value: Any) -> None:
    taken = (int, float) if kind is float else kind
    if not isinstance(value, taken) or (kind is not bool and isinstance(value, bool)):
        raise OptionError(f"{name} takes {_NAMES[kind]}, not {value!r}")


_NAMES = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


def check_sizes(
    tensors: Mapping[str, Any],
    where: str,
    config: object,
    widths: Collection[str],
    depths: Collection[str] = (),
) -> None:
    """Compare a configuration with the tensors before memory is taken for a network of it.

    Args:
        tensors: as read, of any shape.
        where: named in the error.
        config: has the fields named next.
        widths: fields that are the length of some side of some tensor, or 0.
        depths: fields that count layers, each of at least one tensor.

    Raises:
        MienError: no tensor is as wide as a field says, or there are fewer tensors than layers.
    """
    sides = {side for tensor in tensors.values() for side in tensor.shape}
    wrong = [name for name in widths if getattr(config, name) not in {0, *sides}]
    wrong += [name for name in depths if getattr(config, name) > len(tensors)]
    if wrong:
        raise MienError(
            f"{where}: the weights do not fit their configuration: no tensors belong to "
            f"{wrong[0]} {getattr(config, wrong[0])}"
        )
