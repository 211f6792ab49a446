"""Addresses => the files that they stand for, with what tells a changed one."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from functools import partial
from typing import Any

from mien.media.addresses import WEB, scheme_of
from mien.media.remote import place
from mien.media.remote_faults import tried

__all__ = ["RemoteFile", "find"]

_FACTS = (
    *("ETag", "etag", "md5Hash", "content_md5", "Content-MD5", "mtime", "LastModified"),
    *("last_modified", "Last-Modified", "updated", "modified", "created"),
)
"""What file systems call that which changes with a file's content; the surest first."""


@dataclass(frozen=True)
class RemoteFile:
    """A file at an address, as it was found."""

    address: str
    size: int | None
    """Bytes; None: it does not tell."""
    version: str
    """Changes with the content, as far as it is known without reading it."""


def find(address: str) -> list[RemoteFile]:
    """Return the files that an address stands for: a file, all in a folder, what a glob matches.

    Of a folder and a glob (`*`, `?`, `[...]`, `**`), files are in the order of a walk through the
    folders, names in order; names that begin with a dot are passed over. A web address is one file.

    Raises:
        MienError: there is nothing, or it may not be listed.
    """
    system, path = place(address)
    if scheme_of(address) in WEB:
        return [_file(address, tried(address, partial(system.info, path)))]
    given = address.rstrip("/") if path else address
    magic = glob.has_magic(path)
    system.invalidate_cache()  # what was listed before may have changed
    listed = _globbed if magic else _walked
    found: dict[str, Any] = tried(address, partial(listed, system, path))
    system.invalidate_cache()  # which may be as large as the listing
    fixed = path.rstrip("/") if not magic else _fixed(path)
    hidden = magic and "/." in path[len(fixed) :]
    names = [
        name
        for name, info in found.items()
        if info.get("type") == "file"
        and (hidden or name.rstrip("/") == fixed or "/." not in name[len(fixed) :])
    ]
    names.sort(key=lambda name: name.split("/"))
    name_of = partial(_address, given, path.rstrip("/"), system)
    return [_file(name_of(name), found[name]) for name in names]


def _walked(system: Any, path: str) -> dict[str, Any]:
    info = system.info(path)
    return {path: info} if info["type"] == "file" else system.find(path, detail=True)


def _globbed(system: Any, pattern: str) -> dict[str, Any]:
    """Return what a glob matches, and all in the folders that it matches."""
    found = dict(system.glob(pattern, detail=True))
    if not pattern.endswith("**"):
        for name, info in list(found.items()):
            if info.get("type") == "directory":
                found |= system.find(name, detail=True)
    if not found and system.exists(pattern):  # a name that only looks like a glob
        found[pattern] = system.info(pattern)
    return found


def _fixed(pattern: str) -> str:
    """Return the folders of a glob above the first part that is one."""
    parts = pattern.split("/")
    first = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    return "/".join(parts[:first])


def _address(given: str, path: str, system: Any, name: str) -> str:
    """Return the address of a file that was found below a given one, in the given one's words."""
    if given.endswith(path):
        return given[: len(given) - len(path)] + name
    return system.unstrip_protocol(name)


def _file(address: str, info: dict[str, Any]) -> RemoteFile:
    size = info.get("size")
    version = next((str(info[name]) for name in _FACTS if info.get(name)), "")
    return RemoteFile(address, None if size is None else int(size), version)
