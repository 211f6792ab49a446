"""Files at addresses, by fsspec: read, and written whole.

Credentials are the scheme's package's business: environment, configuration files of its own or of
fsspec. Faults are those of `mien.media.remote_faults`.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.media.addresses import WEB, scheme_of, shown, shown_text
from mien.media.names import to_text
from mien.media.remote_faults import tried

__all__ = [
    "IN_MEMORY",
    "copied",
    "download",
    "exists",
    "fetch",
    "head",
    "inside",
    "opened",
    "place",
    "refuse_web",
    "remove",
    "too_large",
    "upload",
]

IN_MEMORY = 1 << 23
"""Bytes: larger files, and those that do not tell their size, are read from a copy on the disk."""

_AT_ONCE = 16
_CONNECT_S, _SILENCE_S = 10.0, 30.0
# A file there is seen only when it is complete; elsewhere it is written under another name.
_WHOLE = ("s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "oss", "memory")


def fetch(address: str, size: int | None) -> bytes | None:
    """Return what a file holds; None of one that is to be read from a copy.

    Args:
        address: of the file.
        size: as it was found.

    Raises:
        MienError: it is gone or may not be read.
        LostError: there is no way there.
    """
    if size is None or size > IN_MEMORY:
        return None
    system, path = place(address)
    return tried(address, partial(system.cat_file, path))


def head(address: str, count: int) -> bytes:
    """Return the first bytes of a file, or all of one that is shorter; errors as of `fetch`."""
    system, path = place(address)

    def read() -> bytes:
        with system.open(path, "rb", block_size=count, cache_type="none") as file:
            return file.read(count)

    return tried(address, read)


@contextlib.contextmanager
def copied(address: str, *, limit: int | None = None) -> Iterator[Path]:
    """Give a copy of a file, of its name's suffix, on this machine's disk for a while.

    Args:
        address: of the file.
        limit: bytes; None: as many as it has.

    Raises:
        MienError: it is gone, may not be read, is larger, or there is no room for it.
        LostError: there is no way there.
    """
    system, path = place(address)
    suffix = Path(shown(address)).suffix
    with tempfile.TemporaryDirectory(prefix="mien-") as folder:
        copy = Path(folder) / f"copy{suffix}"
        counted = _counting(address, limit)
        tried(address, lambda: system.get_file(path, str(copy), callback=counted()))
        yield copy


def exists(address: str) -> bool:
    """Return whether a file, or a folder, is at an address.

    Raises:
        MienError: that may not be known.
        LostError: there is no way there.
    """
    system, path = place(address)
    system.invalidate_cache()
    return tried(address, partial(system.exists, path))


def inside(address: str) -> dict[str, int]:
    """Return the names of all files in a folder, relative to it, and their sizes in bytes.

    Raises:
        MienError: it may not be listed.
        LostError: there is no way there.
    """
    system, path = place(address)

    def listed() -> dict[str, dict[str, Any]]:
        system.invalidate_cache()
        try:
            return system.find(path, detail=True)
        except FileNotFoundError:  # no such folder
            return {}

    each = tried(address, listed)
    return {
        name[len(path) :].strip("/"): info["size"] or 0
        for name, info in each.items()
        if info["type"] == "file" and name.startswith(f"{path}/")
    }


def download(address: str, names: Iterable[str], folder: Path) -> None:
    """Copy files of a folder at an address into one on this machine's disk.

    Raises:
        MienError: one cannot be had.
        LostError: there is no way there.
        OSError: there is no room.
    """
    system, path = place(address)

    def copy(name: str) -> None:
        to = folder / name
        tried(address, lambda: system.get_file(f"{path}/{name}", str(to)))

    _each(copy, names)


@contextlib.contextmanager
def opened(address: str) -> Iterator[io.RawIOBase]:
    """Give a file, of which only what is asked for is read.

    Raises:
        MienError: it is not there or may not be read.
        LostError: there is no way there.
    """
    system, path = place(address)
    with tried(address, lambda: system.open(path, "rb")) as file:
        yield _Reader(address, file)


class _Reader(io.RawIOBase):
    """A file at an address, each read of which is tried more than once."""

    def __init__(self, address: str, file: Any) -> None:
        super().__init__()
        self._address, self._file = address, file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: Any, /) -> int:
        start, count = self._file.tell(), len(buffer)

        def read() -> bytes:
            self._file.seek(start)
            return self._file.read(count)

        data = tried(self._address, read)
        buffer[: len(data)] = data
        return len(data)


def upload(local: Path, address: str) -> None:
    """Write a file at an address, whole or not at all, over one that is there.

    Raises:
        MienError: it may not be written there.
        LostError: there is no way there.
    """
    refuse_web(address)
    system, path = place(address)

    def write() -> None:
        parent, _, name = path.rpartition("/")
        if scheme_of(address) in _WHOLE:
            system.put_file(str(local), path)
            return
        # Always the same name: what a killed run left is written over.
        unfinished = f"{parent}/.{name}.unfinished"
        system.makedirs(parent, exist_ok=True)
        system.put_file(str(local), unfinished)
        if system.exists(path):
            system.rm_file(path)  # some refuse to move over a file
        system.mv(unfinished, path)

    tried(address, write, doing="write")


def remove(address: str, names: Iterable[str]) -> None:
    """Remove files of a folder; one that is not there is removed already.

    Raises:
        MienError: one may not be removed.
        LostError: there is no way there.
    """
    system, path = place(address)

    def away(name: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            system.rm_file(f"{path}/{name}")

    _each(lambda name: tried(address, lambda: away(name), doing="remove"), names)


def too_large(address: str, limit: int) -> MienError:
    """Return what to say of a file of more than `limit` bytes."""
    return MienError(f"{_named(address)} is larger than {limit / 2**20:,.0f} MiB; it is not read")


def refuse_web(address: str) -> None:
    """Refuse an address where nothing can be written.

    Raises:
        MienError: so.
    """
    if scheme_of(address) in WEB:
        raise MienError(f"{_named(address)}: web addresses are read, not written")


def _each(act: Callable[[str], None], names: Iterable[str]) -> None:
    """Do something to several files at a time."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        for _ in pool.map(act, names):
            pass


def _named(address: str) -> str:
    return to_text(shown(address))


def place(address: str) -> tuple[Any, str]:
    """Return the file system of an address and what it calls it.

    Raises:
        MienError: the scheme is unknown, or its package is not there.
    """
    fsspec: Any = importlib.import_module("fsspec")
    known: dict[str, Any] = importlib.import_module("fsspec.registry").known_implementations
    scheme = scheme_of(address)
    if scheme not in known and scheme not in fsspec.registry:
        raise MienError(f"{scheme}:// is no scheme that fsspec knows; see to the address")
    try:
        # Of more than one thread: each file system has one loop of its own for all of them.
        return fsspec.core.url_to_fs(address, **_options(fsspec, scheme))
    except ImportError as error:
        package = known.get(scheme, {}).get("class", "").partition(".")[0]
        if package in ("", "fsspec"):
            package = error.name or getattr(error.__cause__, "name", None) or "a package"
        raise MienError(f"{scheme}:// needs {package}: pip install {package}") from error
    except Exception as error:
        reason = shown_text(" ".join(str(error).split()))[:200]
        raise MienError(f"{_named(address)} cannot be reached: {reason}") from error


def _options(fsspec: Any, scheme: str) -> dict[str, Any]:
    """Return limits of time where the scheme's package would wait for minutes."""
    if scheme not in WEB or "client_kwargs" in fsspec.config.conf.get(scheme, {}):
        return {}
    aiohttp: Any = importlib.import_module("aiohttp")
    limits = {"total": None, "sock_connect": _CONNECT_S, "sock_read": _SILENCE_S}
    return {"client_kwargs": {"timeout": aiohttp.ClientTimeout(**limits)}}


def _counting(address: str, limit: int | None) -> Callable[[], Any]:
    """Return what makes a callback that ends a transfer of more than `limit` bytes."""
    callbacks: Any = importlib.import_module("fsspec.callbacks")

    class Counting(callbacks.Callback):
        def relative_update(self, inc: int = 1) -> None:
            super().relative_update(inc)
            if limit is not None and self.value > limit:
                raise too_large(address, limit)

    return Counting
