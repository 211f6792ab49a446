"""Training of the face embedding's network: people, their views, export; the run on one page."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mien import weights
from mien.card import Card, card_text
from mien.data.people_cache import (
    PeopleCache,
    build_photograph_cache,
    build_rendered_cache,
    margin_of,
    open_people,
)
from mien.data.people_loader import PeopleLoader, photographed
from mien.data.provenance import image_hashes
from mien.data.seeds import seed_of
from mien.data.sources import Sources, find_sources
from mien.latentface.latentface import LatentFace
from mien.latentface.recognition import RecognitionNetwork, nt_xent
from mien.model import Model, load, tensors_of
from mien.pipeline.encode import to_batch
from mien.train.engine import once_per_node
from mien.train.objective import ImageArray, Objective, Sign
from mien.train.recipes.data import load_head
from mien.train.recipes.recognition_options import RecognitionOptions, RecognitionTrainConfig
from mien.train.recipes.run import Run, start_run
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["RecognitionObjective", "check", "pretrain"]

_SHEET = 64
CONSTANT_EMBEDDING = 0.01
"""Standard deviation over a batch below which everybody has the same embedding."""
_MEAN_OF = 4096
"""People whose views give the covariance, and whose photographs give the mean that is taken off."""


def check(config: RecognitionTrainConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources and load.
    """
    find_sources(config.data.sources)
    load(config.init_from or None)


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
    caches = [open_people(folder) for folder in _cached(this, sources, size)]
    stage = config.recognition
    with this.initial_weights():
        network = RecognitionNetwork(size, base.network.config.width, stage.dim)
    if not _start_from(network, base.network):
        this.say("the network starts from random weights: the encoder given is of another form")
    loader = PeopleLoader(
        caches,
        image_size=size,
        batch_size=stage.batch_size,
        fraction=config.data.rendered_fraction,
        seed=config.loop.seed,
        device=this.fabric.device,
        workers=config.data.workers,
        shard=this.shard,
    )
    network = network.to(this.fabric.device)
    objective = RecognitionObjective(network, stage, first=len(caches[0]))
    found = this.train(objective, loader, "recognition")
    network.load_state_dict(found, strict=False)
    if this.is_first:
        network.eval()
        network.whiten(_within(network, caches[-1], size, config.loop.seed))
        _take_mean(network, caches[-1], size)
        _export(this, sources, base, network)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


class RecognitionObjective(Objective[RecognitionNetwork]):
    """NT-Xent among rendered people and among those of photographs.

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
        self, module: RecognitionNetwork, options: RecognitionOptions, *, first: int
    ) -> None:
        """Take the network; `first` is how many of the people are of the first kind."""
        super().__init__(module)
        self._options, self._first = options, first

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of mien.data.people_loader."""
        person, temperature = batch["person"], self._options.temperature
        embedding = self.module(batch["image"]).float()
        second = person >= self._first
        parts = {
            name: nt_xent(embedding[rows], temperature=temperature) / len(person)
            for name, rows in (("first", ~second), ("second", second))
            if rows.any()
        }
        spread = F.normalize(embedding.detach(), dim=1).std(dim=0).mean()
        return Loss(torch.stack(list(parts.values())).sum(), parts, {"embedding_std": spread})

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return images as the network is given them. uint8 [H, W, 3]."""
        images = batch["image"][:_SHEET]
        columns = min(8, len(images))
        images = images[: len(images) // columns * columns]
        rows = images.unflatten(0, (-1, columns)).permute(0, 3, 1, 4, 2).flatten(2, 3).flatten(0, 1)
        return (rows * 255 + 0.5).to(torch.uint8).cpu().numpy()


def _cached(run: Run[RecognitionTrainConfig], sources: Sources, size: int) -> list[Path]:
    """Return the folders of rendered people, then of photographs, where there are such."""
    options, seed = run.config.data, seed_of(run.config.loop.seed, "people")
    head = load_head(sources.streams)
    shared = {"image_size": size, "options": options, "seed": seed, "report": run.say}
    builds: list[Callable[[], Path]] = []
    if head is not None:
        builds.append(lambda: build_rendered_cache(head, run.cache, **shared))
    if sources.pieces:
        builds.append(lambda: build_photograph_cache(sources.pieces, head, run.cache, **shared))
    return [once_per_node(run.fabric, build) for build in builds]


@torch.no_grad()
def _start_from(network: RecognitionNetwork, base: LatentFace) -> bool:
    """Take over the encoder, and what reads face embeddings off its maps, where they are alike.

    Returns whether the encoder was.
    """
    if isinstance(base.face_embedding, RecognitionNetwork):
        found = base.face_embedding.state_dict()
        if len(base.face_embedding.mean) == len(network.mean):
            network.load_state_dict(found)
            network.mean.zero_()
            return True
    elif base.config.networks == "small":
        kept = base.autoencoder.trunk.state_dict()
        own = {k: v for k, v in kept.items() if not k.startswith("linear.")}
        network.encoder.load_state_dict(own, strict=False)
        linear = base.face_embedding
        if linear is not None and linear.weight.T.shape == network.encoder.linear.weight.shape:
            network.encoder.linear.weight.copy_(linear.weight.T)
            network.encoder.linear.bias.copy_(-(linear.mean @ linear.weight))
        return True
    return False


@torch.no_grad()
def _within(network: RecognitionNetwork, cache: PeopleCache, size: int, seed: int) -> Tensor:
    """Return the covariance of embeddings within people, of views as cameras give them. [K, K]."""
    rng = np.random.default_rng(seed_of(seed, "within"))
    people = np.linspace(0, len(cache) - 1, min(len(cache), _MEAN_OF)).round().astype(int)
    views = cache.views.shape[1]
    total = torch.zeros(len(network.mean), len(network.mean), dtype=torch.float64)
    for person in people:
        seen = to_batch([photographed(view, size, rng) for view in cache.views[person]])
        apart = network(seen.to(network.mean.device) / 255).double().cpu()
        apart -= apart.mean(dim=0)
        total += apart.T @ apart
    return total / (len(people) * (views - 1))


@torch.no_grad()
def _take_mean(network: RecognitionNetwork, cache: PeopleCache, size: int) -> None:
    """Set the mean that is taken off to that of the first views of many people."""
    edge = margin_of(size)
    rows = np.linspace(0, len(cache) - 1, min(len(cache), _MEAN_OF)).round().astype(int)
    total = torch.zeros_like(network.mean)
    for part in np.array_split(rows, max(1, len(rows) // 256)):
        crops = cache.views[part, 0, edge:-edge, edge:-edge]
        total += network(to_batch(list(crops)).to(total.device) / 255).sum(dim=0)
    network.mean += total / len(rows)


def _export(
    run: Run[RecognitionTrainConfig], sources: Sources, given: Model, network: RecognitionNetwork
) -> None:
    """Write the weights as they were given with the new network into one file."""
    sizes = replace(
        given.network.config,
        face_embedding_dim=len(network.mean),
        face_embedding_from="image",
    )
    whole = LatentFace(sizes)
    kept = {
        name: value
        for name, value in given.network.state_dict().items()
        if not name.startswith("face_embedding.")
    }
    kept |= {f"face_embedding.{name}": value for name, value in network.state_dict().items()}
    whole.load_state_dict(kept)
    options = run.config.data
    excluded = find_sources(options.exclude).pieces if options.exclude else []
    images = given.images | image_hashes(sources.pieces, excluded)
    origin = run.config.init_from or "the weights of the package"
    trained = [*run.data, f"all but the face embedding: that of {origin}"]
    card = card_text(Card(data=trained, config=asdict(run.config)))
    gaze = {"gaze": asdict(given.gaze.config)} if given.gaze else {}
    half = weights.is_half(given.network.state_dict())
    weights.save(
        run.folder.exported,
        tensors_of(whole, given.gaze),
        {**asdict(sizes), **gaze},
        card,
        images=images,
        half=half,
        overwrite=True,
    )
