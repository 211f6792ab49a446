"""Pre-training of the gaze branch: data, the eye localizer, EM-IB, export; the run on one page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mien import weights
from mien.card import Card, card_text
from mien.data.eye_cache import EyeCache, EyeSources, find_eye_sources, open_eye_caches
from mien.data.eye_loader import EyeLoader, EyeMixture, LabelledStream
from mien.data.loader import Shard
from mien.data.provenance import image_hashes
from mien.data.sources import Piece
from mien.errors import MienError
from mien.gaze.config import FACE_CROP, FACE_SIDE
from mien.gaze.emib import EMIB
from mien.gaze.localizer import fit_canonical_eyes
from mien.latentface.latentface import LatentFace
from mien.model import Model, load, prepare, tensors_of
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.process import keep_freed_memory
from mien.train.recipes.data import FORM, LocalizerSearch, cache_eyes, open_stream
from mien.train.recipes.gaze_objectives import EmibObjective, LocalizerObjective
from mien.train.recipes.gaze_options import EmibOptions, GazeTrainConfig, LocalizerOptions
from mien.train.run_folder import RunFolder

__all__ = ["check", "pretrain"]

_FIT_FACES, _MIN_FACES, _FIT_STEPS = 512, 16, 32


@dataclass(frozen=True)
class _Run:
    """What all parts of a run need."""

    config: GazeTrainConfig
    folder: RunFolder
    fabric: Fabric
    echo: Callable[[str], None]
    sources: EyeSources
    stream: LabelledStream | None

    @property
    def learns_localizer(self) -> bool:
        return _learns_localizer(self.config, self.sources)


def check(config: GazeTrainConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_eye_sources and load; or no eye localizer can be had.
    """
    sources = find_eye_sources(config.data.sources, config.data)
    _refuse_no_localizer(config, sources, _load_base(config), _load_branch(config))


def pretrain(
    config: GazeTrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run both stages, resuming from the run folder's checkpoints, and export the weights.

    Args:
        config: everything that decides the run.
        data: folders, zips, tables, videos, `eyes:SOURCE`, `synth:HEAD_MODEL`.
        run: opened run folder.
        device: `cpu`, `cuda`, `mps` or `auto`.
        echo: given every line that a person should see.

    Returns:
        The folder of the exported weights: LatentFace of `init_from`, and the gaze branch.

    Raises:
        MienError: bad data, a device that is not there, a loss that is not finite.
        Interrupted: stopped by a signal; a checkpoint was written.
    """
    keep_freed_memory()
    fabric = launch(device, config.loop)
    sources = find_eye_sources(data, config.data)
    frames, seed = config.data.stream_frames, config.loop.seed
    stream = open_stream(sources.streams, seed=seed, frames=frames, size=FACE_CROP)
    this = _Run(config, run, fabric, echo if fabric.global_rank == 0 else _nothing, sources, stream)
    base = _load_base(config)
    branch = _build(this, base)
    network = base.network.to(fabric.device)

    labelled = _cached(this, sources.known, None)
    if this.learns_localizer:
        _learn_localizer(this, branch, network, labelled)
    else:
        origin = config.emib.init_from or config.init_from or "the package"
        this.echo(f"eye localizer: that of {origin}")
    unlabelled = _cached(this, sources.unknown, LocalizerSearch(network, branch))
    folders = [folder for folder in (labelled, unlabelled) if folder is not None]
    if config.emib.steps:
        _learn_emib(this, branch, open_eye_caches(folders) if folders else None)
    if fabric.global_rank == 0:
        _export(this, base, branch, data)
        echo(f"weights are in {run.exported}")
    fabric.barrier()
    return run.exported


def _nothing(line: str) -> None:
    """Print nothing: the first process prints for all."""


def _learns_localizer(config: GazeTrainConfig, sources: EyeSources) -> bool:
    return bool(config.localizer.steps and (sources.labels or sources.streams))


def _load_base(config: GazeTrainConfig) -> Model:
    return load(config.init_from or None)


def _load_branch(config: GazeTrainConfig) -> EMIB | None:
    """Return the gaze branch that training starts from, if one is asked for."""
    where = config.emib.init_from
    if not where:
        return None
    start = load(where).gaze
    if start is None:
        raise MienError(f"emib.init_from: {where} has no gaze branch; give other weights")
    return start


def _refuse_no_localizer(
    config: GazeTrainConfig, sources: EyeSources, base: Model, start: EMIB | None
) -> None:
    """Refuse a run that neither has nor trains an eye localizer."""
    if _learns_localizer(config, sources) or start is not None or base.gaze is not None:
        return
    raise MienError(
        f"{config.init_from or 'the shipped weights'} have no eye localizer, and the data have no "
        "labelled eyes to train one: add a folder of `mien synth` or synth:HEAD_MODEL to --data "
        "with localizer.steps above 0, or give --weights with a gaze branch"
    )


def _build(run: _Run, base: Model) -> EMIB:
    """Return the gaze branch as it is at the start: random, or taken over."""
    config = run.config
    start = _load_branch(config)
    _refuse_no_localizer(config, run.sources, base, start)
    # One generator of initial weights, the same in every process.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.loop.seed)
        branch = EMIB(config.model)
    if start is not None:
        weights.check_keys(branch.state_dict(), start.state_dict(), config.emib.init_from)
        branch.load_state_dict(start.state_dict())
    elif base.gaze is not None:
        branch.localizer.load_state_dict(base.gaze.localizer.state_dict())
        branch.canonical_eyes.copy_(base.gaze.canonical_eyes)
    return branch.to(run.fabric.device)


def _cached(run: _Run, pieces: Sequence[Piece], search: LocalizerSearch | None) -> Path | None:
    return cache_eyes(
        pieces,
        run.sources,
        run.folder,
        options=run.config.data,
        search=search,
        fabric=run.fabric,
        echo=run.echo,
    )


def _loader(
    run: _Run,
    cache: EyeCache | None,
    stage: LocalizerOptions | EmibOptions,
    *,
    labelled: bool,
    shard: Shard | None = None,
) -> EyeLoader:
    config, fabric = run.config, run.fabric
    mixture = EyeMixture(
        seed=config.loop.seed,
        batch_size=stage.batch_size,
        frames=stage.frames,
        stills_fraction=stage.stills_fraction,
        eye_crop_fraction=stage.eye_crop_fraction if isinstance(stage, EmibOptions) else None,
        stream_fraction=config.data.stream_fraction,
        labelled=labelled,
    )
    return EyeLoader(
        cache,
        mixture,
        form=FORM,
        device=fabric.device,
        workers=config.data.workers,
        shard=shard or Shard(fabric.global_rank, fabric.world_size),
        stream=run.stream,
    )


def _learn_localizer(run: _Run, branch: EMIB, network: LatentFace, folder: Path | None) -> None:
    """Train the eye localizer on labelled images; it ends with its averaged weights."""
    cache = open_eye_caches([folder]) if folder else None
    stage = run.config.localizer
    # Every process fits the canonical eyes to all of the same batches.
    _fit_canonical(branch, network, _loader(run, cache, stage, labelled=True, shard=Shard()))
    fitted = fit(
        LocalizerObjective(branch.localizer),
        _loader(run, cache, stage, labelled=True),
        run=run.folder.of_stage("localizer"),
        options=run.config.loop,
        pace=stage,
        fabric=run.fabric,
        echo=run.echo,
    )
    branch.localizer.load_state_dict(fitted.weights, strict=False)


@torch.no_grad()
def _fit_canonical(branch: EMIB, network: LatentFace, loader: EyeLoader) -> None:
    """Fit the canonical eyes to the labelled eyes of many rotated faces."""
    size, faces, places, count = network.config.image_size, [], [], 0
    for batch in loader.iterate(0, _FIT_STEPS):
        rows = batch["has_face"] & (batch["open"] > 0.5)
        faces.append(batch["face"][rows])
        places.append((batch["face_eyes"][rows] + 0.5) / FACE_SIDE)
        count += len(faces[-1])
        if count >= _FIT_FACES:
            break
    if count < _MIN_FACES:
        return  # too few: the eyes stay where they were
    images = prepare(torch.cat(faces).expand(-1, 3, -1, -1), (size, size))
    pose = network.autoencoder.encode(images).pose
    found = fit_canonical_eyes(pose, torch.cat(places), network.config.fov_deg)
    branch.canonical_eyes.copy_(found)


def _learn_emib(run: _Run, branch: EMIB, cache: EyeCache | None) -> None:
    """Train bottleneck and auto-encoder; they end with their averaged weights."""
    stage = run.config.emib
    fitted = fit(
        EmibObjective(branch, stage.loss_weights),
        _loader(run, cache, stage, labelled=False),
        run=run.folder.of_stage("emib"),
        options=run.config.loop,
        pace=stage,
        fabric=run.fabric,
        echo=run.echo,
    )
    branch.load_state_dict(fitted.weights, strict=False)


def _export(run: _Run, given: Model, branch: EMIB, data: list[str]) -> None:
    """Write LatentFace as it was given and the gaze branch into one file."""
    network, start = given.network, run.config.emib.init_from
    images = given.images | image_hashes([*run.sources.known, *run.sources.unknown])
    images |= weights.trained_on(start) if start else frozenset()
    base = run.config.init_from or "the weights of the package"
    card = card_text(Card(data=[*data, f"LatentFace: that of {base}"], config=asdict(run.config)))
    # LatentFace is not to change: it is halved only where it was half already.
    half = all(bool((v.half().float() == v).all()) for v in network.state_dict().values())
    config = {**asdict(network.config), "gaze": asdict(branch.config)}
    tensors = tensors_of(network, branch)
    folder = run.folder.exported
    weights.save(folder, tensors, config, card, images=images, half=half, overwrite=True)
