"""What a student is taught with, and what it is judged by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from lightning_fabric import Fabric
from torch import Tensor

from mien.data.eye_cache import EyeCache, find_eye_sources, open_eye_caches
from mien.data.eye_loader import EyeLoader, EyeMixture, LabelledStream
from mien.data.loader import Share
from mien.data.sources import Piece
from mien.gaze.config import FACE_CROP
from mien.model import Model
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.eye_data import FORM, packed_once
from mien.train.recipes.eye_search import LocalizerSearch
from mien.train.recipes.held_out import hold_out, in_order
from mien.train.run_folder import RunFolder
from mien.train.streams import open_stream

__all__ = ["DistillData", "exam_batches", "open_data", "teaching_loader"]

_RENDERED_EXAM = 8
"""Batches of rendered clips in the exam, where there is an endless source."""


@dataclass(frozen=True)
class DistillData:
    """Everything that was given, parted."""

    pack: EyeCache | None
    """What is taught with."""
    held: EyeCache | None
    """What is kept back."""
    stream: LabelledStream | None
    """Rendered clips without end; the late ones are kept back."""


def open_data(
    config: DistillConfig,
    given: Sequence[str],
    *,
    run: RunFolder,
    model: Model,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> DistillData:
    """Pack what is given and keep some of it back; the first process packs, the others wait.

    Args:
        config: of the run.
        given: sources.
        run: holds the cache, unless the configuration names another.
        model: the teacher; finds the eyes that neither labels nor the detector tell.
        fabric: launched.
        echo: told how far it is and what was skipped.
    """
    sources = find_eye_sources(given, config.data)
    frames, seed = config.data.stream_frames, config.loop.seed
    stream = open_stream(sources.streams, seed=seed, frames=frames, size=FACE_CROP)
    assert model.gaze is not None
    search = LocalizerSearch(model.network, model.gaze)

    def packed(pieces: Sequence[Piece], search: LocalizerSearch | None) -> Path | None:
        return packed_once(
            pieces,
            sources,
            run,
            options=config.data,
            search=search,
            fabric=fabric,
            echo=echo,
        )

    parts = packed(sources.known, None), packed(sources.unknown, search)
    folders = [folder for folder in parts if folder is not None]
    if not folders:
        return DistillData(None, None, stream)
    options = config.distill
    pack, held = hold_out(
        open_eye_caches(folders), share=options.held_out, most=options.most_held_out
    )
    return DistillData(pack, held, stream)


def exam_batches(
    data: DistillData, config: DistillConfig, fabric: Fabric
) -> Iterator[dict[str, Tensor]]:
    """Yield the images kept back, then people rendered for the exam alone."""
    size = config.distill.batch_size
    if data.held is not None:
        yield from in_order(data.held, fabric.device, at_once=size)
    if data.stream is not None:
        only = DistillData(None, None, data.stream)
        # Training meets at most `steps` batches of rendered clips: those after them are new.
        first = config.distill.steps
        loader = teaching_loader(only, config, fabric, Share())
        with closing(loader.iterate(first, first + _RENDERED_EXAM)) as batches:
            yield from batches


def teaching_loader(
    data: DistillData, config: DistillConfig, fabric: Fabric, share: Share
) -> EyeLoader:
    """Return the batches of a run, or a process's share of them."""
    options = config.distill
    mixture = EyeMixture(
        seed=config.loop.seed,
        batch_size=options.batch_size,
        frames=options.frames,
        stills=options.stills,
        stream_share=config.data.stream_share if data.stream else 0.0,
    )
    return EyeLoader(
        data.pack,
        mixture,
        form=FORM,
        device=fabric.device,
        workers=config.data.workers,
        share=share,
        stream=data.stream,
    )
