"""A job in parts, each the table of a shard: left as they are in a folder, or put together later.

`--out faces/`, here or at an address, leaves them: no merging, and every Parquet reader takes the
folder as one table. A part is named after the listing of the inputs and its place in it, and has
its name when it is whole.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from mien.embedding.job import SHARD_NAME
from mien.embedding.listing import Listing, list_inputs
from mien.embedding.options import EmbedOptions
from mien.embedding.remote_job import job_folder
from mien.embedding.run import Job, Paths, embed_listing
from mien.embedding.summary import Status, Summary, summarise
from mien.errors import MienError
from mien.media.addresses import is_address, local_name
from mien.media.names import to_text
from mien.media.remote import inside, refuse_web
from mien.pipeline.encode import AnyEncoder, open_encoder
from mien.table.schema import job_digest
from mien.table.shard import Shard

__all__ = ["WORK_PER_PART", "PartsFolder", "Work", "embed_to_parts", "is_folder"]

WORK_PER_PART = 2048
"""Images, or as many frames, of a part."""
_MOST_SHARDS = 20_000
_LOOKS = 8
"""Tables that are looked at at a time, for each look may wait for a network."""


def is_folder(out: str | Path) -> bool:
    """Return whether an output is to be a folder of parts: its name ends in `/`."""
    return isinstance(out, str) and out.endswith(("/", os.sep))


class _Places(Protocol):
    """Where the tables of shards go."""

    def shard_place(self, name: str) -> Path | str: ...
    def shard_names(self) -> set[str]: ...
    def drop_shards(self, names: Iterable[str]) -> None: ...


class Work:
    """What is to be done: shards, and where each one's table goes."""

    def __init__(
        self, job: Job, listing: Listing, folder: _Places, work_per_part: int = WORK_PER_PART
    ) -> None:
        self.job, self.listing = job, listing
        count = max(1, min(_MOST_SHARDS, -(-listing.work() // work_per_part)))
        self.shards = listing.shards(count, job.options.batch_size)
        self._folder = folder

    def name(self, shard: Shard) -> str:
        """Return the name of a shard's table: what is in it decides."""
        return f"{shard.listing}-{shard.index:06d}-of-{shard.count:06d}.parquet"

    def part(self, shard: Shard) -> Path | str:
        """Return where the table of a shard goes."""
        return self._folder.shard_place(self.name(shard))

    def done_before(self) -> list[Shard]:
        """Return the shards whose tables are there, and take away what is no whole table."""
        there = self._folder.shard_names()
        begun = [shard for shard in self.shards if self.name(shard) in there]
        with ThreadPoolExecutor(_LOOKS) as pool:
            whole = list(pool.map(self._is_done, begun))
        pairs = list(zip(begun, whole, strict=True))
        self._folder.drop_shards([self.name(shard) for shard, is_whole in pairs if not is_whole])
        return [shard for shard, is_whole in pairs if is_whole]

    def left(self, before: list[Shard]) -> Iterator[tuple[Shard, str]]:
        """Yield the shards that are left, each with the lines of its inputs."""
        there = {shard.index for shard in before}
        for shard, lines in self.listing.cut_out(self.shards):
            if shard.index not in there:
                yield shard, lines

    def summary(self, out: str, before: list[Shard]) -> Summary:
        """Count what all parts hold."""

        def count(shard: Shard) -> Summary:
            inputs = shard.stop - shard.first
            return summarise(self.part(shard), inputs=inputs, resumed_at=0)

        total = Summary(out, 0, 0, 0, 0, 0, {}, sum(each.stop - each.first for each in before))
        with ThreadPoolExecutor(_LOOKS) as pool:
            for one in pool.map(count, self.shards):
                total = replace(
                    total,
                    inputs=total.inputs + one.inputs,
                    rows=total.rows + one.rows,
                    faces=total.faces + one.faces,
                    without_face=total.without_face + one.without_face,
                    without_eyes=total.without_eyes + one.without_eyes,
                    failures=Counter(total.failures) + Counter(one.failures),
                )
        return total

    def _is_done(self, shard: Shard) -> bool:
        pinned = self.job.pinned(replace(self.listing, shard=shard))
        return job_folder(self.part(shard)).is_finished(job_digest(pinned))


class PartsFolder:
    """A folder, here or at an address, in which the parts stay."""

    def __init__(self, out: str) -> None:
        self.out = local_name(out)

    def shard_place(self, name: str) -> Path | str:
        """Return where a part goes."""
        place = f"{self.out}{name}"
        return place if is_address(place) else Path(place)

    def shard_names(self) -> set[str]:
        """Return the names of the tables in the folder."""
        return {name for name in self._names() if name[0] != "." and name.endswith(".parquet")}

    def drop_shards(self, names: Iterable[str]) -> None:
        """Refuse to take tables away: they are of this listing, but not of this job.

        Raises:
            MienError: there are any.
        """
        for name in names:
            raise MienError(
                f"{to_text(self.out)}{name} is there, but not from these options and weights: name "
                "another folder or give --overwrite"
            )

    def refuse(self, *, overwrite: bool, resume: bool) -> None:
        """Refuse a folder with tables in it that are neither to be continued nor replaced.

        Raises:
            MienError: so; or a folder cannot be made there.
        """
        if is_address(self.out):
            refuse_web(self.out)
        elif os.path.lexists(self.out.rstrip("/")) and not Path(self.out).is_dir():
            raise MienError(f"{to_text(self.out.rstrip('/'))} is no folder; name another one")
        for name in sorted(self._names()):
            ours = re.fullmatch(SHARD_NAME, name.removeprefix(".").removesuffix(".parts"))
            if name.endswith(".parquet") and not ours:
                raise MienError(
                    f"{to_text(self.out)} holds another table, {to_text(name)}: name another folder"
                )
            if ours and not (overwrite or resume):
                raise MienError(
                    f"{to_text(self.out)} holds parts of a table: continue with --resume, or start "
                    "over with --overwrite"
                )

    def begin(self, names: set[str], *, overwrite: bool, resume: bool) -> None:
        """Take away the parts that are to be replaced.

        Args:
            names: of the parts of this job.
            overwrite: whether parts of others may be taken away.
            resume: whether parts of this one stay.

        Raises:
            MienError: there are parts of others, which may not be taken away.
        """
        for name in sorted(self._names()):
            part = name.removeprefix(".").removesuffix(".parts")
            if not re.fullmatch(SHARD_NAME, part) or (resume and part in names):
                continue
            if not overwrite:
                raise MienError(
                    f"{to_text(self.out)} holds {part}, of other inputs: name another folder or "
                    "give --overwrite"
                )
            job_folder(self.shard_place(part)).discard()

    def _names(self) -> set[str]:
        """Return the names of what is in the folder; none: it is not there."""
        if is_address(self.out):
            return {name.partition("/")[0] for name in inside(self.out)}
        return (
            {path.name for path in Path(self.out).iterdir()} if Path(self.out).exists() else set()
        )


def embed_to_parts(
    paths: Paths,
    out: str,
    *,
    model: AnyEncoder | None = None,
    options: EmbedOptions | None = None,
    overwrite: bool = False,
    resume: bool = False,
    on_progress: Callable[[Status], None] | None = None,
    work_per_part: int = WORK_PER_PART,
) -> Summary:
    """Write what `embed_to_parquet` writes as tables in a folder, one after the other.

    Args:
        paths: images, videos, folders, globs and addresses.
        out: the folder, or its address, with `/` at its end.
        model: as of `embed_to_parquet`.
        options: likewise.
        overwrite: whether parts that are there may be taken away.
        resume: continue; parts that are there stay.
        on_progress: called after each batch.
        work_per_part: images, or as many frames, of a part.

    Raises:
        MienError: as `embed_to_parquet`; also if the folder holds other tables.
    """
    folder = PartsFolder(out)
    folder.refuse(overwrite=overwrite, resume=resume)
    options = options or EmbedOptions()
    options.refuse_schema("--out FOLDER/")
    job = Job.of(model or open_encoder(eyes_only=options.eyes_only), options)
    with list_inputs(paths) as listing:
        work = Work(job, listing, folder, work_per_part)
        folder.begin(set(map(work.name, work.shards)), overwrite=overwrite, resume=resume)
        before = work.done_before()
        status = Status(listing.total, float(sum(s.stop - s.first for s in before)), 0, 0)
        for shard, lines in work.left(before):
            told = _Told(status, on_progress)
            part = Listing.of_shard(shard, lines)
            embed_listing(
                part, work.part(shard), model=job.model, options=options, on_progress=told
            )
            status = told.now
        return work.summary(folder.out, before)


class _Told:
    """Adds the progress of a part to what was done before it."""

    def __init__(self, before: Status, listener: Callable[[Status], None] | None) -> None:
        self._before, self._listener = before, listener
        self.now = before

    def __call__(self, status: Status) -> None:
        before = self._before
        self.now = replace(
            before,
            done=before.done + status.done,
            frames=before.frames + status.frames,
            faces=before.faces + status.faces,
        )
        if self._listener is not None:
            self._listener(self.now)
