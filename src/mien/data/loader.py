"""Batches on the device, prepared by threads ahead of the step that needs them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from mien.data.augment import (
    Variation,
    covered,
    degrade,
    noise_tiles,
    sample_variation,
    turned,
    vary,
)
from mien.data.batches import STREAM_CLIPS, Sampler
from mien.data.cache import CropCache
from mien.data.options import DataOptions
from mien.data.seeds import seed_of
from mien.pipeline.prefetch import prefetch

if TYPE_CHECKING:
    from mien.synth.clip import Clip
    from mien.synth.stream import Stream

__all__ = ["Loader", "Shard", "ahead", "rendered_clip"]

T = TypeVar("T")
Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Shard:
    """Which part of every batch a process takes."""

    rank: int = 0
    """This process, from 0."""
    world_size: int = 1
    """How many there are."""


@dataclass(frozen=True)
class _Prepared:
    crops: Tensor
    clip: Tensor
    index: Tensor
    variation: Variation
    real: Tensor
    rotation: Tensor


class Loader:
    """Yields dict(image, input, clip, index, real, rotation) for any range of steps.

    image: augmented crop, RGB in [0, 1] [B, 3, S, S]; input: the same with blur and noise, for the
    encoder; clip: int64 [B], -1 for stills; index: row in the global batch, int64 [B]; real: 1
    where the file's image is shown [B, 1, S, S]; rotation: of heads whose pose is known, else NaN
    [B, 3, 3].
    """

    def __init__(
        self,
        cache: CropCache | None,
        sampler: Sampler,
        *,
        options: DataOptions,
        image_size: int,
        device: torch.device,
        shard: Shard | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Prepare a loader.

        Args:
            cache: crops; None where everything comes from the stream.
            sampler: what makes up a batch.
            options: how crops are augmented, and threads.
            image_size: S. Pixels.
            device: where batches go.
            shard: the part of every batch that this process takes; everything by default.
            stream: endless clips, where the sampler takes some.
        """
        self._cache, self._sampler, self._stream = cache, sampler, stream
        self._options, self._size, self._device = options, image_size, device
        shard = shard or Shard()
        self._mine = sampler.shard(shard.rank, shard.world_size)
        self._room = round(image_size * options.margin)
        seed = sampler.seed
        self._tiles = noise_tiles(image_size, seed_of(seed, "tiles")).to(device)
        self.fingerprint = f"{cache.key if cache else 'stream'}-{sampler.shape}-{seed}"

    def iterate(self, start: int, stop: int) -> Generator[dict[str, Tensor], None, None]:
        """Yield the batches of steps start, ..., stop - 1."""
        with ahead(self._work, start, stop, self._options.workers) as made:
            for ready in made:
                yield ready if isinstance(ready, dict) else self._finish(ready)

    def _work(self, step: int) -> _Prepared | dict[str, Tensor]:
        prepared = self._prepare(step)
        if self._device.type == "cpu":
            return self._finish(prepared)
        return prepared

    def _prepare(self, step: int) -> _Prepared:
        rows = self._sampler.sample(step)
        generator = torch.Generator().manual_seed(seed_of(self._sampler.seed, "vary", step))
        first = torch.from_numpy(rows.first)
        variation = sample_variation(first, self._size, self._options, generator)
        mine = torch.from_numpy(self._mine)
        gathered = self._gather(rows.row[self._mine], rows.clip[self._mine])
        crops, real, rotation = (torch.from_numpy(array) for array in gathered)
        clip = torch.from_numpy(rows.clip)[mine]
        if self._device.type == "cuda":
            crops, clip, mine = crops.pin_memory(), clip.pin_memory(), mine.pin_memory()
        return _Prepared(crops, clip, mine, variation.take(mine.cpu()), real, rotation)

    def _gather(self, rows: Array, clips: Array) -> tuple[Array, Array, Array]:
        """Return the crops [B, P, P, 3] of rows, their real parts [B, 4], rotations [B, 3, 3]."""
        side, room = self._size + 2 * self._room, self._room
        crops = np.empty((len(rows), side, side, 3), dtype=np.uint8)
        real = np.repeat(np.array([[0, 0, 1, 1]], np.float32), len(rows), axis=0)
        rotation = np.full((len(rows), 3, 3), np.nan, dtype=np.float32)
        cached, cache = rows >= 0, self._cache
        if cache is not None:
            crops[cached] = cache.crops[rows[cached]]
            if cache.real is not None:
                real[cached] = cache.real[rows[cached]]
            if cache.rotation is not None:
                rotation[cached] = cache.rotation[rows[cached]]
        if self._stream is not None:
            places = np.flatnonzero(~cached).reshape(-1, self._sampler.frames)
            edge = np.array([room, room, side - room, side - room], np.float32) / side
            for place in places:
                crops[place], rotation[place] = self._rendered(int(clips[place[0]]))
                real[place] = edge
        return crops, real, rotation

    def _rendered(self, clip: int) -> tuple[Array, Array]:
        sampler = self._sampler
        rendered, frames = rendered_clip(self._stream, sampler.seed, clip, sampler.frames)
        images = rendered.images.transpose(0, 2, 3, 1)[frames]
        room = (self._room, self._room)
        padded = np.pad(images, ((0, 0), room, room, (0, 0)), mode="edge")
        return padded, rendered.labels.rotation[frames]

    @torch.no_grad()
    def _finish(self, prepared: _Prepared) -> dict[str, Tensor]:
        device = self._device
        variation = prepared.variation.to(device)
        crops = prepared.crops.to(device, non_blocking=True)
        image = vary(crops, variation, self._size)
        real, rotation = prepared.real.to(device), prepared.rotation.to(device)
        return {
            "image": image,
            "input": degrade(image, variation, self._tiles),
            "clip": prepared.clip.to(device, non_blocking=True),
            "index": prepared.index.to(device, non_blocking=True),
            "real": covered(real, variation, crops.shape[1], self._size),
            "rotation": turned(rotation, variation),
        }


def ahead(
    work: Callable[[int], T], start: int, stop: int, workers: int
) -> contextlib.closing[Generator[T]]:
    """Return work(step) of steps start, ..., stop - 1 in order, done by threads before its turn."""
    tasks = (partial(work, step) for step in range(start, stop))
    return contextlib.closing(prefetch(tasks, workers=workers, in_flight=workers + 2))


def rendered_clip(
    stream: Stream | None, seed: int, number: int, frames: int
) -> tuple[Clip, np.ndarray[Any, Any]]:
    """Return clip `number` of a batch from an endless source, and which frames of it to take. [T].

    Args:
        stream: the source.
        seed: of the batches.
        number: as the sampler counts clips.
        frames: T; those of a shorter clip are repeated.
    """
    assert stream is not None
    clip = stream.clip(number % STREAM_CLIPS)
    order = np.random.default_rng(seed_of(seed, "rendered", number)).permutation(len(clip.images))
    return clip, np.resize(order, frames)
