"""Addresses of files elsewhere (`s3://bucket/a.jpg`): what is one, and what is shown of it.

Passwords never stand in a table or a message: an address that holds one is refused, and what
follows the `?` of a web address, where signatures stand, is not shown.
"""

from __future__ import annotations

import os
import re
from typing import TypeGuard
from urllib.parse import urlsplit

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["WEB", "is_address", "local_name", "scheme_of", "shown", "shown_text"]

WEB = ("http", "https")
"""Schemes of single files, which are read only."""

# Two letters at least: `C:` is a drive.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_WEB_ADDRESS = re.compile(r"(https?://[^\s?'\"<>]+)\?[^\s'\"<>]*")
_LOCAL = ("file", "local")


def is_address(name: str | os.PathLike[str]) -> TypeGuard[str]:
    """Return whether a name is an address; a `Path` never is, for it has lost a slash."""
    return isinstance(name, str) and _ADDRESS.match(name) is not None


def scheme_of(address: str) -> str:
    """Return what stands before `://`, in small letters."""
    return address.partition("://")[0].lower()


def local_name(name: str) -> str:
    """Return the path of a `file://` address; everything else as it is.

    Raises:
        MienError: an address holds a password, or one address another.
    """
    if not is_address(name):
        return name
    _check(name)
    if scheme_of(name) not in _LOCAL:
        return name
    path = name.partition("://")[2]
    if not path.startswith("/"):
        raise MienError(f"{to_text(name)} has no path from the root: write file:///folder/name")
    return path


def shown(name: str) -> str:
    """Return an address without what follows the `?` of a web address; other names as they are."""
    return name.partition("?")[0] if is_address(name) and scheme_of(name) in WEB else name


def shown_text(text: str) -> str:
    """Return text in which web addresses stand as `shown` gives them."""
    return _WEB_ADDRESS.sub(r"\1", text)


def _check(address: str) -> None:
    scheme = scheme_of(address)
    if "::" in address:
        raise MienError(f"{scheme}:// stands in a chain of addresses (::), which is not read")
    try:
        password = urlsplit(address).password
    except ValueError as error:
        raise MienError(f"{to_text(shown(address))} is no address: {error}") from error
    if password is not None:
        host = address.rpartition("@")[2]
        raise MienError(
            f"the address of {to_text(shown(host))[:100]} holds a password, which a table or a "
            "message would show: leave it out and give it in fsspec's configuration"
        )
