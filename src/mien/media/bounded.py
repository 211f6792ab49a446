"""Read small files whole: only ordinary ones, only up to a stated size, with one line if not.

JSON and YAML of plain values: finite numbers, text that is Unicode, lists and mappings.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["MIB", "parse_json", "read_bytes", "read_json", "read_text", "read_yaml"]

MIB = 1 << 20
_MAX_DEPTH = 50


def read_bytes(path: str | os.PathLike[str], *, limit: int = 64 * MIB) -> bytes:
    """Return what stands in an ordinary file of at most `limit` bytes.

    Pipes and devices, which may never end, are refused unopened.

    Raises:
        MienError: no such file, no ordinary file, larger than the limit, or unreadable.
    """
    shown = to_text(os.fspath(path))
    try:
        status = os.stat(path)  # noqa: PTH116 - any kind of path
        kind = status.st_mode
        if stat.S_ISDIR(kind):
            raise MienError(f"{shown} is a folder; give the name of a file")
        if not stat.S_ISREG(kind):
            raise MienError(f"{shown} is a pipe or a device; give an ordinary file")
        if status.st_size > limit:
            raise _too_large(shown, limit)
        with Path(path).open("rb") as file:
            content = file.read(min(status.st_size, limit) + 1)  # memory for no more is asked for
    except FileNotFoundError as error:
        raise MienError(f"no file {shown}; see to its name") from error
    except (OSError, ValueError) as error:  # ValueError: a name with a null character
        reason = getattr(error, "strerror", None) or error
        raise MienError(f"cannot read {shown}: {reason}") from error
    if len(content) > limit:  # it grew
        raise _too_large(shown, limit)
    return content


def _too_large(shown: str, limit: int) -> MienError:
    return MienError(f"{shown} is larger than {limit / MIB:,.0f} MiB; it is not read")


def read_text(path: str | os.PathLike[str], *, limit: int = 64 * MIB) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark; errors as `read_bytes`.

    Raises:
        MienError: also where it is not UTF-8.
    """
    try:
        return read_bytes(path, limit=limit).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        shown = to_text(os.fspath(path))
        raise MienError(
            f"{shown} is not UTF-8 text (byte {error.start}); save it as UTF-8"
        ) from error


def read_json(
    path: str | os.PathLike[str], *, limit: int = 64 * MIB, advice: str = "write it again"
) -> Any:
    """Return what a JSON file holds; errors as `read_text`.

    Args:
        path: of the file.
        limit: bytes.
        advice: what the person should do about a file that is damaged.

    Raises:
        MienError: also where `parse_json` refuses it.
    """
    return _parsed(path, "JSON", parse_json, limit, advice)


def read_yaml(
    path: str | os.PathLike[str], *, limit: int = 64 * MIB, advice: str = "write it again"
) -> Any:
    """Return what a YAML file holds, without aliases; otherwise as `read_json`."""
    return _parsed(path, "YAML", _parse_yaml, limit, advice)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON, nested deeper than 50, or holds a number that is not finite, a
            whole number beyond 64 bits, or half a surrogate pair.
        RecursionError: it is nested thousands deep.
    """
    value = json.loads(text, parse_constant=_refuse_constant)
    _check(value, 0)
    return value


def _parse_yaml(text: str) -> Any:
    loader = _PlainLoader(text)
    try:
        value = loader.get_single_data()
    finally:
        loader.dispose()
    _check(value, 0)
    return value


class _PlainLoader(yaml.SafeLoader):
    """Refuses aliases: a page of them stands for more than fits any memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise ValueError("it has an alias (*NAME), which is not read")
        return super().compose_node(parent, index)


def _parsed(
    path: str | os.PathLike[str], kind: str, parse: Callable[[str], Any], limit: int, advice: str
) -> Any:
    text = read_text(path, limit=limit)
    try:
        return parse(text)
    except RecursionError:
        reason = "it is nested too deep"
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
    raise MienError(f"{to_text(os.fspath(path))} is not {kind} of plain values: {reason}; {advice}")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _check(value: Any, depth: int) -> None:
    """Refuse what is no plain value: numbers that are not finite, text that is no Unicode."""
    if depth > _MAX_DEPTH:
        raise ValueError("it is nested too deep")
    if isinstance(value, dict):
        for key, inner in value.items():
            _check(key, depth + 1)
            _check(inner, depth + 1)
    elif isinstance(value, (list, tuple)):
        for inner in value:
            _check(inner, depth + 1)
    elif isinstance(value, str):
        value.encode("utf-8")  # raises ValueError on half of a surrogate pair
    elif isinstance(value, (int, float)):
        # Whole numbers beyond these are of no use either, and float() of them overflows.
        if not (math.isfinite(value) if isinstance(value, float) else -(2**63) <= value < 2**64):
            raise ValueError("a number in it is beyond all bounds")
    elif value is not None:
        raise ValueError(f"it holds a {type(value).__name__}, not text, numbers or lists")
