"""Who did what and when, a JSON line each: no faces, no images, no names of people in them."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["Audit"]

_LOG = logging.getLogger("mien.serve")


class Audit:
    """Appends to a file; opened anew for each line, so that it may be moved away."""

    def __init__(self, path: Path | None) -> None:
        """Take a file, or None to write nothing.

        Raises:
            MienError: it cannot be written.
        """
        self._path = path
        self._lock = threading.Lock()
        if path is not None:
            try:
                self._append(b"")
            except OSError as error:
                reason = (error.strerror or str(error)).lower()
                raise MienError(f"cannot write {to_text(path)}: {reason}") from error

    def write(self, token: str, operation: str, status: int, counts: Mapping[str, int]) -> None:
        """Add a line: time (UTC), the token's name, the operation, its status and its counts."""
        if self._path is None:
            return
        time = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {"time": time, "token": token, "operation": operation, "status": status, **counts}
        try:
            self._append(json.dumps(line).encode() + b"\n")
        except OSError as error:  # what was asked for is done already
            _LOG.error("cannot write the audit log: %s", error.strerror or error)

    def _append(self, line: bytes) -> None:
        assert self._path is not None
        with self._lock:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
            file = os.open(self._path, flags, 0o600)
            try:
                os.write(file, line)
            finally:
                os.close(file)
