"""EM-AE, the eye-masked auto-encoder: surroundings and an injected code to the eyes.

    E(m * x)            the rest of the face                        encoder, on the visible patches
    x^_a = D(E(m * x), z)    the eyes, m = 0 there                  eye-attended
    x^_u = D(E(m' * x), z)   the rest of the face, most of m' = 0   eye-unattended

(x the face, m the mask with 1 = kept, z the code; the paper's sizes are not public.) The code is
injected as one token for each masked patch, added to that patch's mask token. Appended instead, as
tokens that the decoder may attend to, it is learned many times more slowly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mien.gaze.bottleneck import eye_masks, place_of_eyes
from mien.gaze.config import GazeConfig
from mien.gaze.cut import EyeViews
from mien.gaze.layers import Block, Upsampler, patches, table_of

__all__ = ["EyeMaskedAutoencoder", "Visible"]


@dataclass(frozen=True)
class Visible:
    """The encoded visible patches and which they are."""

    tokens: Tensor
    """[B, K, D]."""
    order: Tensor
    """Numbers of the visible patches: the band's, then the face's. Int64 [B, K]."""


class EyeMaskedAutoencoder(nn.Module):
    """Encodes what is around the eyes and decodes the eyes with the help of a code."""

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        self.config = config
        dim = config.dim
        rows, columns = config.eye_grid
        self.eye_tokens = 2 * rows * columns
        # A patch and its mask: a patch that the mask cuts is not taken for a dark one.
        self.band = nn.Linear(2 * config.band_patch**2, dim)
        self.face = nn.Linear(2 * config.face_patch**2, dim)
        self.band_places = table_of(config.band_tokens, dim)
        self.face_places = table_of(config.face_tokens, dim)
        self.no_face = table_of(1, dim)
        self.eye_masks = table_of(self.eye_tokens, dim)
        self.band_masks = table_of(config.band_tokens, dim)
        self.place = nn.Linear(4, dim)
        self.inject_eyes = nn.Linear(config.code_dim, self.eye_tokens * dim)
        self.inject_rest = nn.Linear(config.code_dim, dim)
        self.encoder = nn.ModuleList(Block(dim, config.heads) for _ in range(config.encoder_depth))
        self.decoder = nn.ModuleList(Block(dim, config.heads) for _ in range(config.decoder_depth))
        self.norm = nn.LayerNorm(dim)
        self.upsampler = Upsampler(config.eye_patch, config.stem_width, dim)
        self.band_head = nn.Linear(dim, config.band_patch**2)

    def encode(
        self,
        views: EyeViews,
        *,
        keep: float,
        generator: torch.Generator | None,
        masked: bool = True,
    ) -> Visible:
        """Encode a random fraction of the patches.

        Args:
            views: normalised.
            keep: fraction of the patches that is seen.
            generator: chooses them; None where all are kept.
            masked: whether the eyes are cut out; otherwise the band shows them (unattended steps).
        """
        config, batch = self.config, len(views)
        band_mask, face_mask = torch.ones_like(views.band), torch.ones_like(views.face)
        if masked:
            band_mask, face_mask = eye_masks(views, config)
        seen_band = [patches(e, config.band_patch) for e in (views.band * band_mask, band_mask)]
        seen_face = [patches(e, config.face_patch) for e in (views.face * face_mask, face_mask)]
        face_tokens = self.face(torch.cat(seen_face, dim=2))
        there = views.has_face[:, None, None]
        face_tokens = torch.where(there, face_tokens, self.no_face.to(face_tokens.dtype))
        tokens = torch.cat(
            [
                self.band(torch.cat(seen_band, dim=2)) + self.band_places,
                face_tokens + self.face_places,
            ],
            dim=1,
        )
        count = tokens.shape[1]
        if generator is None:
            order = torch.arange(count, device=tokens.device).expand(batch, count)
        else:
            chance = torch.rand(batch, count, generator=generator, device=tokens.device)
            order = chance.argsort(dim=1)[:, : max(1, int(count * keep))]
        tokens = tokens.gather(1, order[..., None].expand(-1, -1, tokens.shape[2]))
        for block in self.encoder:
            tokens = block(tokens)
        return Visible(tokens, order)

    def decode_eyes(self, visible: Visible, code: Tensor | None, views: EyeViews) -> Tensor:
        """Decode both eyes, normalised images. [B, 2, 1, eye_height, eye_width].

        Args:
            visible: from `encode`.
            code: [B, d]; None injects nothing.
            views: gives the eyes' places alone.
        """
        config, batch = self.config, len(visible.tokens)
        place = self.place(place_of_eyes(views, config))[:, None]
        masked = self.eye_masks + place
        if code is not None:
            masked = masked + self.inject_eyes(code).view(batch, self.eye_tokens, self.config.dim)
        tokens = self._decode(masked.expand(batch, -1, -1), visible)
        rows, columns = config.eye_grid
        grid = tokens.reshape(2 * batch, rows, columns, -1).permute(0, 3, 1, 2)
        return self.upsampler(grid).unflatten(0, (batch, 2)).float()

    def decode_rest(self, visible: Visible, code: Tensor | None) -> Tensor:
        """Decode the band's patches. [B, N, band_patch ** 2]."""
        batch = len(visible.tokens)
        masked = self.band_masks
        if code is not None:
            masked = masked + self.inject_rest(code)[:, None]
        return self.band_head(self._decode(masked.expand(batch, -1, -1), visible)).float()

    def _decode(self, masked: Tensor, visible: Visible) -> Tensor:
        """Return the decoded masked tokens. [B, M, D]."""
        tokens = torch.cat([masked.to(visible.tokens.dtype), visible.tokens], dim=1)
        for block in self.decoder:
            tokens = block(tokens)
        return self.norm(tokens[:, : masked.shape[1]])
