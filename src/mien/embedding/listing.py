"""The inputs of a job, listed once; and how they are cut into shards, by the listing alone."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

from mien.embedding.frames import is_apart
from mien.embedding.options import EmbedOptions
from mien.errors import MienError
from mien.media.inputs import Inputs, Source, expand
from mien.media.remote_find import RemoteFile
from mien.table.shard import Shard, parse_shard

__all__ = ["Listing", "check_shard", "list_inputs"]

_IN_MEMORY = 2**24
"""Bytes of a listing; what is longer lies in a temporary file."""
_BYTES_PER_FRAME = 16_384
"""Of a video: what is about as much work as an image, for sharing the work alone."""


@dataclass(frozen=True, eq=False)
class Listing:
    """The inputs as they were found when the job began; what comes later is not added."""

    total: int
    """Number of all images and videos."""
    digest: str
    """The same for the same names, sizes and times of change, in the same order."""
    lines: IO[str]
    """A JSON array for each input: path label, full path, kind, about how much work it is; of one
    at an address also its size and version."""
    shard: Shard | None = None
    """The part of them that is to be embedded; None: all."""
    begins: int = 0
    """Number of the input in the first line."""

    @property
    def first(self) -> int:
        """Number of the first input to be embedded."""
        return 0 if self.shard is None else self.shard.first

    @property
    def stop(self) -> int:
        """Number of the input after the last one to be embedded."""
        return self.total if self.shard is None else self.shard.stop

    @property
    def count(self) -> int:
        """Number of inputs to be embedded."""
        return self.stop - self.first

    def sources(self) -> Iterator[Source]:
        """Yield the inputs to be embedded, in order."""
        for line in self._lines(self.first, self.stop):
            yield _source(line)

    def paths(self) -> Iterator[str]:
        """Yield the full paths of all inputs in the lines, to be embedded or not."""
        for line in self._lines(self.begins, self.total):
            yield _source(line).full_path

    def work(self) -> int:
        """Return about how much work all inputs are: images, or as many frames."""
        return sum(json.loads(line)[3] for line in self._lines(self.begins, self.total))

    def shards(self, count: int, batch_size: int) -> list[Shard]:
        """Return so many shards of about equal work; some have no inputs where there are few.

        Each begins where a batch begins in a run without shards, so that every input meets the
        model in the same company and its numbers are the same to the last bit.
        """
        ends = self._ends(count, batch_size)
        return [
            Shard(index, count, first, stop, self.total, self.digest, batch_size)
            for index, (first, stop) in enumerate(zip([0, *ends], ends, strict=False))
        ]

    def part(self, index: int, count: int, batch_size: int) -> Listing:
        """Return the listing of one shard of so many."""
        return replace(self, shard=self.shards(count, batch_size)[index])

    def cut_out(self, shards: Sequence[Shard]) -> Iterator[tuple[Shard, str]]:
        """Yield the shards, which are in order, each with the lines of its inputs."""
        lines, number = self._lines(0, self.total), 0
        for shard in shards:
            text = "".join(islice(lines, shard.first - number, shard.stop - number))
            number = shard.stop
            yield shard, text

    @staticmethod
    def of_shard(shard: Shard, lines: str) -> Listing:
        """Return the listing of a shard that was cut out elsewhere."""
        return Listing(shard.inputs, shard.listing, io.StringIO(lines), shard, shard.first)

    def _ends(self, count: int, batch_size: int) -> list[int]:
        """Return the number of the input behind each shard."""
        total, before = self.work(), 0
        ends: list[int] = []
        after_video = False
        for number, line in enumerate(self._lines(0, self.total)):
            kind, work = json.loads(line)[2:4]
            video = kind != "image"
            if is_apart(number, video=video, after_video=after_video, batch_size=batch_size):
                # Whole numbers: every machine must come to the same.
                while len(ends) < count - 1 and before * count >= total * (len(ends) + 1):
                    ends.append(number)
            before += work
            after_video = video
        return ends + [self.total] * (count - len(ends))

    def _lines(self, first: int, stop: int) -> Iterator[str]:
        self.lines.seek(0)
        return islice(self.lines, first - self.begins, stop - self.begins)


@contextlib.contextmanager
def list_inputs(paths: Inputs) -> Iterator[Listing]:
    """Go through the inputs once without reading them; the listing holds as long as the block.

    Raises:
        MienError: if an input does not exist or nothing is found.
    """
    hashed = hashlib.sha256()
    count = 0
    with tempfile.SpooledTemporaryFile(_IN_MEMORY, "w+", encoding="ascii") as lines:
        for source in expand(paths, remote=True):
            facts, size = _facts(source)
            work = 1 if source.kind == "image" else 1 + size // _BYTES_PER_FRAME
            hashed.update(f"{source.path_label}\0{facts}\0".encode())
            line = [source.path_label, os.fspath(source.full_path), source.kind, work]
            if source.remote is not None:
                line += [source.remote.size, source.remote.version]
            print(json.dumps(line), file=lines)
            count += 1
        if not count:
            raise MienError("no image or video is found in the inputs")
        yield Listing(count, hashed.hexdigest()[:16], lines)


def _facts(source: Source) -> tuple[str, int]:
    """Return what changes with an input's content, and its size in bytes; 0: not known."""
    if source.remote is not None:
        return f"{source.remote.size} {source.remote.version}", source.remote.size or 0
    try:
        status = Path(source.full_path).stat()
    except OSError:  # it will have a row with the reason
        return "unreadable", 0
    return f"{status.st_size} {status.st_mtime_ns}", status.st_size


def _source(line: str) -> Source:
    label, path, kind, _, *remote = json.loads(line)
    return Source(label, path, kind, remote=RemoteFile(path, *remote) if remote else None)


def check_shard(
    shard: str | None, out: str | Path, options: EmbedOptions
) -> tuple[int, int] | None:
    """Return I and N of a shard I/N, or None of None.

    Raises:
        MienError: it is no shard, or its table would not be one that can be merged.
    """
    if shard is None:
        return None
    options.refuse_schema("--shard")
    if Path(out).suffix.lower() != ".parquet":
        raise MienError(f"{out}: shards are written as .parquet; mien table merge writes the rest")
    return parse_shard(shard)
