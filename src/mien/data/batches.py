"""Which crops make up a batch: a pure function of the seed and the step."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from mien.data.seeds import seed_of
from mien.errors import MienError

__all__ = ["STREAM_CLIPS", "BatchRows", "Sampler"]

Numbers = np.ndarray[Any, np.dtype[np.int64]]
STREAM_CLIPS = 1 << 40  # clips of endless sources are numbered from here


@dataclass(frozen=True)
class BatchRows:
    """One global batch: first the frames of clips, clip by clip, then the stills."""

    row: Numbers
    """Row of the crop cache, or -1 for a frame of an endless source. int64 [B]."""
    clip: Numbers
    """Clip of each image, -1 for stills. int64 [B]."""
    first: Numbers
    """Row of the batch at which the image's clip begins; its own for stills. int64 [B]."""
    stream: Numbers
    """For each stream clip of the batch, its number, from 0 without end. int64 [C]."""


class Sampler:
    """Mixes stills, cached clips and endless clips; every image is met once in an epoch."""

    def __init__(
        self,
        clip: Numbers,
        *,
        seed: int,
        batch_size: int,
        frames: int,
        stills_fraction: float,
        stream_fraction: float = 0.0,
    ) -> None:
        """Prepare a sampler.

        Args:
            clip: clip of each row of the crop cache, -1 for stills. [N].
            seed: decides every batch, together with the step.
            batch_size: B, over all processes.
            frames: frames sampled from each clip; those of a shorter clip are repeated.
            stills_fraction: of the images, where there are stills and clips.
            stream_fraction: of the clips that come from an endless source; 0 = there is none, 1 =
                cached clips are left out.

        Raises:
            MienError: there is nothing to sample, or a batch is smaller than a clip.
        """
        self.seed, self.frames, self.batch_size = seed, frames, batch_size
        self._frames_of, short = _group(clip)
        # A clip of one frame shows nothing of its person over time: it is a still.
        self._stills = np.concatenate([np.flatnonzero(clip < 0), short]).astype(np.int64)
        has_clips = bool(self._frames_of) or stream_fraction > 0
        if stills_fraction <= 0:
            alone = 0.0
        elif not has_clips:
            alone = 1.0
        else:
            alone = stills_fraction if len(self._stills) else 0.0
        clips = round(batch_size * (1 - alone) / frames) if has_clips else 0
        self.n_stream = (
            round(clips * stream_fraction) if self._frames_of else clips * (stream_fraction > 0)
        )
        self.n_clips = clips - self.n_stream
        self.n_stills = batch_size - clips * frames
        if not has_clips and alone == 0:
            raise MienError(
                "this stage needs clips: videos, a folder of `mien synth` or clips:FOLDER"
            )
        if self.n_stills < 0 or (self.n_stills and not (alone and len(self._stills))):
            raise MienError(
                f"a batch of {batch_size} images is no whole number of clips of {frames} frames; "
                "give a batch_size that is a multiple of frames"
            )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Return clips, endless clips and stills in a batch, and frames of a clip."""
        return self.n_clips, self.n_stream, self.n_stills, self.frames

    def sample(self, step: int) -> BatchRows:
        """Return the global batch of a step."""
        rng = np.random.default_rng(seed_of(self.seed, "frames", step))
        rows, clips = [], []
        for number in self._next("clips", step, self.n_clips, len(self._frames_of)):
            members = self._frames_of[number]
            order = rng.permutation(len(members))
            rows.append(members[np.resize(order, self.frames)])
            clips.append(np.full(self.frames, number))
        stream = np.arange(self.n_stream, dtype=np.int64) + step * self.n_stream
        for number in stream:
            rows.append(np.full(self.frames, -1))
            clips.append(np.full(self.frames, STREAM_CLIPS + number))
        count = self.n_clips + self.n_stream
        first = np.repeat(np.arange(count) * self.frames, self.frames)
        chosen = self._next("stills", step, self.n_stills, len(self._stills))
        rows.append(self._stills[chosen])
        clips.append(np.full(self.n_stills, -1))
        alone = np.arange(self.n_stills) + count * self.frames
        return BatchRows(
            np.concatenate(rows).astype(np.int64),
            np.concatenate(clips).astype(np.int64),
            np.concatenate([first, alone]).astype(np.int64),
            stream,
        )

    def shard(self, rank: int, world: int) -> Numbers:
        """Return the rows of the global batch that a process takes: whole clips, equal numbers.

        Raises:
            MienError: they cannot be divided equally.
        """
        parts, start = [], 0
        for count, width, what in (
            (self.n_clips, self.frames, "clips"),
            (self.n_stream, self.frames, "rendered clips"),
            (self.n_stills, 1, "stills"),
        ):
            if count % world:
                raise MienError(
                    f"{count} {what} in a batch cannot be divided among {world} processes; "
                    "give another batch_size"
                )
            mine = count // world * width
            parts.append(start + rank * mine + np.arange(mine))
            start += count * width
        return np.concatenate(parts).astype(np.int64)

    def _next(self, kind: str, step: int, count: int, total: int) -> Numbers:
        """Return the next `count` members, each once in an epoch, in a new order every epoch."""
        places = np.arange(step * count, (step + 1) * count)
        chosen = np.empty(count, dtype=np.int64)
        for epoch in np.unique(places // total) if count else ():
            inside = places // total == epoch
            chosen[inside] = _order(self.seed, kind, int(epoch), total)[places[inside] % total]
        return chosen


@lru_cache(maxsize=8)
def _order(seed: int, kind: str, epoch: int, total: int) -> Numbers:
    return np.random.default_rng(seed_of(seed, kind, epoch)).permutation(total)


def _group(clip: Numbers) -> tuple[list[Numbers], Numbers]:
    """Return the rows of each clip of two frames or more, and the rows of shorter ones."""
    rows = np.flatnonzero(clip >= 0)
    rows = rows[np.argsort(clip[rows], kind="stable")]
    borders = np.flatnonzero(np.diff(clip[rows])) + 1
    groups = [group for group in np.split(rows, borders) if len(group)]
    short = [group for group in groups if len(group) < 2]
    long = [group for group in groups if len(group) >= 2]
    return long, np.concatenate([*short, np.empty(0, dtype=np.int64)])
