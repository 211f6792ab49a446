"""What the face embedding's network reads, and its last layer: whitening, mean, glasses."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mien.data.people_cache import PeopleCache, margin_of, worn_glasses
from mien.data.people_loader import photographed
from mien.data.seeds import seed_of
from mien.latentface.latentface import LatentFace
from mien.latentface.recognition import RecognitionNetwork
from mien.pipeline.encode import to_batch
from mien.synth.head_model import HeadModel
from mien.train.recipes.recognition_options import RecognitionTrainConfig
from mien.train.recipes.run import Run

__all__ = ["Stem", "embedded", "erase_glasses", "take_mean", "within"]

Rows = NDArray[np.int64]

_MEAN_OF = 4096
"""People whose views give the covariance, the means, and the photographs' mean."""


class Stem(nn.Module):
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


@torch.no_grad()
def embedded(
    network: RecognitionNetwork,
    stem: Stem,
    cache: PeopleCache,
    rows: Rows,
    size: int,
    view: int = 0,
) -> Tensor:
    """Return the embeddings of one view of people, by default the first, as it is. [B, K]."""
    edge, found = margin_of(size), []
    for part in np.array_split(rows, max(1, len(rows) // 256)):
        crops = cache.views[part, view, edge:-edge, edge:-edge]
        found.append(network(stem(to_batch(list(crops)).to(network.mean.device) / 255)))
    return torch.cat(found)


@torch.no_grad()
def within(
    network: RecognitionNetwork, stem: Stem, cache: PeopleCache, size: int, seed: int
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
def take_mean(network: RecognitionNetwork, stem: Stem, cache: PeopleCache, size: int) -> None:
    """Set the mean that is taken off to that of the first views of many people."""
    network.mean += embedded(network, stem, cache, _spread_out(cache), size).mean(dim=0)


@torch.no_grad()
def erase_glasses(
    run: Run[RecognitionTrainConfig],
    head: HeadModel | None,
    network: RecognitionNetwork,
    stem: Stem,
    rendered: PeopleCache,
    size: int,
) -> None:
    """Take the direction out that tells whether rendered people wear glasses, where there are any.

    Args:
        run: its options and seed made the views.
        head: of the rendered people; None: there are none.
        network: changed in place.
        stem: comes before it.
        rendered: their views; not looked at without a head model.
        size: S, side of the face crops. Pixels.
    """
    if head is None:
        run.say("recognition.erase_glasses: no rendered people; add synth:HEAD_MODEL to --data")
        return
    options, seed = run.config.data, seed_of(run.config.loop.seed, "people")
    worn = worn_glasses(head, image_size=size, options=options, seed=seed)
    people = _spread_out(rendered)
    if worn[people].all() or not worn[people].any():
        run.say("recognition.erase_glasses: all rendered people wear glasses, or none does")
        return
    views = range(rendered.views.shape[1])
    found = [embedded(network, stem, rendered, people, size, view) for view in views]
    embedding = torch.stack(found, dim=1).flatten(0, 1)
    network.erase(embedding, torch.from_numpy(worn[people].flatten()))


def _spread_out(cache: PeopleCache) -> Rows:
    """Return the numbers of people who stand for all."""
    return np.linspace(0, len(cache) - 1, min(len(cache), _MEAN_OF)).round().astype(int)
