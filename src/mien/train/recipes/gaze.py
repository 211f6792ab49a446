"""Pre-training of the gaze branch: data, the eye localizer, EM-IB, export; the run on one page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch

from mien import weights
from mien.card import Card, card_text
from mien.data.eye_cache import EyeSources, find_eye_sources, open_eye_caches
from mien.data.eye_loader import EyeLoader
from mien.data.loader import Shard
from mien.data.provenance import image_hashes
from mien.errors import MienError
from mien.gaze.config import FACE_CROP, FACE_SIDE
from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model, load, prepare
from mien.train.recipes.canonical_eyes import FIT_FACES, fit_to
from mien.train.recipes.data import LocalizerSearch, cache_eyes, eye_loader, open_stream
from mien.train.recipes.gaze_objectives import EmibObjective, LocalizerObjective
from mien.train.recipes.gaze_options import GazeTrainConfig
from mien.train.recipes.run import Run, start_run
from mien.train.recipes.whole import write_whole
from mien.train.run_folder import RunFolder

__all__ = ["check", "pretrain"]

_FIT_STEPS = 32


def check(config: GazeTrainConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_eye_sources and load; or no eye localizer can be had.
    """
    sources = find_eye_sources(config.data.sources, config.data)
    _refuse_no_localizer(config, sources, load(config.init_from or None), _load_branch(config))


def pretrain(
    config: GazeTrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Run both stages and export LatentFace of `init_from` with the gaze branch.

    Arguments, result and errors as of `recipes.latentface.pretrain`; data may be `eyes:SOURCE` too.
    """
    this = start_run(config, data, run, device, echo)
    sources = find_eye_sources(data, config.data)
    stream = open_stream(this, sources.streams, FACE_CROP)
    base = load(config.init_from or None)
    branch = _build(this, sources, base)
    network = base.network.to(this.fabric.device)

    folders = cache_eyes(this, sources, sources.known, None)
    if _learns_localizer(config, sources):
        cache, stage = open_eye_caches(folders) if folders else None, config.localizer
        # Every process fits the canonical eyes to all of the same batches.
        whole = eye_loader(this, cache, stream, stage, labelled=True, shard=Shard())
        _fit_canonical(branch, network, whole)
        loader = eye_loader(this, cache, stream, stage, labelled=True)
        found = this.train(LocalizerObjective(branch.localizer), loader, "localizer")
        branch.localizer.load_state_dict(found, strict=False)
    else:
        origin = config.emib.init_from or config.init_from or "the package"
        this.say(f"eye localizer: that of {origin}")
    folders += cache_eyes(this, sources, sources.unknown, LocalizerSearch(network, branch))
    if config.emib.steps:
        cache = open_eye_caches(folders) if folders else None
        loader = eye_loader(this, cache, stream, config.emib)
        found = this.train(EmibObjective(branch, config.emib.loss_weights), loader, "emib")
        branch.load_state_dict(found, strict=False)
    if this.is_first:
        _export(this, sources, base, branch)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


def _learns_localizer(config: GazeTrainConfig, sources: EyeSources) -> bool:
    return bool(config.localizer.steps and (sources.labels or sources.streams))


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


def _build(run: Run[GazeTrainConfig], sources: EyeSources, base: Model) -> EMIB:
    """Return the gaze branch as it is at the start: random, or taken over."""
    config = run.config
    start = _load_branch(config)
    _refuse_no_localizer(config, sources, base, start)
    with run.initial_weights():
        branch = EMIB(config.model)
    if start is not None:
        weights.check_keys(branch.state_dict(), start.state_dict(), config.emib.init_from)
        branch.load_state_dict(start.state_dict())
    elif base.gaze is not None:
        branch.localizer.load_state_dict(base.gaze.localizer.state_dict())
        branch.canonical_eyes.copy_(base.gaze.canonical_eyes)
    return branch.to(run.fabric.device)


@torch.no_grad()
def _fit_canonical(branch: EMIB, network: LatentFace, loader: EyeLoader) -> None:
    """Fit the canonical eyes to the labelled eyes of many rotated faces."""
    size, faces, places, count = network.config.image_size, [], [], 0
    for batch in loader.iterate(0, _FIT_STEPS):
        rows = batch["has_face"] & (batch["open"] > 0.5)
        faces.append(batch["face"][rows])
        places.append((batch["face_eyes"][rows] + 0.5) / FACE_SIDE)
        count += len(faces[-1])
        if count >= FIT_FACES:
            break
    if not count:
        return
    images = prepare(torch.cat(faces).expand(-1, 3, -1, -1), (size, size))
    fit_to(branch, network, images, torch.cat(places))


def _export(run: Run[GazeTrainConfig], sources: EyeSources, given: Model, branch: EMIB) -> None:
    """Write LatentFace as it was given and the gaze branch into one file."""
    network, start = given.network, run.config.emib.init_from
    images = given.images | image_hashes([*sources.known, *sources.unknown])
    images |= weights.trained_on(start) if start else frozenset()
    base = run.config.init_from or "the weights of the package"
    trained = [*run.data, f"LatentFace: that of {base}"]
    card = card_text(Card(data=trained, config=asdict(run.config)))
    write_whole(run.folder.exported, network, branch, card, images, like=network)
