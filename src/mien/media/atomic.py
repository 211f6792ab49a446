"""Write a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["replacing", "write_text"]


@contextlib.contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a temporary name beside `path`; move it there when the block ends well.

    Whatever ends the block otherwise, the temporary file is removed and `path` is as it was.

    Args:
        path: the file to be written.
        overwrite: whether a file that is there may be replaced.

    Raises:
        MienError: if `path` exists and may not be replaced, or if it cannot be written (no such
            folder, no permission, a full disk).
    """
    path = Path(path)
    shown = to_text(path)
    if path.is_dir():
        raise MienError(f"{shown} is a folder; give the name of a file")
    if not overwrite and os.path.lexists(path):
        raise MienError(f"{shown} exists; give another name or ask for it to be overwritten")
    # The random part keeps two writers apart; the name may be near the file system's limit.
    unfinished = path.with_name(f".{secrets.token_hex(6)}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise MienError(f"cannot write {shown}: {reason}") from error
    finally:
        unfinished.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all, over one that is there; errors as of `replacing`."""
    with replacing(path, overwrite=True) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
