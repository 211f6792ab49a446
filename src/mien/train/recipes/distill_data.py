"""Training images of a student, and images held out to measure it: whole clips of each source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mien.data.eye_cache import EyeCache, EyeSources, open_eye_caches
from mien.data.loader import Shard
from mien.gaze.config import FACE_CROP
from mien.model import Model
from mien.train.recipes.data import LocalizerSearch, cache_eyes, eye_loader, open_stream
from mien.train.recipes.run import Run

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["DistillData", "hold_out", "in_order", "open_data", "validation_batches"]

_RENDERED_BATCHES = 8
"""Batches of rendered clips in the validation set, where there is an endless source."""
_COLUMNS = ("clip", "eyes", "face_eyes", "open", "labelled", "has_face")


@dataclass(frozen=True)
class DistillData:
    """Everything that was given, divided."""

    cache: EyeCache | None
    """Training images."""
    held: EyeCache | None
    """Images held out."""
    stream: Stream | None
    """Rendered clips without end; the late ones are held out."""


def open_data(run: Run[Any], sources: EyeSources, model: Model) -> DistillData:
    """Crop what is given, once per node, and hold some of it out.

    Args:
        run: gives the options.
        sources: of the run.
        model: the teacher; finds the eyes that neither labels nor the detector give.
    """
    stream = open_stream(run, sources.streams, FACE_CROP)
    assert model.gaze is not None
    search = LocalizerSearch(model.network, model.gaze)
    folders = cache_eyes(run, sources, sources.known, None)
    folders += cache_eyes(run, sources, sources.unknown, search)
    if not folders:
        return DistillData(None, None, stream)
    options = run.config.distill
    cache, held = hold_out(
        open_eye_caches(folders),
        fraction=options.held_out_fraction,
        max_images=options.max_held_out,
    )
    return DistillData(cache, held, stream)


def validation_batches(data: DistillData, run: Run[Any]) -> Iterator[dict[str, Tensor]]:
    """Yield the images held out, then people rendered for validation alone."""
    stage = run.config.distill
    if data.held is not None:
        yield from in_order(data.held, run.fabric.device, at_once=stage.batch_size)
    if data.stream is not None:
        # Training meets at most `steps` batches of rendered clips: those after them are new.
        loader = eye_loader(run, None, data.stream, stage, shard=Shard())
        with closing(loader.iterate(stage.steps, stage.steps + _RENDERED_BATCHES)) as batches:
            yield from batches


def hold_out(cache: EyeCache, *, fraction: float, max_images: int) -> tuple[EyeCache, EyeCache]:
    """Divide a cache into training images, which share its memory, and held-out ones, a copy.

    A source's images come in the order of their names, so that its end is other people than its
    start where names go by person. A clip is never in both parts.

    Args:
        cache: of one folder or several.
        fraction: of each folder that is held out.
        max_images: held out of all folders together.
    """
    fraction = min(fraction, max_images / max(1, len(cache)))
    sizes = [len(canvas) for canvas in cache.canvas]
    starts = np.cumsum([0, *sizes])[:-1]
    cuts = [size - int(size * fraction) for size in sizes]
    trained = np.concatenate([s + np.arange(n) for s, n in zip(starts, cuts, strict=True)])
    rest = np.setdiff1d(np.arange(len(cache)), trained)
    kept = rest[~np.isin(cache.clip[rest], cache.clip[trained]) | (cache.clip[rest] < 0)]
    canvas, face = cache.gather(kept)
    train = replace(
        cache,
        canvas=tuple(one[:n] for one, n in zip(cache.canvas, cuts, strict=True)),
        face=tuple(one[:n] for one, n in zip(cache.face, cuts, strict=True)),
        key=f"{cache.key}-{len(trained)}",
        **_rows(cache, trained),
    )
    return train, replace(
        cache, canvas=(canvas,), face=(face,), key=f"{cache.key}-held", **_rows(cache, kept)
    )


def in_order(cache: EyeCache, device: torch.device, *, at_once: int) -> Iterator[dict[str, Tensor]]:
    """Yield all images of a cache once, as batches of mien.data.eye_loader."""
    for start in range(0, len(cache), at_once):
        rows = np.arange(start, min(start + at_once, len(cache)))
        canvas, face = cache.gather(rows)
        batch = {"canvas": canvas[:, None], "face": face[:, None], "index": rows}
        batch |= {name: np.array(getattr(cache, name)[rows]) for name in _COLUMNS}
        yield {name: torch.from_numpy(value).to(device) for name, value in batch.items()}


def _rows(cache: EyeCache, rows: np.ndarray[Any, Any]) -> dict[str, Any]:
    return {name: getattr(cache, name)[rows] for name in _COLUMNS}
