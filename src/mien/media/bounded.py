"""Read small files whole: only ordinary ones, only up to a stated size, with one line if not."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["MIB", "read_bytes", "read_json", "read_text"]

MIB = 1 << 20


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


def read_json(path: str | os.PathLike[str], *, limit: int = 64 * MIB) -> Any:
    """Return the content of a JSON file, whose numbers are finite; errors as `read_text`.

    Raises:
        MienError: also where it is no JSON, nested too deep, or holds NaN, infinity, a number that
            no double holds, a whole number beyond 64 bits, or half a surrogate pair.
    """
    text, shown = read_text(path, limit=limit), to_text(os.fspath(path))
    try:
        value = json.loads(
            text, parse_float=_finite, parse_int=_whole, parse_constant=_refuse_constant
        )
        json.dumps(value, ensure_ascii=False).encode()  # refuses half a surrogate pair
        return value
    except RecursionError:
        raise MienError(f"{shown} is nested too deep; write it again") from None
    except UnicodeEncodeError:
        raise MienError(f"{shown} holds half a surrogate pair; write it again") from None
    except ValueError as error:
        raise MienError(
            f"{shown} is not JSON of finite numbers: {error}; write it again"
        ) from error


def _finite(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{digits[:20]} is beyond what a double holds")
    return value


def _whole(digits: str) -> int:
    if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
        raise ValueError(f"{digits[:20]} is beyond 64 bits")
    return int(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is no number")
