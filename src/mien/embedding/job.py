"""A job that writes one table: where it stands on disk, and how it is resumed after a crash.

Beside `faces.parquet` stands the hidden folder `.faces.parquet.parts` with `journal.json`, which
pins what decides the rows (inputs, options, weights, detector, version), and the finished parts.
The last act renames the joined parts to `faces.parquet` and removes the folder.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mien.errors import MienError
from mien.media.inputs import expand
from mien.table.read import table_info
from mien.table.writer import Progress, join_parts, last_complete

__all__ = ["JobFolder", "Listing", "job_digest", "list_inputs"]

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORMAT = 1


@dataclass(frozen=True)
class Listing:
    """What the inputs are, in a few bytes."""

    count: int
    """Number of images and videos."""
    digest: str
    """The same for the same names, sizes and times of change, in the same order."""


def list_inputs(paths: Sequence[str | Path]) -> Listing:
    """Go through the inputs once without reading them.

    Raises:
        MienError: if an input does not exist or nothing is found.
    """
    hashed = hashlib.sha256()
    count = 0
    for source in expand(paths):
        try:
            status = Path(source.full_path).stat()
            facts = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:  # it will have a row with the reason
            facts = "unreadable"
        hashed.update(f"{source.path_label}\0{facts}\0".encode())
        count += 1
    if not count:
        raise MienError("no image or video is found in the inputs")
    return Listing(count, hashed.hexdigest()[:16])


def job_digest(pinned: dict[str, Any]) -> str:
    """Return 16 hex digits that are the same for the same job."""
    text = json.dumps(pinned, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class JobFolder:
    """The hidden folder of one table in the making."""

    def __init__(self, out: Path) -> None:
        self.out = out
        """The table that is to be written."""
        self.path = out.parent / f".{out.name}.parts"
        """The folder with the journal and the finished parts."""
        self._lock: int | None = None

    def is_finished(self, digest: str) -> bool:
        """Return whether the table is there and is this very job's."""
        try:
            there = table_info(self.out)
        except MienError:  # no table, or something else
            return False
        return there is not None and there.job == digest

    def refuse(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse what would destroy something that the user did not give up.

        Raises:
            MienError: if the table or an unfinished job is there and neither option was given.
        """
        if self.out.is_dir():
            raise MienError(f"{self.out} is a folder; name a file for the table")
        if overwrite or resume:
            return
        if self.path.exists():
            raise MienError(
                f"{self.out} was begun and interrupted: continue with --resume, "
                "or start over with --overwrite"
            )
        if self.out.exists():
            raise MienError(f"{self.out} exists: name another file or give --overwrite")

    def refuse_another(self, *, overwrite: bool) -> None:
        """Refuse to resume where the table is there but neither this job's nor unfinished.

        Raises:
            MienError: if so, and without leave to overwrite.
        """
        if self.out.exists() and not self.path.exists() and not overwrite:
            raise MienError(
                f"{self.out} is complete, but not from these inputs, options and weights: "
                "name another file or give --overwrite"
            )

    def begin(self, pinned: dict[str, Any], *, resume: bool) -> Progress:
        """Make the folder, or take up what is in it, and return how far it goes.

        Raises:
            MienError: if another run is writing, if the journal pins another job, or if nothing
                can be written there.
        """
        with self.writing():
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(exist_ok=True)
            self._take_lock()
            if not resume:
                self._clear()
            journal = self.path / "journal.json"
            if journal.exists():
                self._compare(journal, pinned)
            else:
                self._clear()
                # A name of its own, known to `_clear`: a killed run may leave it.
                unfinished = self.path / "unfinished"
                unfinished.write_text(json.dumps({"format": _FORMAT, **pinned}, indent=1))
                unfinished.replace(journal)
            return last_complete(self.path)

    def finish(self, schema: pa.Schema) -> None:
        """Join the parts, put the table in its place and remove the folder."""
        with self.writing():
            joined = self.path / "unfinished"
            try:
                join_parts(self.path, joined, schema)
            except pa.ArrowInvalid as error:
                raise MienError(
                    f"a part in {self.path} is damaged: start over with --overwrite"
                ) from error
            except OSError:
                joined.unlink(missing_ok=True)
                raise
            joined.replace(self.out)
            self.remove()

    def remove(self) -> None:
        """Remove the folder and what mien wrote into it."""
        if self.path.is_dir():
            self._clear()
            self.close()
            (self.path / "lock").unlink(missing_ok=True)
            self.path.rmdir()

    def close(self) -> None:
        """Let another run have the folder."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Turn what goes wrong with the disk into one line for the user.

        Raises:
            MienError: in place of an OSError.
        """
        try:
            yield
        except OSError as error:
            if error.errno in _FULL:
                raise MienError(
                    f"no space left on the disk of {self.out}: the finished rows are kept; "
                    "make room, then continue with --resume"
                ) from error
            reason = error.strerror or str(error).splitlines()[0]
            raise MienError(f"cannot write {self.out}: {reason}") from error

    def _take_lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # Windows, where two runs on one table are not noticed
            return
        self._lock = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise MienError(f"another run is writing {self.out}: wait for it or stop it") from error

    def _compare(self, journal: Path, pinned: dict[str, Any]) -> None:
        try:
            before = json.loads(journal.read_text())
        except ValueError as error:
            raise MienError(f"{journal} is damaged: start over with --overwrite") from error
        for name, now in {"format": _FORMAT, **pinned}.items():
            if before.get(name) != now:
                raise MienError(
                    f"cannot resume {self.out}: {name} was {before.get(name)} and is {now}; "
                    "give what it was begun with, or start over with --overwrite"
                )

    def _clear(self) -> None:
        # The journal goes first: without it nothing that is left counts.
        for pattern in ("journal.json", "part-*.parquet", "unfinished"):
            for path in self.path.glob(pattern):
                path.unlink()
