"""SimCLR (Chen et al. 2020): two views of an image find each other among all others of the batch.

The loss of view i with its partner j among the 2 B views, by unit vectors z and temperature t:

    l(i, j) = -log( exp(z_i . z_j / t) / sum over k != i of exp(z_i . z_k / t) )
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from benchmarks.peers.learner import Learner, Recipe
from torch import Tensor, nn
from torch.nn import functional as F

from mien.latentface.networks import SmallEncoder

__all__ = ["SimClr", "Views", "contrast", "random_view"]

_LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class Views:
    """How strongly views are varied; milder than on objects, as a face crop must stay a face."""

    smallest: float = 0.4
    """Smallest fraction of the crop's area that a view shows."""
    angle: float = 0.2
    """Largest rotation in the plane. Radians."""
    colour: float = 0.4
    """Largest change of brightness, contrast and saturation, as a fraction; of hue half of it."""
    grey: float = 0.2
    """Chance of a grey view."""
    blur: float = 0.5
    """Chance of a view scaled down to half and up again."""


class SimClr(Learner):
    """mien's trunk, and a head that only learning needs."""

    recipe = Recipe(batch_size=128, learning_rate=1e-3, cost=0.28, weight_decay=1e-4)

    def __init__(
        self,
        image_size: int = 64,
        *,
        width: int = 32,
        feature_dim: int = 512,
        head_dim: int = 128,
        temperature: float = 0.2,
    ) -> None:
        """Build it; the trunk is that of mien's `small` preset."""
        super().__init__()
        self.trunk = SmallEncoder(image_size, width, feature_dim)
        self.head = nn.Sequential(
            nn.SiLU(),
            nn.Linear(feature_dim, feature_dim, bias=False),
            nn.BatchNorm1d(feature_dim),
            nn.ReLU(),
            nn.Linear(feature_dim, head_dim, bias=False),
        )
        self.temperature, self.views = temperature, Views()

    def features(self, images: Tensor) -> Tensor:
        """Return what comes before the head. [B, 3, H, W] -> [B, feature_dim]."""
        return F.silu(self.trunk(images))

    def describing(self) -> list[nn.Module]:
        """Return the trunk."""
        return [self.trunk]

    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the contrastive loss of two views of each image."""
        images = batch["image"]
        both = torch.cat([random_view(images, self.views, generator) for _ in range(2)])
        first, second = self.head(self.trunk(both)).float().chunk(2)
        return {"contrast": contrast(first, second, self.temperature)}


def contrast(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return the mean loss of the equation above; row i of both is one image. [B, D], [B, D]."""
    unit = F.normalize(torch.cat([first, second]), dim=1)
    face_embedding = unit @ unit.T / temperature
    itself = torch.eye(len(unit), dtype=torch.bool, device=unit.device)
    partner = torch.arange(len(unit), device=unit.device).roll(len(first))
    return F.cross_entropy(face_embedding.masked_fill(itself, -math.inf), partner)


@torch.no_grad()
def random_view(images: Tensor, views: Views, generator: torch.Generator) -> Tensor:
    """Return each image cut, mirrored, rotated and recoloured at random. [B, 3, H, W], [0, 1].

    Args:
        images: [B, 3, H, W], [0, 1].
        views: how strongly.
        generator: on the images' device.
    """
    batch, device = len(images), images.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(batch, *shape, generator=generator, device=device)

    side = (views.smallest + (1 - views.smallest) * uniform()).sqrt()
    middle = (1 - side)[:, None] * (2 * uniform(2) - 1)
    mirror = torch.where(uniform() < 0.5, -1.0, 1.0)
    angle = views.angle * (2 * uniform() - 1)
    cos, sin = side * angle.cos(), side * angle.sin()
    rows = [mirror * cos, -sin, middle[:, 0], mirror * sin, cos, middle[:, 1]]
    affine = torch.stack(rows, dim=1).reshape(-1, 2, 3)
    grid = F.affine_grid(affine, list(images.shape), align_corners=True)
    seen = F.grid_sample(images, grid, padding_mode="border", align_corners=True)
    soft = F.interpolate(F.avg_pool2d(seen, 2), scale_factor=2.0, mode="bilinear")
    seen = torch.where((uniform() < views.blur)[:, None, None, None], soft, seen)
    change = views.colour * (2 * uniform(6) - 1)
    return _recolour(seen, change, uniform() < views.grey)


def _recolour(images: Tensor, change: Tensor, grey: Tensor) -> Tensor:
    """Change saturation, contrast and brightness, and each channel by half as much.

    Args:
        images: [B, 3, H, W].
        change: fractions: saturation, contrast, brightness, red, green, blue. [B, 6].
        grey: which lose all colour. [B].
    """
    one = [1 + change[:, k, None, None, None] for k in range(3)]
    luma = (images * images.new_tensor(_LUMA)[None, :, None, None]).sum(dim=1, keepdim=True)
    saturation = one[0] * (~grey)[:, None, None, None]
    images = luma + saturation * (images - luma)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (mean + one[1] * (images - mean)) * one[2]
    tint = torch.where(grey[:, None], 1.0, 1 + change[:, 3:] / 2)
    return (images * tint[:, :, None, None]).clamp(0, 1)
