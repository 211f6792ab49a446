"""The face embedding's own network, and the loss that it is trained with: CosFace.

Which person is seen, whatever the pose, light, expression and camera. Wang et al. 2018 (CosFace,
eq. 4) pull the cosine between an embedding e and the centre w_y of its person y up by a margin,

    L = -1/N sum_i log( e^{s (cos t_yi - m)}
                        / (e^{s (cos t_yi - m)} + sum_{j != yi} e^{s cos t_ji}) ),

cos t_ji being that between e_i and w_j. Persons here are no labels of real people: rendered people
are known, and of a photograph all views that a head model draws of it show one person.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["RecognitionNetwork", "cosface_loss"]

_CHANNELS = (24, 56, 112, 192)
_BLOCKS = (0, 1, 2, 1)
"""Residual blocks after each strided convolution; from half of the input's size downwards."""


class _Block(nn.Module):
    """x + norm(conv(act(norm(conv(norm(x)))))), as in ArcFace's improved residual unit."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W]."""
        return x + self.layers(x)


class RecognitionNetwork(nn.Module):
    """Face crops to face embeddings, compared by cosine; 1.5 million parameters at 64 px."""

    mean: Tensor

    def __init__(self, image_size: int, dim: int) -> None:
        """Build an untrained network.

        Args:
            image_size: side of the crops, a multiple of 16. Pixels.
            dim: K, length of the embedding.
        """
        super().__init__()
        layers: list[nn.Module] = []
        previous = 3
        for level, (channels, blocks) in enumerate(zip(_CHANNELS, _BLOCKS, strict=True)):
            side = 5 if level == 0 else 3
            layers += [
                nn.Conv2d(previous, channels, side, 2, side // 2, bias=False),
                nn.BatchNorm2d(channels),
                nn.PReLU(channels),
                *(_Block(channels) for _ in range(blocks)),
            ]
            previous = channels
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            nn.BatchNorm2d(previous),
            nn.Flatten(),
            nn.Dropout(0.2),
            nn.Linear(previous * (image_size // 16) ** 2, dim, bias=False),
            nn.BatchNorm1d(dim),
        )
        self.register_buffer("mean", torch.zeros(dim))

    def forward(self, images: Tensor) -> Tensor:
        """Crops in [0, 1], [B, 3, S, S] -> face embedding less its mean over photographs [B, K]."""
        return self.head(self.convolutions(images * 2 - 1)) - self.mean


def cosface_loss(
    embedding: Tensor, centres: Tensor, person: Tensor, *, margin: float, scale: float
) -> Tensor:
    """Return L summed over the batch. [].

    Args:
        embedding: e. [B, K].
        centres: w, a row a person. [P, K].
        person: y. int64 [B].
        margin: m, in cosine.
        scale: s.
    """
    cosine = F.normalize(embedding, dim=1) @ F.normalize(centres, dim=1).T
    pulled = cosine.float() - margin * F.one_hot(person, len(centres)).to(cosine)
    return F.cross_entropy(scale * pulled, person, reduction="sum")
