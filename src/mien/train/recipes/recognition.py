"""Training of the face embedding's network: people, their views, export; the run on one page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from mien.card import Card, card_text
from mien.data.people_cache import (
    PeopleCache,
    open_people,
)
from mien.data.sources import Sources, find_sources
from mien.errors import MienError
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.latentface.recognition import (
    RecognitionNetwork,
    instance_loss,
    move_prototypes,
    nt_xent,
)
from mien.model import Model, load
from mien.train.objective import ImageArray, Objective, Sign, tiled
from mien.train.recipes.data import cache_people, load_head, people_loader
from mien.train.recipes.recognition_end import Stem, embedded, erase_glasses, take_mean, within
from mien.train.recipes.recognition_options import RecognitionOptions, RecognitionTrainConfig
from mien.train.recipes.run import Run, start_run
from mien.train.recipes.whole import seen_images, write_whole
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["Learner", "RecognitionObjective", "check", "pretrain"]

Rows = NDArray[np.int64]

_SHEET = 64
CONSTANT_EMBEDDING = 0.01
"""Standard deviation over a batch below which everybody has the same embedding."""


def check(config: RecognitionTrainConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources and load; or the encoder has not so many levels to share.
    """
    find_sources(config.data.sources)
    given = load(config.init_from or None).network
    sizes = _sizes(given.config, config.recognition)
    if not config.recognition.steps:
        _known(given, sizes)


def pretrain(
    config: RecognitionTrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train the network and export the weights of `init_from` with it.

    Arguments, result and errors as of `recipes.latentface.pretrain`. Every photograph is taken for
    another person, every clip for one.
    """
    this = start_run(config, data, run, device, echo)
    sources, base = find_sources(data), load(config.init_from or None)
    size = base.network.config.image_size
    caches = [open_people(folder) for folder in cache_people(this, sources, size)]
    stage = config.recognition
    sizes = _sizes(base.network.config, stage)
    with this.initial_weights():
        network = RecognitionNetwork(size, sizes.encoders_width, stage.dim, shares=stage.shares)
    stem = Stem(base.network, stage.shares).to(this.fabric.device)
    if stage.steps:
        _learn(this, base.network, network.to(this.fabric.device), stem, caches)
    else:
        network.load_state_dict(_known(base.network, sizes).state_dict())
        network.to(this.fabric.device)
    if this.is_first:
        if stage.erase_glasses:
            erase_glasses(this, load_head(sources.streams), network, stem, caches[0], size)
        _export(this, sources, base, network, sizes)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


def _learn(
    run: Run[RecognitionTrainConfig],
    base: LatentFace,
    network: RecognitionNetwork,
    stem: Stem,
    caches: list[PeopleCache],
) -> None:
    """Train the network, whiten it within people and find its mean."""
    stage, size, seed = run.config.recognition, base.config.image_size, run.config.loop.seed
    if not _start_from(network, base):
        run.say("the network starts from random weights: the encoder given is of another form")
    learner = Learner(network, _prototypes(network, stem, caches, stage, size))
    objective = RecognitionObjective(learner, stem, stage, first=len(caches[0]))
    found = run.train(objective, people_loader(run, caches, stage, size), "recognition")
    learner.load_state_dict(found, strict=False)
    if run.is_first:
        network.eval()
        network.whiten(within(network, stem, caches[-1], size, seed))
        take_mean(network, stem, caches[-1], size)


def _known(base: LatentFace, sizes: ModelConfig) -> RecognitionNetwork:
    """Return the network of weights that is to stay.

    Raises:
        MienError: there is none of these sizes.
    """
    known, options = base.face_embedding, base.config
    same = (options.face_embedding_dim, options.face_embedding_shares) == (
        sizes.face_embedding_dim,
        sizes.face_embedding_shares,
    )
    if not isinstance(known, RecognitionNetwork) or not same:
        raise MienError(
            "recognition.steps=0 keeps the network of the face embedding, and these weights have "
            f"none with recognition.dim={sizes.face_embedding_dim} and "
            f"shares={sizes.face_embedding_shares}"
        )
    return known


class Learner(nn.Module):
    """The network, and the prototypes of all people that it is to tell apart."""

    prototypes: Tensor | None

    def __init__(self, network: RecognitionNetwork, prototypes: Tensor | None) -> None:
        """Take the network and where the prototypes start. [N, K]; None: there are none."""
        super().__init__()
        self.network = network
        self.register_buffer("prototypes", prototypes)


class RecognitionObjective(Objective[Learner]):
    """Tells rendered people apart, and those of photographs.

    The two kinds do not compete: telling renderings from photographs earns nothing.
    """

    decays_vectors = False
    signs = (
        Sign(
            *("embedding_std", CONSTANT_EMBEDDING, math.inf),
            "collapse: everybody has the same embedding; lower the learning rate",
        ),
    )

    def __init__(
        self,
        module: Learner,
        stem: Callable[[Tensor], Tensor],
        options: RecognitionOptions,
        *,
        first: int,
    ) -> None:
        """Take what learns and what comes before it.

        Args:
            module: the network and its prototypes.
            stem: crops to what the network takes.
            options: of the stage.
            first: how many of the people are of the first kind.
        """
        super().__init__(module)
        self._stem, self._options, self._first = stem, options, first

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of mien.data.people_loader."""
        person = batch["person"]
        embedding = self.module.network(self._stem(batch["image"])).float()
        second = person >= self._first
        parts = {
            name: self._told_apart(embedding[rows], person[rows], kind) / len(person)
            for name, rows, kind in (
                ("first", ~second, slice(0, self._first)),
                ("second", second, slice(self._first, None)),
            )
            if rows.any()
        }
        unit = F.normalize(embedding.detach(), dim=1)
        if self.module.prototypes is not None:
            # Adam would move the prototypes of those who are not seen, too: they would drift away.
            mix = self._options.prototypes_keep
            move_prototypes(self.module.prototypes, *map(_of_all, (unit, person)), keep=mix)
        spread = unit.std(dim=0).mean()
        return Loss(torch.stack(list(parts.values())).sum(), parts, {"embedding_std": spread})

    def _told_apart(self, embedding: Tensor, person: Tensor, kind: slice) -> Tensor:
        options, prototypes = self._options, self.module.prototypes
        if prototypes is None:
            return nt_xent(embedding, temperature=options.temperature)
        settings = {"scale": options.scale, "margin": options.margin}
        return instance_loss(embedding, prototypes[kind], person - (kind.start or 0), **settings)

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return images as the network is given them. uint8 [H, W, 3]."""
        return tiled(batch["image"][:_SHEET])


def _of_all(rows: Tensor) -> Tensor:
    """Return the rows of all processes that train together. [P B, ...]."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return rows
    parts = [torch.empty_like(rows) for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather(parts, rows.contiguous())
    return torch.cat(parts)


def _sizes(given: ModelConfig, stage: RecognitionOptions) -> ModelConfig:
    """Return the sizes of the weights that will be exported.

    Raises:
        MienError: the encoder has not so many levels to share.
    """
    try:
        return replace(
            given,
            face_embedding_dim=stage.dim,
            face_embedding_from="image",
            face_embedding_shares=stage.shares,
        )
    except ValueError as error:
        raise MienError(f"recognition.shares: {error}") from error


@torch.no_grad()
def _prototypes(
    network: RecognitionNetwork,
    stem: Stem,
    caches: list[PeopleCache],
    stage: RecognitionOptions,
    size: int,
) -> Tensor | None:
    """Return where everybody's prototype starts: the embedding of the first view. [N, K]."""
    if stage.loss == "pairs":
        return None
    found = [embedded(network, stem, cache, np.arange(len(cache)), size) for cache in caches]
    return F.normalize(torch.cat(found), dim=1)


@torch.no_grad()
def _start_from(network: RecognitionNetwork, base: LatentFace) -> bool:
    """Take over the encoder, and what reads face embeddings off its maps, where they are alike.

    Returns whether the encoder was.
    """
    encoders = [base.autoencoder.trunk] if base.config.networks == "small" else []
    known, linear = base.face_embedding, network.encoder.linear
    if isinstance(known, RecognitionNetwork):
        encoders.append(known.encoder)
        if known.encoder.linear.weight.shape == linear.weight.shape:
            linear.load_state_dict(known.encoder.linear.state_dict())
    elif known is not None and encoders and known.weight.T.shape == linear.weight.shape:
        linear.weight.copy_(known.weight.T)
        linear.bias.copy_(-(known.mean @ known.weight))
    for encoder in encoders:
        network.encoder.take(encoder)
    return bool(encoders)


def _export(
    run: Run[RecognitionTrainConfig],
    sources: Sources,
    given: Model,
    network: RecognitionNetwork,
    sizes: ModelConfig,
) -> None:
    """Write the weights as they were given with the new network into one file."""
    whole = LatentFace(sizes)
    kept = {
        name: value
        for name, value in given.network.state_dict().items()
        if not name.startswith("face_embedding.")
    }
    kept |= {f"face_embedding.{name}": value for name, value in network.state_dict().items()}
    whole.load_state_dict(kept)
    images = seen_images(given, sources, run.config.data)
    origin = run.config.init_from or "the weights of the package"
    trained = [*run.data, f"all but the face embedding: that of {origin}"]
    if not run.config.recognition.steps:
        trained.append(f"face embedding: that of {origin}, but for the direction of glasses")
    card = card_text(Card(data=trained, config=asdict(run.config)))
    write_whole(run.folder.exported, whole, given.gaze, card, images, like=given.network)
