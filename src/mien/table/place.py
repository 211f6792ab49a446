"""Where tables are read from: a file here, or one at an address."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError
from mien.media.addresses import is_address, local_name
from mien.media.remote import opened

__all__ = ["opened_file", "place_of", "size_of"]


def place_of(path: str | Path) -> Path | str:
    """Return where a table is: a path, or an address as it is.

    Raises:
        MienError: it is an address that holds a password.
    """
    path = local_name(path) if isinstance(path, str) else path
    return path if is_address(path) else Path(path)


@contextlib.contextmanager
def opened_file(path: Path | str) -> Iterator[Path | io.RawIOBase]:
    """Give what pyarrow reads a table from: its path, or the open file at an address.

    Raises:
        MienError: it is missing.
    """
    if isinstance(path, str):
        with opened(path) as file:
            yield file
        return
    if not path.is_file():
        what = "is no file" if path.exists() else "is not there"
        raise MienError(f"there is no table {path} ({what}); write one with mien embed")
    yield path


def size_of(path: Path | str) -> int:
    """Return how many bytes a table has.

    Raises:
        MienError: it is missing.
    """
    with opened_file(path) as source:
        if isinstance(source, Path):
            return source.stat().st_size
        return source.seek(0, io.SEEK_END)
