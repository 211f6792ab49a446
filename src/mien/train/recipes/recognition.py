"""Training of the face embedding's network: people, their views, export; the run on one page."""

from __future__ import annotations

import copy
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
    margin_of,
    open_people,
)
from mien.data.people_loader import photographed
from mien.data.seeds import seed_of
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
from mien.pipeline.encode import to_batch
from mien.train.objective import ImageArray, Objective, Sign, tiled
from mien.train.recipes.data import cache_people, people_loader
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
_MEAN_OF = 4096
"""People whose views give the covariance, and whose photographs give the mean that is taken off."""


def check(config: RecognitionTrainConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources and load; or the encoder has not so many levels to share.
    """
    find_sources(config.data.sources)
    _sizes(load(config.init_from or None).network.config, config.recognition)


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
    if not _start_from(network, base.network):
        this.say("the network starts from random weights: the encoder given is of another form")
    stem = _Stem(base.network, stage.shares).to(this.fabric.device)
    loader = people_loader(this, caches, stage, size)
    network = network.to(this.fabric.device)
    learner = Learner(network, _prototypes(network, stem, caches, stage, size))
    objective = RecognitionObjective(learner, stem, stage, first=len(caches[0]))
    found = this.train(objective, loader, "recognition")
    learner.load_state_dict(found, strict=False)
    if this.is_first:
        network.eval()
        network.whiten(_within(network, stem, caches[-1], size, config.loop.seed))
        _take_mean(network, stem, caches[-1], size)
        _export(this, sources, base, network, sizes)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


class _Stem(nn.Module):
    """The encoder's finest levels, which the network shares and which do not learn."""

    def __init__(self, base: LatentFace, shares: int) -> None:
        super().__init__()
        self._trunk = copy.deepcopy(base.autoencoder.trunk) if shares else None
        self._shares = shares
        self.requires_grad_(requires_grad=False)

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """Crops in [0, 1], [B, 3, S, S] -> what the network takes."""
        return images if self._trunk is None else self._trunk.levels(images, self._shares)[-1]


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
    stem: _Stem,
    caches: list[PeopleCache],
    stage: RecognitionOptions,
    size: int,
) -> Tensor | None:
    """Return where everybody's prototype starts: the embedding of the first view. [N, K]."""
    if stage.loss == "pairs":
        return None
    found = [_first_views(network, stem, cache, np.arange(len(cache)), size) for cache in caches]
    return F.normalize(torch.cat(found), dim=1)


@torch.no_grad()
def _first_views(
    network: RecognitionNetwork, stem: _Stem, cache: PeopleCache, rows: Rows, size: int
) -> Tensor:
    """Return the embeddings of people's first views, as they are. [B, K]."""
    edge, found = margin_of(size), []
    for part in np.array_split(rows, max(1, len(rows) // 256)):
        crops = cache.views[part, 0, edge:-edge, edge:-edge]
        found.append(network(stem(to_batch(list(crops)).to(network.mean.device) / 255)))
    return torch.cat(found)


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


@torch.no_grad()
def _within(
    network: RecognitionNetwork, stem: _Stem, cache: PeopleCache, size: int, seed: int
) -> Tensor:
    """Return the covariance of embeddings within people, of views as cameras give them. [K, K]."""
    rng = np.random.default_rng(seed_of(seed, "within"))
    people, views = _spread_out(cache), cache.views.shape[1]
    total = torch.zeros(len(network.mean), len(network.mean), dtype=torch.float64)
    for person in people:
        seen = to_batch([photographed(view, size, rng) for view in cache.views[person]])
        apart = network(stem(seen.to(network.mean.device) / 255)).double().cpu()
        apart -= apart.mean(dim=0)
        total += apart.T @ apart
    return total / (len(people) * (views - 1))


@torch.no_grad()
def _take_mean(network: RecognitionNetwork, stem: _Stem, cache: PeopleCache, size: int) -> None:
    """Set the mean that is taken off to that of the first views of many people."""
    network.mean += _first_views(network, stem, cache, _spread_out(cache), size).mean(dim=0)


def _spread_out(cache: PeopleCache) -> Rows:
    """Return the numbers of people who stand for all."""
    return np.linspace(0, len(cache) - 1, min(len(cache), _MEAN_OF)).round().astype(int)


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
    card = card_text(Card(data=trained, config=asdict(run.config)))
    write_whole(run.folder.exported, whole, given.gaze, card, images, like=given.network)
