"""FF-IB, the full-face information bottleneck: the face and its eyes to a code of d numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mien.gaze.config import FACE_CROP, FACE_SIDE, GazeConfig
from mien.gaze.cut import EyeViews, eye_mask
from mien.gaze.layers import Block, eye_stem, patches, table_of

__all__ = ["Bottleneck", "FullFaceBottleneck", "eye_masks", "place_of_eyes"]


@dataclass(frozen=True)
class Bottleneck:
    """The code as a distribution; a plain bottleneck has no width."""

    mean: Tensor
    """The code that is stored. [B, d]."""
    log_variance: Tensor | None
    """None where the bottleneck is not variational. [B, d]."""

    def sample(self, generator: torch.Generator) -> Tensor:
        """Sample z ~ N(mean, variance); the mean itself where there is no variance. [B, d]."""
        if self.log_variance is None:
            return self.mean
        noise = torch.randn(self.mean.shape, generator=generator, device=self.mean.device)
        return self.mean + (self.log_variance / 2).exp() * noise

    def rate(self) -> Tensor:
        """Return R = KL(q(z|x) || N(0, 1)), a bound on what the code carries. Nats [B]."""
        if self.log_variance is None:
            return self.mean.new_zeros(len(self.mean))
        variance = self.log_variance.exp()
        return 0.5 * (self.mean.square() + variance - 1 - self.log_variance).sum(dim=1)


class FullFaceBottleneck(nn.Module):
    """Eyes by a convolutional stem, band and face by patches, one query that reads them all.

    The surroundings are seen without their eyes, so that these eyes in another face are a change
    of the surroundings alone.
    """

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        self.config = config
        dim, heads, stem_width = config.code_sizes
        rows, columns = config.eye_grid
        self.stem = eye_stem(config.eye_patch, stem_width, dim)
        self.band = nn.Linear(config.band_patch**2, dim)
        self.face = nn.Linear(config.face_patch**2, dim)
        self.place = nn.Linear(4, dim)
        self.query = table_of(1, dim)
        self.eye_places = table_of(2 * rows * columns, dim)
        self.band_places = table_of(config.band_tokens, dim)
        self.face_places = table_of(config.face_tokens, dim)
        self.no_face = table_of(1, dim)
        self.blocks = nn.ModuleList(Block(dim, heads) for _ in range(config.bottleneck_depth))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, config.code_dim * (2 if config.variational else 1))

    def forward(self, views: EyeViews) -> Bottleneck:
        """Normalised views -> the code."""
        config, batch = self.config, len(views)
        eyes = self.stem(views.eyes.flatten(0, 1)).flatten(2).transpose(1, 2)
        band_mask, face_mask = eye_masks(views, config)
        band, face = views.band * band_mask, views.face * face_mask
        there = views.has_face[:, None, None]
        face_tokens = self.face(patches(face, config.face_patch))
        face_tokens = torch.where(there, face_tokens, self.no_face.to(face_tokens.dtype))
        tokens = torch.cat(
            [
                self.query + self.place(place_of_eyes(views, config))[:, None],
                eyes.reshape(batch, *self.eye_places.shape[1:]) + self.eye_places,
                self.band(patches(band, config.band_patch)) + self.band_places,
                face_tokens + self.face_places,
            ],
            dim=1,
        )
        for block in self.blocks[:-1]:
            tokens = block(tokens)
        # The code is read off the query: nobody asks what becomes of the others in the last block.
        last = self.blocks[-1] if len(self.blocks) else None
        query = last.first(tokens) if isinstance(last, Block) else tokens
        code = self.head(self.norm(query[:, 0])).float()
        if not config.variational:
            return Bottleneck(code, None)
        mean, log_variance = code.chunk(2, dim=1)
        return Bottleneck(mean, log_variance.clamp(-10, 2))


def eye_masks(views: EyeViews, config: GazeConfig) -> tuple[Tensor, Tensor]:
    """Return m of the band and of the face: 0 where an eye's cut lies, 1 = kept. [B, 1, H, W] each.

    A normalised image times its mask has the eyes cut out and filled with the mean.
    """
    half = (config.eye_width / 4, config.eye_height / 4)
    small = FACE_SIDE / FACE_CROP
    half_of_face = (config.eye_width / 2 * small, config.eye_height / 2 * small)
    band = eye_mask(views.band_eyes, (config.band_height, config.band_width), half)
    return band, eye_mask(views.face_eyes, (FACE_SIDE, FACE_SIDE), half_of_face)


def place_of_eyes(views: EyeViews, config: GazeConfig) -> Tensor:
    """Return where the eyes stand in the band, about -1 to 1. [B, 4]."""
    middle = views.band_eyes.new_tensor([(config.band_width - 1) / 2, (config.band_height - 1) / 2])
    return ((views.band_eyes - middle) / (config.band_height / 2)).flatten(1)
