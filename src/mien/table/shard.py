"""A part of a job's inputs: which one, of how many, and of what listing; kept inside its table."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields

from mien.errors import MienError

__all__ = ["Shard", "parse_shard"]

_TEXT = re.compile(r"(\d{1,9})/(\d{1,9})", re.ASCII)
MOST_SHARDS = 1_000_000


@dataclass(frozen=True)
class Shard:
    """Some consecutive inputs of a listing; all shards together are all of them, none twice."""

    index: int
    """Which shard, from 0."""
    count: int
    """Number of shards."""
    first: int
    """Number of its first input in the listing."""
    stop: int
    """Number of the input after its last; `first` where it has none."""
    inputs: int
    """Number of all inputs of the listing."""
    listing: str
    """Digest of the listing: names, sizes, times of change, order."""
    batch_size: int
    """Faces encoded at a time: shards begin where a batch would begin in a run without shards."""

    @property
    def name(self) -> str:
        """Return it as it is given on the command line: 3/8."""
        return f"{self.index}/{self.count}"

    def text(self) -> str:
        """Return it as it is written into a table."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Shard:
        """Return what `text` wrote.

        Raises:
            ValueError: if it holds no shard.
        """
        found = json.loads(text)
        kinds = {field.name: str if field.name == "listing" else int for field in fields(Shard)}
        if not isinstance(found, dict) or found.keys() != kinds.keys():
            raise ValueError("no shard")
        if any(type(found[name]) is not kind for name, kind in kinds.items()):
            raise ValueError("no shard")
        shard = Shard(**found)
        ordered = 0 <= shard.first <= shard.stop <= shard.inputs
        if not (0 <= shard.index < shard.count and ordered):
            raise ValueError("no shard")
        return shard


def parse_shard(text: str) -> tuple[int, int]:
    """Return I and N of a shard I/N.

    Raises:
        MienError: if it is none: I counts from 0, as Slurm's and most schedulers' arrays do.
    """
    match = _TEXT.fullmatch(text)
    index, count = (int(match[1]), int(match[2])) if match else (0, 0)
    if not 0 <= index < count <= MOST_SHARDS:
        last = f"; the last of {count} is {count - 1}/{count}" if 0 < count <= index else ""
        raise MienError(
            f"--shard is I/N with I from 0 to N - 1, such as 0/8, not {text[:40]!r}{last}"
        )
    return index, count
