"""A masked autoencoder (He et al. 2022): three quarters of the patches are hidden and guessed.

A small vision transformer sees the patches that are left; a smaller one guesses the hidden ones,
each normalised by its own mean and standard deviation. The features are the mean over all patches
of a whole image, after the last normalisation.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from benchmarks.peers.learner import Learner, Recipe
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["MaskedAutoencoder", "TransformerBlock"]


class TransformerBlock(nn.Module):
    """x + attention(norm(x)), then x + MLP(norm(x))."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.enter, self.leave = nn.Linear(dim, 3 * dim), nn.Linear(dim, dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 4 * dim), nn.GELU(), nn.Linear(4 * dim, dim))

    def forward(self, x: Tensor) -> Tensor:
        """[B, N, D] -> [B, N, D]."""
        each = self.enter(self.norm1(x)).unflatten(2, (3, self.heads, -1))
        query, key, value = each.permute(2, 0, 3, 1, 4).unbind()
        seen = F.scaled_dot_product_attention(query, key, value)
        x = x + self.leave(seen.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class MaskedAutoencoder(Learner):
    """Both transformers; about as many parameters as mien's autoencoder."""

    place: Tensor
    decoder_place: Tensor
    recipe = Recipe(batch_size=64, learning_rate=8e-4, cost=0.30, weight_decay=0.05, beta2=0.95)

    def __init__(
        self,
        image_size: int = 64,
        *,
        patch: int = 8,
        dim: int = 256,
        depth: int = 5,
        decoder_dim: int = 128,
        decoder_depth: int = 2,
        hidden: float = 0.75,
    ) -> None:
        """Build it.

        Args:
            image_size: side of the crops. Pixels.
            patch: side of a patch. Pixels.
            dim: length of the features; 64 for each head.
            depth: blocks of the encoder.
            decoder_dim: length within the decoder.
            decoder_depth: blocks of the decoder.
            hidden: fraction of the patches that are hidden.
        """
        super().__init__()
        self.patch, self.count = patch, (image_size // patch) ** 2
        self.kept = max(1, round(self.count * (1 - hidden)))
        self.enter = nn.Linear(3 * patch * patch, dim)
        self.register_buffer("place", _places(image_size // patch, dim), persistent=False)
        self.encoder = nn.Sequential(
            *(TransformerBlock(dim, max(1, dim // 64)) for _ in range(depth)), nn.LayerNorm(dim)
        )
        self.to_decoder = nn.Linear(dim, decoder_dim)
        self.unseen = nn.Parameter(torch.zeros(1, 1, decoder_dim))
        place = _places(image_size // patch, decoder_dim)
        self.register_buffer("decoder_place", place, persistent=False)
        self.decoder = nn.Sequential(
            *(
                TransformerBlock(decoder_dim, max(1, decoder_dim // 32))
                for _ in range(decoder_depth)
            ),
            nn.LayerNorm(decoder_dim),
            nn.Linear(decoder_dim, 3 * patch * patch),
        )

    def features(self, images: Tensor) -> Tensor:
        """Return the mean over patches. [B, 3, H, W] -> [B, dim]."""
        return self.encoder(self._tokens(self.patches(images))).mean(dim=1)

    def describing(self) -> list[nn.Module]:
        """Return the encoder."""
        return [self.enter, self.encoder]

    def patches(self, images: Tensor) -> Tensor:
        """Return the pixels of each patch, row by row. [B, 3, H, W] -> [B, N, 3 patch^2]."""
        return F.unfold(images, self.patch, stride=self.patch).transpose(1, 2)

    def loss(self, batch: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Return the mean squared error of the hidden patches."""
        patches = self.patches(batch["image"])
        order = torch.rand(patches.shape[:2], generator=generator, device=patches.device).argsort(1)
        kept, hidden = order[:, : self.kept], order[:, self.kept :]
        seen = self.to_decoder(self.encoder(_take(self._tokens(patches), kept)))
        blank = self.unseen.to(seen.dtype).expand(*hidden.shape, -1)
        back = order.argsort(dim=1)
        whole = _take(torch.cat([seen, blank], dim=1), back) + self.decoder_place
        guessed = _take(self.decoder(whole), hidden).float()
        target = _take(patches, hidden)
        middle = target.mean(dim=2, keepdim=True)
        std = (target.var(dim=2, keepdim=True) + 1e-4).sqrt()
        return {"hidden": F.mse_loss(guessed, (target - middle) / std)}

    def _tokens(self, patches: Tensor) -> Tensor:
        return self.enter(patches * 2 - 1) + self.place


def _take(tokens: Tensor, rows: Tensor) -> Tensor:
    """Return some tokens of each image. [B, N, D], [B, K] -> [B, K, D]."""
    return tokens.gather(1, rows[:, :, None].expand(-1, -1, tokens.shape[2]))


def _places(side: int, dim: int) -> Tensor:
    """Return waves of row and column, the same for all images. [1, side^2, dim]."""
    pace = 10_000 ** (-torch.arange(dim // 4) / (dim // 4))
    line = torch.arange(side)[:, None] * pace
    wave = torch.cat([line.sin(), line.cos()], dim=1)
    rows = wave[:, None].expand(-1, side, -1)
    columns = wave[None].expand(side, -1, -1)
    return torch.cat([rows, columns], dim=2).reshape(1, side * side, -1)
