"""The lock of an index: a hidden file beside it, there while somebody writes."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from mien.errors import MienError
from mien.media.lock import take_lock
from mien.media.names import to_text

__all__ = ["WriteLock"]

_TRIES = 10


class WriteLock:
    """Held from when it is made until `release`, or the end of the process."""

    def __init__(self, index: str | Path) -> None:
        """Take the lock of an index.

        Raises:
            MienError: another has it, or the folder cannot be written.
        """
        target = Path(os.path.realpath(index))
        self._path = target.with_name(f".{target.name}.lock")
        self._number: int | None = None
        refusal = f"{to_text(index)} is being changed by another process; wait for it or stop it"
        try:
            for _ in range(_TRIES):
                self._number = take_lock(self._path, refusal)
                if self._is_there():
                    return
                self.release()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise MienError(f"cannot write {to_text(index)}: {reason}") from error
        raise MienError(refusal)

    def _is_there(self) -> bool:
        """Return whether the file is still the one of that name: the last owner removes it."""
        if self._number is None:
            return True
        with contextlib.suppress(FileNotFoundError):
            return os.path.samestat(os.fstat(self._number), self._path.stat())
        return False

    def release(self) -> None:
        """Let another have it."""
        if self._number is None:
            return
        # One that holds anything was somebody's before.
        status = os.fstat(self._number)
        if self._is_there() and stat.S_ISREG(status.st_mode) and not status.st_size:
            self._path.unlink(missing_ok=True)
        os.close(self._number)
        self._number = None

    def __del__(self) -> None:
        if getattr(self, "_number", None) is not None:
            self.release()
