"""A data set's files, whether they stand in a folder or in a zip; nothing is unpacked on disk.

tree = open_tree("lfw.zip")
for name in tree.names:
    pixels = tree.image(name)
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.image import read
from mien.media.names import to_text

__all__ = ["Tree", "holds", "image_of", "open_tree"]

_OPEN_ZIPS = 8
# What systems add to folders and zips on their own.
_FOREIGN = ("__MACOSX", "Thumbs.db", "desktop.ini")


class Tree:
    """The files below one place. Paths have `/` and begin below it; may be read from threads."""

    def __init__(
        self, source: Path, *, archive: zipfile.ZipFile | None = None, prefix: str = ""
    ) -> None:
        """Look at a folder, or at what is below `prefix` in an open zip; see `open_tree`."""
        self.source = source
        """The folder or the zip."""
        self._archive = archive
        self._prefix = prefix

    def __str__(self) -> str:
        """Return where it is, for messages."""
        return to_text(self.source / self._prefix if self._prefix else self.source)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the paths of all files, sorted; hidden ones and what systems add are left out."""
        found = self._folder_names() if self._archive is None else self._members
        return tuple(sorted(name for name in found if _is_content(name)))

    def has(self, name: str) -> bool:
        """Return whether there is such a file; in folders without listing all."""
        if self._archive is None:
            return (self.source / name).is_file()
        return name in self._members

    exists = has

    def read_bytes(self, name: str) -> bytes:
        """Return what a file holds.

        Raises:
            MienError: it is missing or cannot be read.
        """
        try:
            if self._archive is None:
                return (self.source / name).read_bytes()
            return self._archive.read(self._prefix + name)
        except (FileNotFoundError, KeyError) as error:
            raise MienError(f"{self}/{name} is missing; copy the data set again") from error
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, EOFError) as error:
            # RuntimeError: the zip asks for a password; ValueError: the name is no name.
            raise MienError(f"{self}/{name} cannot be read: {_reason(error)}") from error
        except Exception as error:  # zlib and lzma have errors of their own
            raise MienError(f"{self}/{name} is damaged: {_reason(error)}") from error

    def read_text(self, name: str) -> str:
        """Return what a text file holds, UTF-8 or else Latin-1; each line ends in one line feed.

        Raises:
            MienError: as `read_bytes`.
        """
        data = self.read_bytes(name)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError:
            text = data.decode("latin-1")
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def image(self, name: str) -> NDArray[np.uint8]:
        """Return an image as mien.media.image reads it. RGB [H, W, 3].

        Raises:
            MienError: it is missing or cannot be read.
        """
        if self._archive is None:
            return read(self.source / name)
        return image_of(self.read_bytes(name), f"{self}/{name}")

    def under(self, prefix: str) -> Tree:
        """Return what is below a folder; a tree without names where there is no such folder."""
        prefix = prefix.strip("/")
        if not prefix:
            return self
        if self._archive is None:
            return Tree(self.source / prefix)
        return Tree(self.source, archive=self._archive, prefix=f"{self._prefix}{prefix}/")

    @cached_property
    def _members(self) -> frozenset[str]:
        """Return the paths of a zip's files below the prefix."""
        everything = () if self._archive is None else self._archive.namelist()
        start = len(self._prefix)
        below = (name[start:] for name in everything if name.startswith(self._prefix))
        return frozenset(name for name in below if name and not name.endswith("/"))

    def _folder_names(self) -> list[str]:
        found: list[str] = []
        # Data sets are often links to another disk.
        for folder, _, files in os.walk(self.source, followlinks=True):
            below = Path(folder).relative_to(self.source).as_posix()
            start = "" if below == "." else f"{below}/"
            found.extend(start + name for name in files)
        return found


def open_tree(path: str | Path) -> Tree:
    """Return the files of a folder or of a zip; a zip's one leading folder is kept in the paths.

    Raises:
        MienError: there is nothing, or neither a folder nor a zip that can be read.
    """
    path = Path(path)
    if path.is_dir():
        return Tree(path)
    if not path.exists():
        raise MienError(f"{to_text(path)} does not exist; give the data set's folder or its zip")
    try:
        status = path.stat()
        return _open_zip(path.resolve(), status.st_ino, status.st_mtime_ns, status.st_size)
    except (OSError, zipfile.BadZipFile, ValueError) as error:
        raise MienError(
            f"{to_text(path)} is neither a folder nor a zip that can be read; copy it again"
        ) from error


@lru_cache(maxsize=_OPEN_ZIPS)
def _open_zip(path: Path, *_: int) -> Tree:
    """Open a zip; kept open, for reading the list of a million files anew takes seconds."""
    return Tree(path, archive=zipfile.ZipFile(path))


def holds(path: str | Path, *names: str) -> bool:
    """Return whether a folder or zip has all these files or folders; never raises."""
    try:
        tree = open_tree(path)
        if Path(path).is_dir():
            return all((Path(path) / name).exists() for name in names)
        return all(tree.has(name) or bool(tree.under(name).names) for name in names)
    except (MienError, OSError, ValueError):
        return False


def image_of(data: bytes, name: str) -> NDArray[np.uint8]:
    """Return the image that a file's bytes are, with the very pixels of one read from disk.

    Args:
        data: of a JPEG, PNG or other image file.
        name: what it is called in messages.

    Returns:
        RGB [H, W, 3].

    Raises:
        MienError: it cannot be read as an image.
    """
    handle, path = tempfile.mkstemp(prefix="mien-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return read(path)
    except MienError as error:
        raise MienError(str(error).replace(to_text(path), name)) from error
    finally:
        Path(path).unlink(missing_ok=True)


def _is_content(name: str) -> bool:
    parts = name.split("/")
    return not any(part.startswith(".") or part in _FOREIGN for part in parts)


def _reason(error: Exception) -> str:
    told = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(told.split())
