"""Pre-training of LatentFace: data, stage 1, stage 2, export; the whole run on one page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mien import weights
from mien.card import Card, card_text
from mien.data.batches import Sampler
from mien.data.cache import CropCache, build_cache, open_cache
from mien.data.loader import ClipStream, Loader, Share
from mien.data.provenance import image_digests
from mien.data.seeds import seed_of
from mien.data.sources import find_sources
from mien.latentface.latentface import LatentFace
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.memory import keep_freed_memory
from mien.train.options import TrainConfig
from mien.train.recipes.autoencoder_task import AutoencoderTask
from mien.train.recipes.clip_codes import Crops, clip_codes, clip_images, clip_maps
from mien.train.recipes.neutral_task import CodeBatches, NeutralTask
from mien.train.run_folder import RunFolder
from mien.train.streams import open_stream

__all__ = ["pretrain"]


@dataclass(frozen=True)
class _Data:
    pack: CropCache | None
    stream: ClipStream | None


def pretrain(
    config: TrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run both stages, going on from the run folder's checkpoints, and export the weights.

    Args:
        config: everything that decides the run.
        data: folders, zips, tables, videos, `synth:HEAD_MODEL`.
        run: opened run folder.
        device: `cpu`, `cuda`, `mps` or `auto`.
        echo: given every line that a person should see.

    Returns:
        The folder of the exported weights.

    Raises:
        MienError: bad data, a device that is not there, a loss that is not finite.
        Interrupted: stopped by a signal; a checkpoint was written.
    """
    keep_freed_memory()
    fabric = launch(device, config.loop)
    found = _open_data(config, data, run, fabric, echo)
    # One generator of initial weights, the same in every process.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.loop.seed)
        model = LatentFace(config.model)
    model.to(fabric.device)
    if config.stage1.start:
        _take_over(model, config.stage1.start)
    if config.stage1.steps:
        _stage1(model, found, config, run, fabric, echo)
    if config.stage2.steps:
        _stage2(model, found, config, run, fabric, echo)
    if fabric.global_rank == 0:
        card = card_text(Card(data=data, config=asdict(config)))
        weights.save(
            run.exported,
            model.state_dict(),
            asdict(config.model),
            card,
            images=_images(config, data),
            half=True,
            overwrite=True,
        )
        echo(f"weights are in {run.exported}")
    fabric.barrier()
    return run.exported


def _open_data(
    config: TrainConfig,
    data: list[str],
    run: RunFolder,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> _Data:
    """Pack what is given; the first process packs, the others wait for it."""
    sources = find_sources(data)
    packed = None
    if sources.pieces:
        cache = Path(config.data.cache) if config.data.cache else run.cache
        paths = [source for source in data if not source.startswith("synth:")]
        options, size = config.data, config.model.image_size
        if fabric.global_rank == 0:
            packed = open_cache(
                build_cache(paths, cache, image_size=size, options=options, report=echo)
            )
        fabric.barrier()
        if packed is None:
            packed = open_cache(build_cache(paths, cache, image_size=size, options=options))
    size, frames = config.model.image_size, config.data.stream_frames
    stream = open_stream(sources.streams, seed=config.loop.seed, frames=frames, size=size)
    return _Data(packed, stream)


def _images(config: TrainConfig, data: list[str]) -> frozenset[str]:
    """Return digests of all images that were learned from, those of the start included."""
    options = config.data
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    known = image_digests(find_sources(data).pieces, excluded)
    return known | weights.trained_on(config.stage1.start) if config.stage1.start else known


def _take_over(model: LatentFace, start: str) -> None:
    """Put another model's autoencoder into this one."""
    _, tensors = weights.read(start)
    prefix = "autoencoder."
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    weights.check_keys(model.autoencoder.state_dict(), found, start)
    model.autoencoder.load_state_dict(found)


def _stage1(
    model: LatentFace,
    data: _Data,
    config: TrainConfig,
    run: RunFolder,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> None:
    """Train the autoencoder; it ends with its averaged weights."""
    clip = data.pack.clip if data.pack else np.empty(0, dtype=np.int64)
    sampler = Sampler(
        clip,
        seed=config.loop.seed,
        batch_size=config.stage1.batch_size,
        frames=config.stage1.frames,
        stills=config.stage1.stills,
        stream_share=config.data.stream_share if data.stream else 0.0,
    )
    loader = Loader(
        data.pack,
        sampler,
        options=config.data,
        image_size=config.model.image_size,
        device=fabric.device,
        share=Share(fabric.global_rank, fabric.world_size),
        stream=data.stream,
    )
    task = AutoencoderTask(model.autoencoder, config.stage1.weights)
    stage = run.of_stage("stage1")
    fitted = fit(
        task, loader, run=stage, options=config.loop, pace=config.stage1, fabric=fabric, echo=echo
    )
    model.autoencoder.load_state_dict(fitted.weights, strict=False)


def _stage2(
    model: LatentFace,
    data: _Data,
    config: TrainConfig,
    run: RunFolder,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> None:
    """Train the neutral networks on the frozen autoencoder's codes; fit basis and embedding."""
    images = _images_of_clips(data, config)
    raw_texture, raw_shape = clip_codes(model.autoencoder, images, fabric.device, echo)
    model.texture_scale.fit(raw_texture.flatten(0, 1))
    model.shape_scale.fit(raw_shape.flatten(0, 1))
    batches = CodeBatches(
        model.texture_scale(raw_texture),
        model.shape_scale(raw_shape),
        size=config.stage2.batch_size,
        seed=config.loop.seed,
        rank=fabric.global_rank,
        world=fabric.world_size,
    )
    task = NeutralTask(model.neutral_texture, model.neutral_shape, config.stage2.weighting)
    stage = run.of_stage("stage2")
    fitted = fit(
        task, batches, run=stage, options=config.loop, pace=config.stage2, fabric=fabric, echo=echo
    )
    task.module.load_state_dict(fitted.weights, strict=False)
    if model.texture_basis is not None and model.shape_basis is not None:
        model.texture_basis.fit(_neutral_codes(model.neutral_texture, batches.texture))
        model.shape_basis.fit(_neutral_codes(model.neutral_shape, batches.shape))
    if model.face_embedding is not None:
        echo("stage2: finding face embedding in the maps of all clips")
        images = _images_of_clips(data, config)
        model.face_embedding.fit(clip_maps(model.autoencoder, images, fabric.device))


def _images_of_clips(data: _Data, config: TrainConfig) -> Iterator[Crops]:
    """Return the frames of all clips, the same ones each time. uint8 [T, S, S, 3] each."""
    return clip_images(
        data.pack,
        data.stream,
        frames=config.stage2.frames,
        stream_clips=config.stage2.stream_clips,
        image_size=config.model.image_size,
        rng=np.random.default_rng(seed_of(config.loop.seed, "codes")),
    )


@torch.no_grad()
def _neutral_codes(network: NeutralDiffusion | NeutralRegressor, codes: Tensor) -> Tensor:
    """Return the neutral code of every frame, a thousand clips at a time. [C, T, D]."""
    return torch.cat([network(part.flatten(0, 1)).view_as(part) for part in codes.split(1000)])
