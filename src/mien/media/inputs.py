"""INPUT... => the images and videos they stand for, one at a time and always in the same order.

An INPUT is an image, a video, a folder or a glob, or the address of one (`s3://bucket/people/**`).
What a source is called in the table:

* a file: as it was given;
* what lies in a folder: its path relative to that folder, with `/`;
* what a glob matches: the path as matched;
* what is at an address: its own address, of the web without what follows `?`.

The name is then written as `mien.media.names.to_text` says, so that any name on disk goes into a
table and can be had back. Folders are walked to the bottom, names in order; hidden files and
folders are passed over, links are followed and a link to a folder above itself is not. In a folder
only images and videos count, and of a folder no more than the names of the folders open at a time
is held. Two sources that would have the same name are refused before the first is given out.
What lies at addresses is listed at once, and told by its name alone, not by its first bytes; but a
name that tells nothing is looked into where it was given itself.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mien.errors import MienError
from mien.media.addresses import is_address, local_name, shown
from mien.media.kinds import HEAD_BYTES, Kind, kind_from, kind_of, may_be_media
from mien.media.names import to_text
from mien.media.remote import head
from mien.media.remote_find import RemoteFile, find
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
    remote: RemoteFile | None = None
    """What is known of it, where it is at an address."""


@dataclass(frozen=True)
class _Root:
    """One file or folder that an INPUT stands for."""

    path: str
    label: str
    """What goes before the names found in a folder; a file's whole name."""
    is_folder: bool
    files: tuple[tuple[RemoteFile, Kind], ...] = ()
    """What was found at an address; then the rest is no more than names."""


def expand(inputs: Inputs, *, remote: bool = False) -> Iterator[Source]:
    """Check all inputs, then give out their sources one by one.

    Args:
        inputs: files, folders and globs (`*`, `?`, `[...]`, `**`), or one of them.
        remote: whether addresses may be among them.

    Raises:
        MienError: at once if nothing is given or found, an input is missing or of no use, or two
            sources would have the same name; later if a folder inside cannot be listed.
    """
    roots = _roots(inputs, remote=remote)
    _refuse_same_names(roots)
    return _sources(roots)


def count(inputs: Inputs) -> int:
    """Return how many sources `expand` will give out, without opening those with a telling name.

    Raises:
        MienError: if an input is missing or a folder cannot be listed.
    """
    return sum(1 for root in _roots(inputs) for _ in _found(root))


def _sources(roots: list[_Root]) -> Iterator[Source]:
    for root in roots:
        for file, kind in root.files:
            yield Source(to_text(shown(file.address)), file.address, kind, remote=file)
        for label, path in () if root.files else _found(root):
            kind = kind_of(path)
            if kind is not None:
                yield Source(to_text(label), path, kind)


def _roots(inputs: Inputs, *, remote: bool = False) -> list[_Root]:
    given = [inputs] if isinstance(inputs, (str, bytes, os.PathLike)) else list(inputs)
    if not given:
        raise MienError("no input: give images, videos, folders or globs")
    names = [os.fsdecode(local_name(os.fsdecode(one))) for one in given]
    for address in () if remote else filter(is_address, names):
        raise MienError(f"{to_text(shown(address))}: addresses are read by mien embed alone")
    roots = ([_remote_root(one)] if is_address(one) else _roots_of(one) for one in names)
    return [root for each in roots for root in each]


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


def _remote_root(given: str) -> _Root:
    found = find(given)
    alone = len(found) == 1 and found[0].address == given
    files: list[tuple[RemoteFile, Kind]] = []
    for file in found:
        kind = _remote_kind(file, look=alone)
        if kind is not None:
            files.append((file, kind))
    name = to_text(shown(given))
    if alone and not files:
        raise MienError(f"{name} is neither an image nor a video that is known")
    if not files:
        raise MienError(f"no image or video is found at {name}")
    return _Root(given, given, is_folder=True, files=tuple(files))


def _remote_kind(file: RemoteFile, *, look: bool) -> Kind | None:
    name = shown(file.address)
    kind = kind_from(name)
    return kind_from(name, head(file.address, HEAD_BYTES)) if kind is None and look else kind


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
            raise MienError(f"{to_text(shown(path))} is given twice; give it once")
        raise MienError(
            f"{to_text(shown(other))} and {to_text(shown(path))} would both be called "
            f"{to_text(label)} in the table; give the folder above both, or one input at a time"
        )


def _found(root: _Root) -> Iterator[tuple[str, str]]:
    """Yield (name, path) of what is or may be an image or a video, in order."""
    if root.files:
        yield from ((shown(file.address), file.address) for file, _ in root.files)
        return
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
