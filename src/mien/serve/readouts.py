"""Calibrations and probes that clients have made: in memory, and in a folder if there is one."""

from __future__ import annotations

import re
import secrets
import threading
from pathlib import Path
from typing import Generic, TypeVar

from mien.errors import MienError
from mien.probes.gaze import Calibration
from mien.probes.probe import Probe
from mien.serve.errors import ApiError

__all__ = ["MAX_READOUTS", "Readouts"]

Content = TypeVar("Content", Calibration, Probe)

MAX_READOUTS = 100
"""Of each kind."""
_ID = re.compile(r"[0-9a-f]{16}")


class Readouts(Generic[Content]):
    """Calibrations, or probes, each with a number of its own."""

    def __init__(self, kind: type[Content], folder: Path | None) -> None:
        """Read those that are in the folder.

        Raises:
            MienError: one of them is damaged, or the folder cannot be made.
        """
        self._kind, self._folder = kind, folder
        self._name = kind.__name__.lower()
        self._lock = threading.Lock()
        self._known: dict[str, Content] = {}
        if folder is None:
            return
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise MienError(f"cannot keep {self._name}s in {folder}: {reason}") from error
        for path in sorted(folder.glob("*.json")):
            if _ID.fullmatch(path.stem):
                self._known[path.stem] = kind.load(path)

    def add(self, content: Content) -> str:
        """Take one in and return its number.

        Raises:
            ApiError: there are as many as there may be.
        """
        with self._lock:
            if len(self._known) >= MAX_READOUTS:
                raise ApiError("full", f"there are {MAX_READOUTS} {self._name}s; delete one first")
            number = secrets.token_hex(8)
            if self._folder is not None:
                content.save(self._folder / f"{number}.json")
            self._known[number] = content
            return number

    def get(self, number: str) -> Content:
        """Return one.

        Raises:
            ApiError: there is none of this number.
        """
        with self._lock:
            if number not in self._known:
                raise ApiError(f"unknown_{self._name}", f"there is no {self._name} {number}")
            return self._known[number]

    def all(self) -> dict[str, Content]:
        """Return all by their numbers, in order."""
        with self._lock:
            return dict(sorted(self._known.items()))

    def delete(self, number: str) -> None:
        """Delete one, its file too.

        Raises:
            ApiError: there is none of this number.
        """
        self.get(number)
        with self._lock:
            if self._folder is not None:
                (self._folder / f"{number}.json").unlink(missing_ok=True)
            self._known.pop(number, None)
