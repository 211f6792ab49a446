"""Training images of a student, and images held out to measure it: whole clips of each source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mien.data.eye_cache import EyeCache, find_eye_sources, open_eye_caches
from mien.data.eye_loader import EyeLoader, EyeMixture, LabelledStream
from mien.data.loader import Shard
from mien.data.sources import Piece
from mien.gaze.config import FACE_CROP
from mien.model import Model
from mien.train.recipes.data import FORM, LocalizerSearch, cache_eyes, open_stream
from mien.train.recipes.distill_options import DistillConfig
from mien.train.run_folder import RunFolder

__all__ = [
    "DistillData",
    "hold_out",
    "in_order",
    "open_data",
    "training_loader",
    "validation_batches",
]

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
    stream: LabelledStream | None
    """Rendered clips without end; the late ones are held out."""


def open_data(
    config: DistillConfig,
    given: Sequence[str],
    *,
    run: RunFolder,
    model: Model,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> DistillData:
    """Crop what is given, once per node, and hold some of it out.

    Args:
        config: of the run.
        given: sources.
        run: holds the cache, unless the configuration names another.
        model: the teacher; finds the eyes that neither labels nor the detector give.
        fabric: launched.
        echo: given the progress and what was skipped.
    """
    sources = find_eye_sources(given, config.data)
    frames, seed = config.data.stream_frames, config.loop.seed
    stream = open_stream(sources.streams, seed=seed, frames=frames, size=FACE_CROP)
    assert model.gaze is not None
    search = LocalizerSearch(model.network, model.gaze)

    def cached(pieces: Sequence[Piece], search: LocalizerSearch | None) -> Path | None:
        return cache_eyes(
            pieces,
            sources,
            run,
            options=config.data,
            search=search,
            fabric=fabric,
            echo=echo,
        )

    parts = cached(sources.known, None), cached(sources.unknown, search)
    folders = [folder for folder in parts if folder is not None]
    if not folders:
        return DistillData(None, None, stream)
    options = config.distill
    cache, held = hold_out(
        open_eye_caches(folders),
        fraction=options.held_out_fraction,
        max_images=options.max_held_out,
    )
    return DistillData(cache, held, stream)


def validation_batches(
    data: DistillData, config: DistillConfig, fabric: Fabric
) -> Iterator[dict[str, Tensor]]:
    """Yield the images held out, then people rendered for validation alone."""
    size = config.distill.batch_size
    if data.held is not None:
        yield from in_order(data.held, fabric.device, at_once=size)
    if data.stream is not None:
        only = DistillData(None, None, data.stream)
        # Training meets at most `steps` batches of rendered clips: those after them are new.
        first = config.distill.steps
        loader = training_loader(only, config, fabric, Shard())
        with closing(loader.iterate(first, first + _RENDERED_BATCHES)) as batches:
            yield from batches


def training_loader(
    data: DistillData, config: DistillConfig, fabric: Fabric, shard: Shard
) -> EyeLoader:
    """Return the batches of a run, or a process's shard of them."""
    options = config.distill
    mixture = EyeMixture(
        seed=config.loop.seed,
        batch_size=options.batch_size,
        frames=options.frames,
        stills_fraction=options.stills_fraction,
        stream_fraction=config.data.stream_fraction if data.stream else 0.0,
    )
    return EyeLoader(
        data.cache,
        mixture,
        form=FORM,
        device=fabric.device,
        workers=config.data.workers,
        shard=shard,
        stream=data.stream,
    )


def hold_out(cache: EyeCache, *, fraction: float, max_images: int) -> tuple[EyeCache, EyeCache]:
    """Divide a cache into training images and held-out ones.

    A source's images come in the order of their names, so that its end is other people than its
    start where names go by person. A clip is never in both parts.

    Args:
        cache: of one folder or several.
        fraction: of each folder that is held out.
        max_images: held out of all folders together.

    Returns:
        The training part, which shares the cache's memory, and the held-out part, a copy.
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
