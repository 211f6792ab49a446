"""The file of a probe: JSON with format, version and a digest of the rest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mien.errors import MienError
from mien.media.atomic import replacing

__all__ = ["FORMAT_VERSION", "read_body", "write_body"]

FORMAT_VERSION = 1
_FORMAT = "mien-probe"


def write_body(body: Mapping[str, Any], path: str | Path, *, overwrite: bool) -> None:
    """Write what a probe holds, whole or not at all.

    Args:
        body: dicts, lists, tuples, arrays, numbers, texts; read back exactly.
        path: the file.
        overwrite: whether a file that is there may be replaced.

    Raises:
        MienError: if the file exists and may not be overwritten, or cannot be written.
    """
    plain = _plain(body)
    whole = {
        "format": _FORMAT,
        "format_version": FORMAT_VERSION,
        "sha256": _digest(plain),
        "probe": plain,
    }
    text = json.dumps(whole, allow_nan=False) + "\n"
    with replacing(path, overwrite=overwrite) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def read_body(path: str | Path) -> dict[str, Any]:
    """Return what `write_body` wrote, arrays and tuples as lists.

    Raises:
        MienError: if the file is missing, damaged, no probe, or of another version.
    """
    whole = _read(Path(path))
    if not isinstance(whole, dict) or whole.get("format") != _FORMAT:
        raise MienError(f"{path} is no probe; make one with mien probe")
    version = whole.get("format_version")
    if version != FORMAT_VERSION:
        raise MienError(
            f"{path} is of probe format {version}, this mien reads {FORMAT_VERSION}; "
            "probe again, or use the version of mien that wrote it"
        )
    body = whole.get("probe")
    if not isinstance(body, dict) or whole.get("sha256") != _digest(body):
        raise MienError(f"{path} was cut short or changed (its sha256 differs); probe again")
    return body


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise MienError(f"there is no probe {path}; make one with mien probe") from error
    except ValueError as error:  # neither UTF-8 nor JSON
        raise MienError(f"{path} is not JSON: cut short or changed; probe again") from error
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}") from error


def _digest(body: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _plain(value: Any) -> Any:
    """Return dicts, lists and numbers in place of arrays and tuples."""
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return value.tolist()
    return [_plain(inner) for inner in value] if isinstance(value, list | tuple) else value
