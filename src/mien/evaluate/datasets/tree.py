"""A data set's files, whether they stand in a folder or in a zip; nothing is unpacked on disk.

tree = open_tree("lfw.zip")
for name in tree.names:
    pixels = tree.image(name)
"""

from __future__ import annotations

import csv
import io
import os
import re
import stat
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.protocol import Images
from mien.media.image import read
from mien.media.names import to_text

__all__ = ["IMAGES", "MAX_IMAGE", "Tree", "image_of", "open_one_zip", "open_tree", "reason_of"]

MAX_BYTES = 1 << 30
"""Larger files of a data set are refused. Bytes."""
MAX_IMAGE = 1 << 28
"""Larger image files in a zip, or Matlab files, are refused. Bytes."""
IMAGES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".pgm")
"""How the names of images end, in lower case."""
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
        if _leads_out(name):
            return False
        if self._archive is None:
            return (self.source / name).is_file()
        return name in self._members

    exists = has

    def read_bytes(self, name: str, *, most: int = MAX_BYTES) -> bytes:
        """Return what a file holds.

        Args:
            name: its path.
            most: bytes; a file that holds or claims more is refused, unread.

        Raises:
            MienError: it is missing, outside the data set, too large, or cannot be read.
        """
        if _leads_out(name):
            raise self.error(name, " leads out of the data set")
        try:
            if self._archive is None:
                data = _read_file(self.source / name, most)
            else:
                with self._archive.open(self._prefix + name) as member:
                    claimed = self._archive.getinfo(self._prefix + name).file_size
                    data = member.read(most + 1) if claimed <= most else None
        except (FileNotFoundError, KeyError) as error:
            raise MienError(f"{self}/{name} is missing; copy the data set again") from error
        except (OSError, RuntimeError, ValueError, zipfile.BadZipFile, EOFError) as error:
            # RuntimeError: the zip asks for a password; ValueError: the name is no name.
            raise MienError(f"{self}/{name} cannot be read: {reason_of(error)}") from error
        except Exception as error:  # zlib and lzma have errors of their own
            raise MienError(f"{self}/{name} is damaged: {reason_of(error)}") from error
        if data is None or len(data) > most:
            raise self.error(name, f" is no file of at most {most >> 20} MiB")
        return data

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

    def rows(self, name: str) -> Iterator[tuple[int, list[str]]]:
        """Yield the number of the last line, and the cells, of each row of a CSV file.

        Raises:
            MienError: as `read_bytes`; or it is no CSV file.
        """
        reader = csv.reader(io.StringIO(self.read_text(name)))
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except csv.Error as error:
            raise self.error(name, f", line {reader.line_num}: {error}") from error

    def lines(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield number, from 1, and text of each line that is not blank; raises as `read_bytes`."""
        for number, line in enumerate(self.read_text(name).split("\n"), start=1):
            if line.strip():
                yield number, line.strip()

    def error(self, name: str, what: str) -> MienError:
        """Return what is raised where a file is not as it should be."""
        return MienError(f"{self}/{name}{what}; copy the data set again")

    def images(self, names: Iterable[str], **more: Any) -> Images:
        """Return images of the set; `more` as in `Images`."""
        names = tuple(names)
        twice = next((name for name, count in Counter(names).items() if count > 1), None)
        if twice is not None:
            raise MienError(f"{self} lists the image {twice} twice; copy the data set again")
        return Images(names, lambda row: self.image(names[row]), **more)

    def named(self, pattern: re.Pattern[str]) -> list[tuple[str, re.Match[str]]]:
        """Return the files whose name, the last part of the path, fits; and how it does."""
        found = ((name, pattern.fullmatch(name.rsplit("/", 1)[-1])) for name in self.names)
        return [(name, match) for name, match in found if match is not None]

    def unused(self, names: Iterable[str]) -> tuple[str, ...]:
        """Return a note on how many images are not among the named; none where all are."""
        images = {name for name in self.names if name.lower().endswith(IMAGES)}
        count = len(images - set(names))
        return (f"{count} other images are not used",) if count else ()

    def image(self, name: str) -> NDArray[np.uint8]:
        """Return an image as mien.media.image reads it. RGB [H, W, 3].

        Raises:
            MienError: it is missing or cannot be read.
        """
        if self._archive is None and not _leads_out(name):
            return read(self.source / name)
        return image_of(self.read_bytes(name, most=MAX_IMAGE), f"{self}/{name}")

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


def open_one_zip(path: Path) -> Tree:
    """Return the files of a folder or zip, or those of the only zip that a folder has in it.

    Raises:
        MienError: as `open_tree`.
    """
    if path.is_dir():
        inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        zips = [entry for entry in inside if entry.suffix.lower() == ".zip"]
        if len(zips) == 1 and not any(entry.is_dir() for entry in inside):
            return open_tree(zips[0])
    return open_tree(path)


@lru_cache(maxsize=_OPEN_ZIPS)
def _open_zip(path: Path, *_: int) -> Tree:
    """Open a zip; kept open, for reading the list of a million files anew takes seconds."""
    return Tree(path, archive=zipfile.ZipFile(path))


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


def _leads_out(name: str) -> bool:
    """Return whether a path of a list names what is not below the data set."""
    return ".." in name.split("/") or name.startswith("/") or "\0" in name


def _read_file(path: Path, most: int) -> bytes | None:
    """Return what a file holds; None of one that holds more, or of a pipe or a device."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or status.st_size > most:
        return None
    with path.open("rb") as file:
        return file.read(most + 1)


def _is_content(name: str) -> bool:
    parts = name.split("/")
    return not any(part.startswith(".") or part in _FOREIGN for part in parts)


def reason_of(error: Exception) -> str:
    """Return what an error says, in one line."""
    reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return " ".join(reason.split())
