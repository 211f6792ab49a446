"""A job whose table goes to an address: its finished parts lie there, too.

Beside `s3://bucket/faces.parquet` stand the journal and the parts, in `.faces.parquet.parts/`, as
beside a table on a disk. What is written is written here first, in a temporary folder, and goes up
when it is whole; who resumes, on whatever machine, has the parts brought back. Nothing at an
address can be locked: that two runs write one table is not noticed.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from mien.embedding.job import JOURNAL, JobFolder, is_ours
from mien.errors import MienError
from mien.media.addresses import is_address, local_name
from mien.media.names import to_text
from mien.media.remote import download, exists, inside, remove, upload
from mien.media.remote_faults import LostError
from mien.table.writer import PART, Progress

__all__ = ["RemoteJob", "job_folder", "kept_is_told"]


def job_folder(out: str | Path) -> JobFolder:
    """Return the job of a table, here or at an address.

    Raises:
        MienError: it is an address that holds a password.
    """
    out = local_name(out) if isinstance(out, str) else out
    return RemoteJob(out) if is_address(out) else JobFolder(Path(out))


@contextlib.contextmanager
def kept_is_told() -> Iterator[None]:
    """Let the line on a network that is lost say that nothing else is.

    Raises:
        LostError: what is raised in the block, with that.
    """
    try:
        yield
    except LostError as error:
        raise LostError(f"{error}; what is finished is kept: continue with --resume") from error


class RemoteJob(JobFolder):
    """The hidden folder at an address of one table in the making, and a copy of it here."""

    def __init__(self, address: str) -> None:
        folder, _, name = address.rpartition("/")
        self._parts = f"{folder}/.{name}.parts"
        # Made when the job begins; until then there is nothing in it.
        self._work: tempfile.TemporaryDirectory[str] | None = None
        super().__init__(Path(name))
        self._given = self.target = address

    def is_begun(self) -> bool:
        names = inside(self._parts)
        for name in names:
            if not all(map(is_ours, name.split("/"))):
                raise MienError(
                    f"{to_text(self._parts)} holds files that mien did not write, first "
                    f"{to_text(name)}: move them away, unfinished rows are kept there"
                )
        return bool(names)

    def begin(self, pinned: dict[str, Any], *, resume: bool) -> Progress:
        self.close()
        self._work = tempfile.TemporaryDirectory(prefix="mien-")
        self.out = Path(self._work.name).resolve() / self.out.name
        self.path = self.out.parent / "parts"
        names = inside(self._parts)
        if not resume:
            self._clear_there(names)
        parts = [name for name in names if PART.fullmatch(name)] if resume else []
        with self.writing():
            self.path.mkdir()
            if resume and JOURNAL in names:
                download(self._parts, [JOURNAL, *parts], self.path)
        progress = super().begin(pinned, resume=resume)
        remove(self._parts, [name for name in parts if not (self.path / name).exists()])
        if not resume or JOURNAL not in names:
            self.keep(self.path / JOURNAL)
        return progress

    def keep(self, part: Path) -> None:
        upload(part, f"{self._parts}/{part.name}")

    def shard_place(self, name: str) -> str:
        return f"{self._parts}/{name}"

    def shard_names(self) -> set[str]:
        return {name for name in inside(self._parts) if "/" not in name}

    def drop_shards(self, names: Iterable[str]) -> None:
        remove(self._parts, names)

    def shard_tables(self, names: Sequence[str]) -> list[Path]:
        with self.writing():
            download(self._parts, names, self.path)
        return super().shard_tables(names)

    def remove(self) -> None:
        self._clear_there(inside(self._parts))
        self.close()

    def discard(self) -> None:
        self.remove()
        folder, _, name = str(self.target).rpartition("/")
        remove(folder, [name])

    def close(self) -> None:
        super().close()
        if self._work is not None:
            self._work.cleanup()
            self._work = None

    def _is_alone(self) -> bool:
        return not inside(self._parts) and exists(str(self.target))

    def _put(self, table: Path) -> None:
        upload(table, str(self.target))

    def _clear_there(self, names: Iterable[str]) -> None:
        # The journal last: what is left at any moment is a job.
        ours = [name for name in names if all(map(is_ours, name.split("/")))]
        remove(self._parts, [name for name in ours if name != JOURNAL])
        remove(self._parts, [name for name in ours if name == JOURNAL])
