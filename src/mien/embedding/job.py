"""A job that writes one table: where it stands on disk, and how it is resumed after a crash.

Beside `faces.parquet` stands the hidden folder `.faces.parquet.parts` with `journal.json`, which
pins what decides the rows (inputs, options, weights, detector, version), and the finished parts.
The last act renames the joined parts to `faces.parquet` and removes the folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from mien.errors import MienError
from mien.media.faults import FULL, fault
from mien.media.lock import take_lock
from mien.media.names import to_text
from mien.media.outputs import check_outputs
from mien.table.formats import check_format, convert
from mien.table.read import table_info
from mien.table.writer import PART, Progress, join_parts, last_complete

__all__ = ["JOURNAL", "SHARD_NAME", "JobFolder", "is_ours"]

_FORMAT = 3
JOURNAL = "journal.json"
_LOCK, _UNFINISHED, _CONVERTED = "lock", "unfinished", "converted"
SHARD_NAME = r"[0-9a-f]{16}-\d{6}-of-\d{6}\.parquet"
_SHARD_PARTS = re.compile(rf"\.({SHARD_NAME})\.parts")
_OURS = re.compile(
    rf"{re.escape(JOURNAL)}|{_LOCK}|{_UNFINISHED}|{_CONVERTED}|{PART.pattern}"
    rf"|{SHARD_NAME}|{_SHARD_PARTS.pattern}"
)
"""Names of what mien writes into the folder: those of shards, which are jobs of their own, too."""
_MOSTJOURNAL = 2**22


def is_ours(name: str) -> bool:
    """Return whether mien gives this name to what it writes into the hidden folder."""
    return _OURS.fullmatch(name) is not None


class JobFolder:
    """The hidden folder of one table in the making."""

    def __init__(self, out: Path) -> None:
        self._given: Path | str = out
        self.out = Path(os.path.realpath(out))
        """The table that is to be written; of a link the file that it leads to."""
        self.target: Path | str = self.out
        """Where it is read again."""
        self.path = self.out.parent / f".{self.out.name}.parts"
        """The folder with the journal and the finished parts."""
        self._lock: int | None = None

    @property
    def unfinished(self) -> Path:
        """Where the whole table is written, as Parquet, before it is put in its place."""
        return self.path / _UNFINISHED

    def is_begun(self) -> bool:
        """Return whether there is an unfinished job.

        Raises:
            MienError: if something else is in its place, which must not be touched.
        """
        if not os.path.lexists(self.path):
            return False
        shown = to_text(self.path)
        if self.path.is_symlink() or not self.path.is_dir():
            raise MienError(
                f"{shown} is a link or no folder: move it away, unfinished rows are kept there"
            )
        names = {path.name for path in self.path.iterdir()}
        others = [name for name in sorted(names) if not _OURS.fullmatch(name)]
        if not others and not names <= {_LOCK, _UNFINISHED} and JOURNAL not in names:
            others = sorted(names)
        if others and not isinstance(self._journal(), dict):
            raise MienError(
                f"{shown} holds files that mien did not write, first {to_text(others[0])}: move "
                "them away, unfinished rows are kept there"
            )
        return True

    def is_finished(self, digest: str) -> bool:
        """Return whether the table is there and is this very job's."""
        try:
            there = table_info(self.target)
        except MienError:  # no table, or something else
            return False
        return there is not None and there.job == digest

    def refuse(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse what would destroy something that the user did not give up.

        Raises:
            MienError: if the table or an unfinished job is there and neither option was given, or
                what must not be touched is in their place.
        """
        check_outputs([self._given], overwrite=True)
        check_format(self._given)
        begun = self.is_begun()
        if overwrite or resume:
            return
        if begun:
            raise MienError(
                f"{self.target} was begun and interrupted: continue with --resume, "
                "or start over with --overwrite"
            )
        check_outputs([self._given])

    def refuse_another(self, *, overwrite: bool) -> None:
        """Refuse to resume where the table is there but neither this job's nor unfinished.

        Raises:
            MienError: if so, and without leave to overwrite.
        """
        if self._is_alone() and not overwrite:
            if not self._says_what_made_it():
                raise MienError(
                    f"{self.target} is there and does not say what made it, so that nothing can be "
                    "resumed: name another file or give --overwrite"
                )
            raise MienError(
                f"{self.target} is complete, but not from these inputs, options and weights: "
                "name another file or give --overwrite"
            )

    def _is_alone(self) -> bool:
        """Return whether the table is there, and no unfinished one."""
        return self.out.exists() and not self.path.exists()

    def begin(self, pinned: dict[str, Any], *, resume: bool) -> Progress:
        """Make the folder, or take up what is in it, and return how far it goes.

        Raises:
            MienError: if another run is writing, if the journal pins another job, or if nothing
                can be written there.
        """
        if resume and (self.path / JOURNAL).exists():
            self._compare(pinned)
        with self.writing():
            self.out.parent.mkdir(parents=True, exist_ok=True)
            self.path.mkdir(exist_ok=True)
            self._take_lock()
            if not resume:
                self._clear()
            if not (self.path / JOURNAL).exists():
                # A name of its own, known to `_clear`: a killed run may leave it.
                unfinished = self.path / _UNFINISHED
                unfinished.write_text(json.dumps({"format": _FORMAT, **pinned}, indent=1))
                unfinished.replace(self.path / JOURNAL)
            return last_complete(self.path)

    def finish(self, schema: pa.Schema) -> Path:
        """Join the parts and return the table, still in the folder, as Parquet."""
        with self.writing():
            joined = self.unfinished
            try:
                join_parts(self.path, joined, schema)
            except MienError as error:
                joined.unlink(missing_ok=True)
                raise MienError(
                    f"a part in {self.path} is damaged: start over with --overwrite"
                ) from error
            except OSError:
                joined.unlink(missing_ok=True)
                raise
            return joined

    def place(self, joined: Path, *, schema: str = "mien") -> None:
        """Put the table in its place, in the form that its name asks for; remove the folder.

        Args:
            joined: the whole table, as Parquet.
            schema: one of `mien.columns.SCHEMAS`: whose names its columns get.
        """
        suffix = Path(self._given).suffix.lower()  # not that of a link's target
        with self.writing():
            if suffix != ".parquet" or schema != "mien":
                converted = self.path / _CONVERTED
                convert(joined, converted, suffix, schema=schema)
                joined = converted
            self._put(joined)
            self.remove()

    def keep(self, part: Path) -> None:
        """Keep a part that is written: here nothing is left to be done."""

    def shard_place(self, name: str) -> Path | str:
        """Return where the table of a shard goes."""
        return self.path / name

    def shard_names(self) -> set[str]:
        """Return the names of what is there of shards' tables, whole or not."""
        return {path.name for path in self.path.iterdir() if re.fullmatch(SHARD_NAME, path.name)}

    def drop_shards(self, names: Iterable[str]) -> None:
        """Remove tables of shards."""
        for name in names:
            (self.path / name).unlink(missing_ok=True)

    def shard_tables(self, names: Sequence[str]) -> list[Path]:
        """Return the tables of shards, on this machine's disk."""
        return [self.path / name for name in names]

    def discard(self) -> None:
        """Take the table away, and an unfinished one."""
        with self.writing():
            self.remove()
            self.out.unlink(missing_ok=True)

    def _put(self, table: Path) -> None:
        table.replace(self.out)

    def remove(self) -> None:
        """Remove the folder and what mien wrote into it."""
        if self.path.is_dir():
            self._clear()
            self.close()
            (self.path / _LOCK).unlink(missing_ok=True)
            with contextlib.suppress(OSError):  # what else is in it is not ours
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
            if error.errno in FULL:
                raise MienError(
                    f"no space left on the disk of {self.target}: the finished rows are kept; "
                    "make room, then continue with --resume"
                ) from error
            raise MienError(f"cannot write {self.target}: {fault(error)}") from error

    def _says_what_made_it(self) -> bool:
        try:
            return table_info(self.target) is not None
        except MienError:
            return Path(self.target).suffix.lower() not in (".csv", ".jsonl")

    def _take_lock(self) -> None:
        self._lock = take_lock(
            self.path / _LOCK, f"another run is writing {self.target}: wait for it or stop it"
        )

    def _journal(self) -> object:
        """Return what the journal says; None if it is damaged or there is none."""
        path = self.path / JOURNAL
        try:
            if path.stat().st_size > _MOSTJOURNAL:
                return None
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None

    def _compare(self, pinned: dict[str, Any]) -> None:
        before = self._journal()
        if not isinstance(before, dict):
            raise MienError(f"{self.path / JOURNAL} is damaged: start over with --overwrite")
        given = {"format": _FORMAT, **pinned}
        # What only one of the two has differs, too.
        for name in dict.fromkeys([*given, *before]):
            now = given.get(name)
            if before.get(name) != now:
                raise MienError(
                    f"cannot resume {self.target}: {name} was {str(before.get(name))[:200]} and is "
                    f"{now}; give what it was begun with, or start over with --overwrite"
                )

    def _clear(self) -> None:
        # From the last part to the first, then the journal: what is left at any moment is a job.
        for path in sorted(self.path.iterdir(), reverse=True):
            shard = _SHARD_PARTS.fullmatch(path.name)
            if shard and path.is_dir() and not path.is_symlink():
                JobFolder(self.path / shard[1]).remove()
            elif _OURS.fullmatch(path.name) and path.name not in (_LOCK, JOURNAL):
                path.unlink()
        (self.path / JOURNAL).unlink(missing_ok=True)
