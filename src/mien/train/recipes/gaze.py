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
from mien.data.loader import Share
from mien.data.provenance import image_digests
from mien.data.sources import Piece
from mien.errors import MienError
from mien.gaze.canonical import fit_canonical_eyes
from mien.gaze.config import FACE_CROP, FACE_SIDE
from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model, load, prepare, tensors_of
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.memory import keep_freed_memory
from mien.train.recipes.eye_data import FORM, packed_once
from mien.train.recipes.eye_search import LocalizerSearch
from mien.train.recipes.gaze_options import EmibOptions, GazeTrainConfig, LocalizerOptions
from mien.train.recipes.gaze_task import EmibTask
from mien.train.recipes.localizer_task import LocalizerTask
from mien.train.run_folder import RunFolder
from mien.train.streams import open_stream

__all__ = ["check", "pretrain"]

_FIT_FACES, _LEAST_FACES, _FIT_STEPS = 512, 16, 32


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
        MienError: as find_eye_sources and load; or nobody can find the eyes.
    """
    sources = find_eye_sources(config.data.sources, config.data)
    _refuse_blindness(config, sources, _load_base(config), _load_start(config))


def pretrain(
    config: GazeTrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run both stages, going on from the run folder's checkpoints, and export the weights.

    Args:
        config: everything that decides the run.
        data: folders, zips, tables, videos, `eyes:SOURCE`, `synth:HEAD_MODEL`.
        run: opened run folder.
        device: `cpu`, `cuda`, `mps` or `auto`.
        echo: given every line that a person should see.

    Returns:
        The folder of the exported weights: LatentFace's of the base and the gaze branch.

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

    told = _packed(this, sources.known, None)
    if this.learns_localizer:
        _learn_localizer(this, branch, network, told)
    else:
        this.echo(
            f"eye localizer: taken over from {config.emib.start or config.base or 'the package'}"
        )
    untold = _packed(this, sources.unknown, LocalizerSearch(network, branch))
    folders = [folder for folder in (told, untold) if folder is not None]
    if config.emib.steps:
        _learn_emib(this, branch, open_eye_caches(folders) if folders else None)
    if fabric.global_rank == 0:
        _export(this, base, branch, data)
        echo(f"weights are in {run.exported}")
    fabric.barrier()
    return run.exported


def _nothing(line: str) -> None:
    """Say nothing: the first process speaks for all."""


def _learns_localizer(config: GazeTrainConfig, sources: EyeSources) -> bool:
    return bool(config.localizer.steps and (sources.labels or sources.streams))


def _load_base(config: GazeTrainConfig) -> Model:
    return load(config.base or None)


def _load_start(config: GazeTrainConfig) -> EMIB | None:
    """Return the gaze branch that the run goes on from, if one is asked for."""
    if not config.emib.start:
        return None
    start = load(config.emib.start).gaze
    if start is None:
        raise MienError(f"emib.start: {config.emib.start} has no gaze branch; give other weights")
    return start


def _refuse_blindness(
    config: GazeTrainConfig, sources: EyeSources, base: Model, start: EMIB | None
) -> None:
    """Refuse a run in which nobody knows or learns where the eyes are."""
    if _learns_localizer(config, sources) or start is not None or base.gaze is not None:
        return
    raise MienError(
        f"{config.base or 'the shipped weights'} cannot find eyes yet, and nothing teaches it: add "
        "a folder of `mien synth` or synth:HEAD_MODEL to --data with localizer.steps above 0, or "
        "give --weights with a gaze branch"
    )


def _build(run: _Run, base: Model) -> EMIB:
    """Return the gaze branch as it is at the start: random, or taken over."""
    config = run.config
    start = _load_start(config)
    _refuse_blindness(config, run.sources, base, start)
    # One generator of initial weights, the same in every process.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.loop.seed)
        branch = EMIB(config.model)
    if start is not None:
        weights.check_keys(branch.state_dict(), start.state_dict(), config.emib.start)
        branch.load_state_dict(start.state_dict())
    elif base.gaze is not None:
        branch.localizer.load_state_dict(base.gaze.localizer.state_dict())
        branch.canonical_eyes.copy_(base.gaze.canonical_eyes)
    return branch.to(run.fabric.device)


def _packed(run: _Run, pieces: Sequence[Piece], search: LocalizerSearch | None) -> Path | None:
    return packed_once(
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
    pack: EyeCache | None,
    stage: LocalizerOptions | EmibOptions,
    *,
    labelled: bool,
    share: Share | None = None,
) -> EyeLoader:
    config, fabric = run.config, run.fabric
    mixture = EyeMixture(
        seed=config.loop.seed,
        batch_size=stage.batch_size,
        frames=stage.frames,
        stills=stage.stills,
        eye_crop_share=stage.eye_crop_share if isinstance(stage, EmibOptions) else None,
        stream_share=config.data.stream_share,
        labelled=labelled,
    )
    return EyeLoader(
        pack,
        mixture,
        form=FORM,
        device=fabric.device,
        workers=config.data.workers,
        share=share or Share(fabric.global_rank, fabric.world_size),
        stream=run.stream,
    )


def _learn_localizer(run: _Run, branch: EMIB, network: LatentFace, told: Path | None) -> None:
    """Train the eye localizer on labelled images; it ends with its averaged weights."""
    pack = open_eye_caches([told]) if told else None
    stage = run.config.localizer
    # Every process fits the canonical eyes to all of the same batches.
    _fit_canonical(branch, network, _loader(run, pack, stage, labelled=True, share=Share()))
    fitted = fit(
        LocalizerTask(branch.localizer),
        _loader(run, pack, stage, labelled=True),
        run=run.folder.of_stage("localizer"),
        options=run.config.loop,
        pace=stage,
        fabric=run.fabric,
        echo=run.echo,
    )
    branch.localizer.load_state_dict(fitted.weights, strict=False)


@torch.no_grad()
def _fit_canonical(branch: EMIB, network: LatentFace, loader: EyeLoader) -> None:
    """Put the canonical eyes where the labelled eyes of many turned faces say that they are."""
    size, faces, shares, count = network.config.image_size, [], [], 0
    for batch in loader.iterate(0, _FIT_STEPS):
        rows = batch["has_face"] & (batch["open"] > 0.5)
        faces.append(batch["face"][rows])
        shares.append((batch["face_eyes"][rows] + 0.5) / FACE_SIDE)
        count += len(faces[-1])
        if count >= _FIT_FACES:
            break
    if count < _LEAST_FACES:
        return  # too few: the eyes stay where they were
    images = prepare(torch.cat(faces).expand(-1, 3, -1, -1), (size, size))
    pose = network.autoencoder.encode(images).pose
    found = fit_canonical_eyes(pose, torch.cat(shares), network.config.fov_deg)
    branch.canonical_eyes.copy_(found)


def _learn_emib(run: _Run, branch: EMIB, pack: EyeCache | None) -> None:
    """Train bottleneck and auto-encoder; they end with their averaged weights."""
    stage = run.config.emib
    fitted = fit(
        EmibTask(branch, stage.weights),
        _loader(run, pack, stage, labelled=False),
        run=run.folder.of_stage("emib"),
        options=run.config.loop,
        pace=stage,
        fabric=run.fabric,
        echo=run.echo,
    )
    branch.load_state_dict(fitted.weights, strict=False)


def _export(run: _Run, given: Model, branch: EMIB, data: list[str]) -> None:
    """Write LatentFace as it was given and the gaze branch into one file."""
    network, start = given.network, run.config.emib.start
    images = given.images | image_digests([*run.sources.known, *run.sources.unknown])
    images |= weights.trained_on(start) if start else frozenset()
    base = run.config.base or "the weights of the package"
    card = card_text(
        Card(data=[*data, f"LatentFace: taken over from {base}"], config=asdict(run.config))
    )
    # LatentFace is not to change: it is halved only where it was half already.
    half = all(bool((v.half().float() == v).all()) for v in network.state_dict().values())
    config = {**asdict(network.config), "gaze": asdict(branch.config)}
    tensors = tensors_of(network, branch)
    folder = run.folder.exported
    weights.save(folder, tensors, config, card, images=images, half=half, overwrite=True)
