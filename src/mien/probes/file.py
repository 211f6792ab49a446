"""JSON files with a format, a version and a checksum of the rest, so that damage is noticed."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.bounded import MIB, read_json

__all__ = ["SealedFile", "check_scales", "check_shapes"]

Built = TypeVar("Built")

_LARGEST = 1024 * MIB
_SMALLEST_SCALE = 1e-30


@dataclass(frozen=True)
class SealedFile:
    """A kind of file, and the words of its error messages."""

    name: str
    """What it holds, in one word: calibration."""
    command: str
    """That makes one: mien calibrate."""
    again: str
    """How one is made anew: calibrate again."""
    version: int
    """Of its format."""

    def write(self, body: Mapping[str, Any], path: str | Path, *, overwrite: bool) -> None:
        """Write what it holds, whole or not at all.

        Args:
            body: dicts, lists, tuples, arrays, numbers, texts; read back exactly.
            path: the file.
            overwrite: whether a file that is there may be replaced.

        Raises:
            MienError: if the file exists and may not be overwritten, or cannot be written.
        """
        with replacing(path, overwrite=overwrite) as unfinished:
            unfinished.write_text(self.text(body), encoding="utf-8")

    def text(self, body: Mapping[str, Any]) -> str:
        """Return what `write` writes. JSON."""
        plain = _plain(body)
        whole = {
            "format": f"mien-{self.name}",
            "format_version": self.version,
            "sha256": _checksum(plain),
            self.name: plain,
        }
        return json.dumps(whole, allow_nan=False) + "\n"

    def read(self, path: str | Path) -> dict[str, Any]:
        """Return what `write` wrote, arrays and tuples as lists.

        Raises:
            MienError: if the file is missing, damaged, of another kind, or of another version.
        """
        whole = self._load(Path(path))
        if not isinstance(whole, dict) or whole.get("format") != f"mien-{self.name}":
            raise MienError(f"{path} is no {self.name}; make one with {self.command}")
        version = whole.get("format_version")
        if version != self.version:
            raise MienError(
                f"{path} is of {self.name} format {version}, this mien reads {self.version}; "
                f"{self.again}, or use the version of mien that wrote it"
            )
        body = whole.get(self.name)
        if not isinstance(body, dict) or whole.get("sha256") != _checksum(body):
            raise MienError(f"{path} was cut short or changed (its sha256 differs); {self.again}")
        return body

    def read_as(self, path: str | Path, kind: type[Built], check: Callable[[Built], None]) -> Built:
        """Return the dataclass whose `asdict` was written, every value of the type it declares.

        Args:
            path: the file.
            kind: the dataclass; it may hold dataclasses, arrays, tuples, texts and numbers.
            check: raises a ValueError where shapes do not fit: a checksum does not prove that the
                file makes sense.

        Raises:
            MienError: as `read`; or the content is not what the dataclass declares.
        """
        body = self.read(path)
        try:
            found = _built(kind, body)
            check(found)
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            reason = f"{type(error).__name__} {error}"
            raise MienError(f"{path} holds no {self.name} ({reason}); {self.again}") from error
        return found

    def check_weights(self, what: str, wanted: str, given: str) -> None:
        """Refuse codes of other weights; "" is not known, and fits all.

        Raises:
            MienError: if both are known and differ.
        """
        if wanted and given and given != wanted:
            raise MienError(
                f"the {what} belongs to the weights {wanted}, the codes to {given}: "
                f"{self.again}, or embed with the other weights"
            )

    def _load(self, path: Path) -> Any:
        if not os.path.lexists(path):
            raise MienError(f"there is no {self.name} {path}; make one with {self.command}")
        try:
            return read_json(path, limit=_LARGEST)
        except MienError as error:
            raise MienError(f"{error}; {self.again}") from error


def _checksum(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return dicts, lists and numbers in place of arrays and tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value


def check_shapes(*expected: tuple[NDArray[Any], tuple[int, ...]]) -> None:
    """Refuse arrays of other shapes.

    Raises:
        ValueError: an array has not the shape beside it.
    """
    for array, shape in expected:
        if array.shape != shape:
            raise ValueError(f"{shape} numbers were expected, not {array.shape}")


def check_scales(*scales: NDArray[Any]) -> None:
    """Refuse what would be divided by, but is as good as nought.

    Raises:
        ValueError: a scale is below 1e-30.
    """
    if any((scale < _SMALLEST_SCALE).any() for scale in scales):
        raise ValueError("a scale is 0 or less")


def _built(kind: Any, value: Any) -> Any:
    """Return a value of a type from what `asdict` and JSON made of it; numbers are finite."""
    origin, inner = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and is_dataclass(kind):
        types = get_type_hints(kind)
        return kind(**{name: _built(types[name], value[name]) for name in types})
    if NoneType in inner:
        return None if value is None else _built(inner[0], value)
    if origin is np.ndarray:
        array = np.array(value, dtype=np.float64)
        if not np.isfinite(array).all():
            raise ValueError("a number is not finite")
        return array
    if origin is tuple:
        types = inner[:1] * len(value) if inner[-1] is Ellipsis else inner
        return tuple(_built(one, part) for one, part in zip(types, value, strict=True))
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind or (kind is float and not math.isfinite(value)):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    return value
