"""INPUT... => the images and videos they stand for, one at a time and always in the same order.

An INPUT is an image, a video, a folder or a glob. What a source is called in the table:

* a file: as it was given;
* what lies in a folder: its path relative to that folder, with `/`;
* what a glob matches: the path as matched.

The name is then written as `mien.media.names.to_text` says, so that any name on disk goes into a
table and can be had back. Folders are walked to the bottom, names in order; hidden files and
folders are passed over, links are followed and a link to a folder above itself is not. In a folder
only images and videos count, and of a folder no more than the names of the folders open at a time
is held. Two sources that would have the same name are refused before the first is given out.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from mien.errors import MienError
from mien.media.kinds import Kind, kind_of, may_be_media
from mien.media.names import to_text
from mien.media.still import ImageLike

__all__ = ["Inputs", "Source", "count", "expand"]

Inputs = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Source:
    """An image or a video to be read."""

    path_label: str
    """What it is called in the table: printable UTF-8."""
    full_path: str
    """Where it is: to be opened as it stands."""
    kind: Kind
    """Whether it is an image or a video."""
    image: ImageLike | None = None
    """The image itself, where it is in memory or an open file."""


@dataclass(frozen=True)
class _Root:
    """One file or folder that an INPUT stands for."""

    path: str
    label: str
    """What goes before the names found in a folder; a file's whole name."""
    is_folder: bool


def expand(inputs: Inputs) -> Iterator[Source]:
    """Check all inputs, then give out their sources one by one.

    Args:
        inputs: files, folders and globs (`*`, `?`, `[...]`, `**`), or one of them.

    Raises:
        MienError: at once if nothing is given or found, an input is missing or of no use, or two
            sources would have the same name; later if a folder inside cannot be listed.
    """
    roots = _roots(inputs)
    _refuse_same_names(roots)
    return _sources(roots)


def count(inputs: Inputs) -> int:
    """Return how many sources `expand` will give out, without opening those with a telling name.

    Raises:
        MienError: if an input is missing or a folder cannot be listed.
    """
    return sum(1 for root in _roots(inputs) for _ in _found(root))


def _sources(roots: list[_Root]) -> Iterator[Source]:
    for label, path in chain.from_iterable(map(_found, roots)):
        kind = kind_of(path)
        if kind is not None:
            yield Source(to_text(label), path, kind)


def _roots(inputs: Inputs) -> list[_Root]:
    given = [inputs] if isinstance(inputs, (str, bytes, os.PathLike)) else list(inputs)
    if not given:
        raise MienError("no input: give images, videos, folders or globs")
    return [root for one in given for root in _roots_of(os.fsdecode(one))]


def _roots_of(given: str) -> list[_Root]:
    if os.path.isdir(given):  # noqa: PTH112 - a Path would lose `./`
        return [_Root(given, "", is_folder=True)]
    if os.path.lexists(given):
        return [_file_root(given)]
    if not glob.has_magic(given):
        raise MienError(f"{to_text(given) or 'an input without a name'} does not exist")
    roots: list[_Root] = []
    for match in _matches(given):
        if roots and roots[-1].is_folder and match.startswith(roots[-1].path):
            continue  # `**` matches a folder and what is in it
        if os.path.isdir(match):  # noqa: PTH112
            folder = os.path.join(match, "")  # noqa: PTH118 - ends with one separator
            root = _Root(folder, folder.replace(os.sep, "/"), is_folder=True)
            if next(_found(root), None):
                roots.append(root)
        elif Path(match).is_file() and kind_of(match) is not None:
            roots.append(_Root(match, match, is_folder=False))
    if not roots:
        raise MienError(f"no image or video matches {to_text(given)}")
    return roots


def _matches(pattern: str) -> list[str]:
    """Return what a glob matches, each folder before what is in it."""
    found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute one
    return sorted(found, key=lambda path: path.split(os.sep))  # noqa: PTH206 - keeps `folder/`


def _file_root(given: str) -> _Root:
    path = Path(given)
    if not path.exists():
        raise MienError(f"{to_text(given)} is a link to a file that does not exist")
    if not path.is_file():
        raise MienError(f"{to_text(given)} is not an ordinary file")
    if kind_of(given) is None:
        raise MienError(f"{to_text(given)} is neither an image nor a video that is known")
    return _Root(given, given, is_folder=False)


def _refuse_same_names(roots: list[_Root]) -> None:
    """Refuse empty folders and sources of one name.

    Names are kept as 64-bit hashes, and only where there is more than one input; equal hashes are
    looked into before anything is refused.
    """
    seen: set[int] = set()
    for number, root in enumerate(roots):
        empty = True
        for label, path in _found(root):
            empty = False
            if len(roots) == 1:
                break
            key = hash(label)
            if key in seen:
                _refuse_if_same(label, path, roots[:number])
            seen.add(key)
        if empty:
            raise MienError(f"no image or video in {to_text(root.path)}")


def _refuse_if_same(label: str, path: str, earlier: list[_Root]) -> None:
    same = (at for root in earlier for name, at in _found(root) if name == label)
    for other in same:
        if other == path:
            raise MienError(f"{to_text(path)} is given twice; give it once")
        raise MienError(
            f"{to_text(other)} and {to_text(path)} would both be called {to_text(label)} in the "
            "table; give the folder above both, or one input at a time"
        )


def _found(root: _Root) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of what is or may be an image or a video, in order."""
    if not root.is_folder:
        yield root.label, root.path
        return
    opened = [_listing(root.path, root.label)]
    while opened:
        label, path, is_folder = next(opened[-1][1], ("", "", False))
        if not path:
            opened.pop()
        elif is_folder:
            inner = _listing(path, f"{label}/")
            if inner[0] not in [folder for folder, _ in opened]:  # else a link led back
                opened.append(inner)
        elif may_be_media(path) or kind_of(path) is not None:
            yield label, path


_Listing = tuple[tuple[int, int], Iterator[tuple[str, str, bool]]]


def _listing(path: str, label: str) -> _Listing:
    """Return a folder's device and inode, and (name, path, whether a folder) of what is in it."""
    try:
        status = Path(path).stat()
        with os.scandir(path) as entries:
            inside = sorted(
                (entry.name, _is_folder(entry))
                for entry in entries
                if not entry.name.startswith(".") and (_is_folder(entry) or _may_be_file(entry))
            )
    except OSError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise MienError(
            f"cannot list {to_text(path)}: {reason}; make it readable or leave it out"
        ) from error
    each = ((f"{label}{name}", os.path.join(path, name), folder) for name, folder in inside)  # noqa: PTH118
    return (status.st_dev, status.st_ino), each


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads nowhere
        return False


def _may_be_file(entry: os.DirEntry[str]) -> bool:
    """Return whether to take it up; a broken link is, so that it is reported where it is read."""
    try:
        return entry.is_file() or (entry.is_symlink() and not Path(entry.path).exists())
    except OSError:
        return True
