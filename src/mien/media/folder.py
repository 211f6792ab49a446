"""Folders that are written to: made and taken away again, and by one run at a time."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["made_folder", "only_writer"]


@contextlib.contextmanager
def made_folder(path: Path) -> Iterator[None]:
    """Make a folder with those above it; take away again what was made if the block fails.

    Raises:
        OSError: it cannot be made.
    """
    missing = [one for one in (path, *path.parents) if not one.exists()]
    try:
        path.mkdir(parents=True, exist_ok=True)
        yield
    except BaseException:
        for one in missing:
            with contextlib.suppress(OSError):  # what holds something now stays
                one.rmdir()
        raise


@contextlib.contextmanager
def only_writer(path: Path) -> Iterator[None]:
    """Keep other runs of mien from writing into a folder as long as the block lasts.

    The folder is made where it is not there. Where folders cannot be locked (Windows, some network
    drives) two runs are not noticed; whoever cannot make the folder is told so by what follows.

    Raises:
        MienError: another run is writing there.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(made_folder(path))
            stack.callback(os.close, _locked(path))
        yield


def _locked(path: Path) -> int:
    """Return a handle of a folder that holds its lock; a killed process holds it no longer."""
    try:
        import fcntl
    except ImportError as error:
        raise OSError("no locks here") from error
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise MienError(
            f"another run is writing into {to_text(path)}: wait for it or stop it"
        ) from error
    except OSError:
        os.close(handle)
        raise
    return handle
