"""Batches of canvases around the eyes, faces and eye-region crops in fixed fractions, prefetched.

The loader only gathers; all augmentation is the loss's own. Batch k is a pure function of k.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mien.data.batches import Sampler
from mien.data.eye_cache import EyeCache
from mien.data.eye_canvas import FORM, EyeForm, eye_row
from mien.data.eye_labels import lids_open
from mien.data.loader import Shard, ahead, rendered_clip
from mien.data.seeds import seed_of
from mien.errors import MienError

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["EyeLoader", "EyeMixture"]

EYE_CROP_CLIPS = 1 << 50  # clips of eye-region crops are numbered from here

Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class EyeMixture:
    """What makes up a batch."""

    seed: int
    """Decides every batch, together with the step."""
    batch_size: int
    """B, over all processes."""
    frames: int
    """Frames sampled from each clip."""
    stills_fraction: float = 0.5
    """Fraction of the images that are stills, where there are stills and clips."""
    eye_crop_fraction: float | None = None
    """Fraction of eye-region crops in a batch, where there are faces as well; None = that of the
    images, or half where faces come from an endless source."""
    stream_fraction: float = 0.0
    """Fraction of the faces' clips that an endless source gives; 0 = there is none."""
    labelled: bool = False
    """Take only images whose eyes are labelled."""


@dataclass(frozen=True)
class _Part:
    """Faces or eye-region crops: a sampler of some rows of the cache."""

    sampler: Sampler
    rows: Numbers
    first_clip: int
    """Added to its clips' numbers."""
    start: int
    """Row of the batch at which it begins."""


class EyeLoader:
    """Yields batches for any range of steps.

    canvas uint8 [B, 1, H, W]; eyes float32 [B, 2, 2], pixels of the canvas; face uint8
    [B, 1, F, F]; face_eyes float32 [B, 2, 2]; has_face bool [B]; clip int64 [B], -1 for stills;
    open float32 [B], 1 = open, 0 = shut, NaN = not known; index int64 [B], row of the whole batch.
    """

    def __init__(
        self,
        cache: EyeCache | None,
        mixture: EyeMixture,
        *,
        form: EyeForm = FORM,
        device: torch.device,
        workers: int = 1,
        shard: Shard | None = None,
        stream: Stream | None = None,
    ) -> None:
        """Prepare a loader as `Loader` is; `mixture` is what makes up a batch, `form` has sizes.

        Raises:
            MienError: there is nothing to sample, or the batch cannot be divided as asked.
        """
        self._cache, self._form, self._device = cache, form, device
        self._workers, self._stream, self._seed = workers, stream, mixture.seed
        shard = shard or Shard()
        self._parts = list(_parts(cache, mixture, stream))
        mine = [p.start + p.sampler.shard(shard.rank, shard.world_size) for p in self._parts]
        self._mine = np.concatenate(mine)
        shapes = [part.sampler.shape for part in self._parts]
        only = "-labelled" if mixture.labelled else ""
        self.fingerprint = f"{cache.key if cache else 'stream'}{only}-{shapes}-{mixture.seed}"

    def iterate(self, start: int, stop: int) -> Generator[dict[str, Tensor], None, None]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        with ahead(self._gathered, start, stop, self._workers) as made:
            for batch in made:
                yield {k: v.to(self._device, non_blocking=True) for k, v in batch.items()}

    def _gathered(self, step: int) -> dict[str, Tensor]:
        rows, clips = [], []
        for part in self._parts:
            batch_rows = part.sampler.sample(step)
            row, clip = batch_rows.row, batch_rows.clip
            rows.append(np.where(row >= 0, part.rows[row], -1) if len(part.rows) else row)
            clips.append(np.where(clip >= 0, clip + part.first_clip, -1))
        row, clip = np.concatenate(rows)[self._mine], np.concatenate(clips)[self._mine]
        batch = self._blank(len(row))
        cached = row >= 0
        if self._cache is not None and cached.any():
            self._fill_cached(batch, cached, row[cached])
        rendered = np.flatnonzero(~cached)
        for place in rendered.reshape(-1, self._parts[0].sampler.frames):
            self._fill_rendered(batch, place, int(clip[place[0]]))
        batch |= {"clip": clip, "index": self._mine}
        tensors = {name: torch.from_numpy(value) for name, value in batch.items()}
        if self._device.type == "cuda":
            tensors = {name: value.pin_memory() for name, value in tensors.items()}
        return tensors

    def _blank(self, count: int) -> dict[str, np.ndarray[Any, Any]]:
        form = self._form
        return {
            "canvas": np.empty((count, 1, *form.canvas), dtype=np.uint8),
            "eyes": np.empty((count, 2, 2), dtype=np.float32),
            "face": np.empty((count, 1, form.face, form.face), dtype=np.uint8),
            "face_eyes": np.empty((count, 2, 2), dtype=np.float32),
            "has_face": np.ones(count, dtype=np.bool_),
            "open": np.empty(count, dtype=np.float32),
        }

    def _fill_cached(
        self, batch: dict[str, np.ndarray[Any, Any]], where: np.ndarray[Any, Any], rows: Numbers
    ) -> None:
        assert self._cache is not None
        batch["canvas"][where, 0], batch["face"][where, 0] = self._cache.gather(rows)
        for name in ("eyes", "face_eyes", "has_face", "open"):
            batch[name][where] = getattr(self._cache, name)[rows]

    def _fill_rendered(
        self, batch: dict[str, np.ndarray[Any, Any]], place: Numbers, number: int
    ) -> None:
        assert self._stream is not None
        clip, frames = rendered_clip(self._stream, self._seed, number, len(place))
        shown = lids_open(clip.labels.expression_weights, self._stream.head.expression_names)
        for at, frame in zip(place, frames, strict=True):
            image = clip.images[frame].transpose(1, 2, 0)
            row = eye_row(image, clip.labels.landmarks[frame, :2], self._form)
            batch["canvas"][at, 0], batch["face"][at, 0] = row.canvas, row.face
            batch["eyes"][at], batch["face_eyes"][at] = row.eyes, row.face_eyes
            batch["open"][at] = shown[frame]


def _parts(
    cache: EyeCache | None, mixture: EyeMixture, stream: Stream | None
) -> Generator[_Part, None, None]:
    """Yield the faces' sampler, then the eye-region crops', where there are such images."""
    usable = np.empty(0, dtype=bool)
    if cache is not None:
        usable = cache.labelled if mixture.labelled else np.ones(len(cache), dtype=bool)
    clip = np.empty(0, dtype=np.int64) if cache is None else cache.clip
    has_face = np.empty(0, dtype=bool) if cache is None else cache.has_face
    faces, eye_crops = np.flatnonzero(usable & has_face), np.flatnonzero(usable & ~has_face)
    stream_fraction = mixture.stream_fraction if stream is not None else 0.0
    if stream is not None and not len(faces):
        stream_fraction = 1.0
    some_faces = bool(len(faces)) or stream_fraction > 0
    if not some_faces and not len(eye_crops):
        raise MienError(
            "no images whose eyes are known; give faces, eye-region crops or synth:HEAD_MODEL"
        )
    count = _eye_crop_count(mixture, len(faces), len(eye_crops), endless=stream_fraction > 0)
    if count < mixture.batch_size:
        sampler = Sampler(
            clip[faces],
            seed=mixture.seed,
            batch_size=mixture.batch_size - count,
            frames=mixture.frames,
            stills_fraction=mixture.stills_fraction,
            stream_fraction=stream_fraction,
        )
        yield _Part(sampler, faces, 0, 0)
    if count:
        sampler = Sampler(
            clip[eye_crops],
            seed=seed_of(mixture.seed, "strips"),  # the name when runs were first seeded by it
            batch_size=count,
            frames=mixture.frames,
            stills_fraction=mixture.stills_fraction,
        )
        yield _Part(sampler, eye_crops, EYE_CROP_CLIPS, mixture.batch_size - count)


def _eye_crop_count(mixture: EyeMixture, faces: int, eye_crops: int, *, endless: bool) -> int:
    """Return how many images of a batch are eye-region crops: whole clips."""
    size, frames, fraction = mixture.batch_size, mixture.frames, mixture.eye_crop_fraction
    if not eye_crops or not (faces or endless):
        return size if eye_crops else 0
    if fraction is None:
        fraction = 0.5 if endless else eye_crops / (eye_crops + faces)
        max_clips = (size - 1) // frames
        if max_clips < 1:
            raise MienError(
                f"a batch of {size} images has no room for a clip of {frames} frames of faces "
                "and one of eye-region crops; give a larger batch_size"
            )
        # Each kind has a place in every batch, however few there are of it.
        return min(max(round(size * fraction / frames), 1), max_clips) * frames
    return min(round(size * fraction / frames) * frames, size)
