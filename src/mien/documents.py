"""JSON and YAML from files that anybody may have written: bounded, finite, or one line."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import yaml

from mien.errors import MienError

__all__ = ["parse_json", "parse_yaml", "read_json", "read_text", "read_yaml"]

MAX_BYTES = 16 << 20
_MAX_DEPTH = 50


def read_json(path: Path, *, advice: str = "mend the file") -> Any:
    """Return what a JSON file holds.

    Args:
        path: of a file of at most 16 MiB.
        advice: what the person should do about a file that is damaged.

    Raises:
        MienError: no such file, no regular one, too large, not UTF-8, no JSON, nested deeper than
            50, or with a number that is not finite or a text that is no Unicode.
    """
    return _parsed(path, parse_json, advice)


def read_yaml(path: Path, *, advice: str = "mend the file") -> Any:
    """Return what a YAML file holds, without aliases; otherwise as `read_json`."""
    return _parsed(path, parse_yaml, advice)


def read_text(path: Path, *, max_bytes: int = MAX_BYTES) -> str:
    """Return the text of a regular file.

    Raises:
        OSError: it is not there, or cannot be read.
        ValueError: it is no regular file, larger than `max_bytes`, or not UTF-8.
    """
    # Looked at before it is opened: a pipe would wait for its writer.
    if not stat.S_ISREG(path.stat().st_mode):
        raise ValueError("it is no ordinary file")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"it is larger than {max_bytes >> 10:,} KiB")
    return content.decode("utf-8")


def parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON, too deep, or holds what `read_json` refuses.
        RecursionError: it is nested thousands deep.
    """
    value = json.loads(text, parse_constant=_refuse_constant)
    _check(value, 0)
    return value


def parse_yaml(text: str) -> Any:
    """Return the value of a YAML text; errors as of `parse_json`, and yaml.YAMLError."""
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


def _parsed(path: Path, parse: Any, advice: str) -> Any:
    try:
        return parse(read_text(path))
    except OSError as error:
        reason = error.strerror or type(error).__name__
    except RecursionError:
        reason = "it is nested too deep"
    except (ValueError, OverflowError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:200]
    raise MienError(f"cannot read {path}: {reason}; {advice}")


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
        if not (math.isfinite(value) if isinstance(value, float) else abs(value) < 2**64):
            raise ValueError("a number in it is beyond all bounds")
    elif value is not None:
        raise ValueError(f"it holds a {type(value).__name__}, not text, numbers or lists")
