"""The face embedding's own network, and the losses that it is trained with.

Which person is seen, whatever the pose, light, expression and camera. Every person i has a
prototype w_i; a view z of i is told from all people at once (instance discrimination, Wu et al.
2018, eq. 1, with the margin of CosFace, Wang et al. 2018, eq. 4):

    l = -log( e^(s (cos(z, w_i) - m)) / (e^(s (cos(z, w_i) - m)) + sum_{j != i} e^(s cos(z, w_j))) )

The prototypes are no parameters: when views of i are seen, w_i <- a w_i + (1 - a) z, made unit.

Or two views i and j of a person are drawn together, and apart from other people's in the batch
(NT-Xent; Chen et al. 2020, SimCLR, eq. 1):

    l_ij = -log( exp(sim(z_i, z_j) / tau) / sum_{k != i} exp(sim(z_i, z_k) / tau) ),

sim being the cosine. Persons are no labels of real people: rendered people are known, a clip shows
one person, and so do all views that a head model draws of a photograph.

At the end the direction is taken out in which rendered people with glasses differ from others:
nobody is to be like another because both wear glasses.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.latentface.networks import SmallEncoder

__all__ = ["RecognitionNetwork", "instance_loss", "move_prototypes", "nt_xent"]

_SHRINKAGE = 0.1
_NEVER = -1e4
"""In the place of sim / tau for what does not count."""


class RecognitionNetwork(nn.Module):
    """Face crops to face embeddings, compared by cosine: an encoder's maps, then a linear map."""

    mean: Tensor

    def __init__(self, image_size: int, width: int, dim: int, *, shares: int = 0) -> None:
        """Build an untrained network.

        Args:
            image_size: S, side of the crops. Pixels.
            width: channels of the encoder's first convolution.
            dim: K, length of the embedding.
            shares: finest levels that it shares with another encoder.
        """
        super().__init__()
        self.encoder = SmallEncoder(image_size, width, dim, skip=shares)
        self.encoder.linear = nn.Linear(16 * self.encoder.map_channels, dim)
        self.register_buffer("mean", torch.zeros(dim))

    @torch.no_grad()
    def whiten(self, within: Tensor) -> None:
        """Let views of one person scatter alike in all directions: e <- A^T e.

            W + s I = U L U^T,    A = U L^(-1/2),    s = 0.1 tr(W) / K.

        Args:
            within: W, covariance of embeddings within people. [K, K].
        """
        dim = len(within)
        spread = within.double() + _SHRINKAGE * within.diagonal().mean() * torch.eye(dim).double()
        strength, axes = torch.linalg.eigh(spread.cpu())
        change, weight = (axes / strength.sqrt()).T.to(self.mean), self.encoder.linear.weight
        # Embeddings keep their size: they are stored in half precision.
        self._map(change * (weight.norm() / (change @ weight).norm()))

    @torch.no_grad()
    def erase(self, embedding: Tensor, worn: Tensor) -> None:
        """Let embeddings say nothing on average of what is worn: e <- e - e q q^T.

            q = (u_worn - u_not) / |u_worn - u_not|,    u the mean of e / |e|.

        Args:
            embedding: e of views of rendered people. [N, K].
            worn: whether it is worn in each of them; in some, not in all. bool [N].
        """
        unit = F.normalize(embedding.double().cpu(), dim=1)
        q = F.normalize(unit[worn].mean(dim=0) - unit[~worn].mean(dim=0), dim=0).to(self.mean)
        self._map(torch.eye(len(q)).to(q) - torch.outer(q, q))

    def _map(self, change: Tensor) -> None:
        """Let embeddings be what they are now times a matrix: e <- M e. [K, K]."""
        for values in (self.encoder.linear.weight, self.encoder.linear.bias, self.mean):
            values.copy_(change @ values)

    def forward(self, images: Tensor) -> Tensor:
        """Return face embeddings less their mean over photographs. [B, K].

        Args:
            images: crops in [0, 1], [B, 3, S, S]; or what the last of the shared levels gives.
        """
        return self.read(self.maps(images))

    def maps(self, images: Tensor) -> Tensor:
        """Images, as `forward` takes them -> what embeddings are made of. [B, C, 4, 4]."""
        maps = [F.adaptive_avg_pool2d(part, 4) for part in self.encoder.maps(images)]
        return torch.cat(maps, dim=1)

    def read(self, maps: Tensor) -> Tensor:
        """Maps [B, C, 4, 4] -> face embeddings less their mean over photographs. [B, K]."""
        return self.encoder.linear(maps.flatten(1)) - self.mean


def nt_xent(embedding: Tensor, *, temperature: float) -> Tensor:
    """Return the sum of l over the batch. [].

    Args:
        embedding: z; rows 2 i and 2 i + 1 are the two views of a person. [B, K].
        temperature: tau.
    """
    z = F.normalize(embedding.float(), dim=1)
    own = torch.eye(len(z), dtype=torch.bool, device=z.device)
    similarity = (z @ z.T / temperature).masked_fill(own, _NEVER)
    partner = torch.arange(len(z), device=z.device) ^ 1
    return F.cross_entropy(similarity, partner, reduction="sum")


def instance_loss(
    embedding: Tensor, prototypes: Tensor, person: Tensor, *, scale: float, margin: float
) -> Tensor:
    """Return the sum of l over the batch. [].

    Args:
        embedding: z, of any length. [B, K].
        prototypes: w, of any length. [N, K].
        person: whom each row shows. int64 [B].
        scale: s.
        margin: m, a cosine.
    """
    cosine = F.normalize(embedding.float(), dim=1) @ F.normalize(prototypes.float(), dim=1).T
    own = F.one_hot(person, len(prototypes)).to(cosine)
    return F.cross_entropy(scale * (cosine - margin * own), person, reduction="sum")


@torch.no_grad()
def move_prototypes(prototypes: Tensor, unit: Tensor, person: Tensor, *, keep: float) -> None:
    """Move the prototypes of those who were seen towards their views, in place.

    Args:
        prototypes: w, of unit length. [N, K].
        unit: z of unit length, two rows a person that follow one another. [B, K].
        person: whom each row shows; no person twice. int64 [B].
        keep: a.
    """
    seen = F.normalize(unit.unflatten(0, (-1, 2)).mean(dim=1), dim=1)
    own = person[::2]
    mixed = keep * prototypes[own] + (1 - keep) * seen.to(prototypes)
    prototypes[own] = F.normalize(mixed, dim=1)
