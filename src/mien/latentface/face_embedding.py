"""FaceEmbedding: what tells people apart in the encoder's maps, read off them by one linear map.

The codes keep what drawing a face needs; the maps before them tell people apart better, once what
varies within clips is taken out of them. With W the covariance of maps within clips and B that of
the clips' means, the map to K numbers is that of Fisher's discriminant with clips in the place of
labels:

    face embedding = (maps - mean) A,    A^T W A = I,    A^T B A = diag(l_1 >= ... >= l_K)

It is compared by cosine. It is no part of the paper and cannot be drawn: `identity` can.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from mien.latentface.discriminant import discriminant

__all__ = ["FaceEmbedding"]


class FaceEmbedding(nn.Module):
    """A linear map of maps, fixed after stage 2."""

    mean: Tensor
    weight: Tensor

    def __init__(self, features: int, dim: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("weight", torch.eye(features, dim))

    @torch.no_grad()
    def fit(self, clips: Iterable[Tensor]) -> None:
        """Set the map from the maps of clips.

        Args:
            clips: parts of a set of clips, each [C, T, F]; the same T of at least 2 in all, and at
                least two clips in all.
        """
        size = len(self.mean)
        within = torch.zeros(size, size, dtype=torch.float64)
        means, frames = [], 0
        for part in clips:
            mean = part.mean(dim=1, keepdim=True)
            apart = (part - mean).flatten(0, 1).float()
            within += (apart.T @ apart).double().cpu()
            means.append(mean[:, 0].double().cpu())
            frames = part.shape[1]
        of_clips = torch.cat(means)
        within /= len(of_clips) * (frames - 1)
        axes, _ = discriminant(within, of_clips, frames)
        self.mean.copy_(of_clips.mean(dim=0))
        # Strongest first.
        self.weight.copy_(axes.flip(1)[:, : self.weight.shape[1]])

    def forward(self, maps: Tensor) -> Tensor:
        """Flattened maps [B, F] -> face embedding [B, K]."""
        return (maps - self.mean) @ self.weight
