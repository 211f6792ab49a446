"""Augmentation of crops, sampled for the whole batch and applied to any of its rows.

What is sampled does not depend on which process applies it, so several processes train on the very
images that one would train on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.data.options import DataOptions

__all__ = [
    "Variation",
    "covered",
    "degrade",
    "noise_tiles",
    "sample_variation",
    "turned",
    "vary",
]

TILES = 64


@dataclass(frozen=True)
class Variation:
    """How each image of a batch is augmented."""

    affine: Tensor
    """Output to input coordinates, both in pixels from the middle. [B, 2, 3]."""
    gain: Tensor
    """Brightness of each channel. [B, 3]."""
    contrast: Tensor
    """Around the image's mean. [B]."""
    saturation: Tensor
    """0 = grey, 1 = as it is. [B]."""
    noise: Tensor
    """Standard deviation, whose sign inverts the tile's values. [B]."""
    tile: Tensor
    """Which noise tile. int64 [B]."""
    blurred: Tensor
    """Rows that are scaled down and up again. int64 [K]; on the CPU."""
    blur: float
    """Scale that they go down to."""

    def take(self, rows: Tensor) -> Variation:
        """Return the variation of some rows of the batch. int64 [R]."""
        mask = torch.zeros(len(self.affine), dtype=torch.bool)
        mask[self.blurred] = True
        taken = {name: value[rows] for name, value in self._tensors() if name != "blurred"}
        return replace(self, **taken, blurred=mask[rows].nonzero()[:, 0])

    def to(self, device: torch.device) -> Variation:
        """Return the same variation on another device."""
        return replace(self, **{k: v.to(device, non_blocking=True) for k, v in self._tensors()})

    def _tensors(self) -> list[tuple[str, Tensor]]:
        return [(name, value) for name, value in vars(self).items() if isinstance(value, Tensor)]


def sample_variation(
    first: Tensor, size: int, options: DataOptions, generator: torch.Generator
) -> Variation:
    """Sample how a batch is augmented.

    Flip, colour and greyness are those of the clip; shift, scale and rotation are each frame's own
    unless `options.per_clip`.

    Args:
        first: row at which each row's clip begins; its own number for stills. int64 [B].
        size: S, side of the crop. Pixels.
        options: strengths and probabilities.
        generator: on the CPU.
    """
    batch = len(first)
    uniform = torch.rand(batch, 16, generator=generator)
    signed = 2 * uniform - 1
    of_clip, signed_of_clip = uniform[first], signed[first]
    own = signed_of_clip if options.per_clip else signed
    scale = (own[:, 0] * options.max_log_scale).exp()
    angle = own[:, 1] * options.max_rotation
    shift = own[:, 2:4] * options.max_shift * size
    sign = torch.where(of_clip[:, 4] < options.hflip_prob, -1.0, 1.0)
    colour = options.colour_jitter * signed_of_clip[:, 5:10]
    grey = of_clip[:, 10] < options.grayscale_prob
    cos, sin = scale * angle.cos(), scale * angle.sin()
    affine = torch.stack([sign * cos, -sin, shift[:, 0], sign * sin, cos, shift[:, 1]], dim=1)
    noise = options.max_noise_std * uniform[:, 11] * signed[:, 12].sign()
    return Variation(
        affine=affine.reshape(-1, 2, 3),
        gain=(1 + colour[:, :1]) * (1 + 0.3 * colour[:, 1:4]),
        contrast=1 + colour[:, 4],
        saturation=torch.where(grey, 0.0, 1 + signed_of_clip[:, 13] * options.colour_jitter),
        noise=noise,
        tile=(uniform[:, 14] * TILES).long().clamp_max(TILES - 1),
        blurred=(uniform[:, 15] < options.blur_prob).nonzero()[:, 0],
        blur=0.35 + 0.4 * float(torch.rand((), generator=generator)),
    )


def vary(crops: Tensor, variation: Variation, size: int) -> Tensor:
    """Return the crops shifted, scaled, rotated, flipped and recoloured, in [0, 1]. [B, 3, S, S].

    Args:
        crops: RGB with room around the crop. uint8 [B, P, P, 3].
        variation: of these rows.
        size: S, side of what is returned. Pixels.
    """
    images = crops.permute(0, 3, 1, 2).float() / 255
    side = crops.shape[1]
    # Pixels from the middle => [-1, 1] from pixel centre to pixel centre.
    scale = variation.affine.new_tensor([size - 1, size - 1, 2.0]) / (side - 1)
    grid = F.affine_grid(variation.affine * scale, [len(images), 3, size, size], align_corners=True)
    images = F.grid_sample(images, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return _recolour(images, variation)


def covered(real: Tensor, variation: Variation, side: int, size: int) -> Tensor:
    """Return 1 where varied crops show what their files' images cover, else 0. [B, 1, S, S].

    Args:
        real: x1, y1, x2, y2 of the covered part of a crop with its room, 0 to 1. [B, 4].
        variation: of these rows.
        side: P, side of a crop with its room. Pixels.
        size: S, side of what `vary` returns. Pixels.
    """
    line = torch.arange(size, device=real.device) - 0.5 * (size - 1)
    y, x = torch.meshgrid(line, line, indexing="ij")
    seen = torch.stack([x, y, torch.ones_like(x)]).flatten(1)
    place = ((variation.affine @ seen) / side + 0.5).unflatten(2, (size, size))
    low, high = real[:, :2, None, None], real[:, 2:, None, None]
    return ((place > low) & (place < high)).all(dim=1, keepdim=True).float()


def turned(rotation: Tensor, variation: Variation) -> Tensor:
    """Return the rotations of heads, head -> camera frame, in varied crops. [B, 3, 3].

    Args:
        rotation: in the crops as they were. [B, 3, 3].
        variation: of these rows.
    """
    # Output to input, up to scale, is a rotation in the image or one behind a mirror: C is its
    # transpose. A mirrored head is one whose own left and right are exchanged too.
    plane = variation.affine[:, :, :2]
    sign = plane.det().sign()
    camera = torch.eye(3, device=rotation.device).repeat(len(rotation), 1, 1)
    camera[:, :2, :2] = plane.mT / plane.det().abs().sqrt()[:, None, None]
    own = torch.stack([sign, torch.ones_like(sign), torch.ones_like(sign)], dim=1)
    return camera @ rotation * own[:, None, :]


def degrade(images: Tensor, variation: Variation, tiles: Tensor) -> Tensor:
    """Return what a worse camera would have seen: some blurred, all noisy. [B, 3, S, S].

    Args:
        images: RGB in [0, 1]. [B, 3, S, S].
        variation: of these rows.
        tiles: unit normal noise from noise_tiles. [T, 3, S, S].
    """
    if len(variation.blurred):
        sharp = images[variation.blurred]
        side = max(4, round(images.shape[-1] * variation.blur))
        small = F.interpolate(
            sharp, size=(side, side), mode="bilinear", antialias=True, align_corners=False
        )
        soft = F.interpolate(small, size=sharp.shape[-2:], mode="bilinear", align_corners=False)
        images = images.index_copy(0, variation.blurred, soft)
    noise = tiles[variation.tile] * variation.noise[:, None, None, None]
    return (images + noise).clamp(0, 1)


def noise_tiles(size: int, seed: int) -> Tensor:
    """Return unit normal noise that batches take their tiles from. [T, 3, S, S]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(TILES, 3, size, size, generator=generator)


def _recolour(images: Tensor, variation: Variation) -> Tensor:
    weights = images.new_tensor([0.299, 0.587, 0.114])[None, :, None, None]
    luma = (images * weights).sum(dim=1, keepdim=True)
    images = torch.lerp(luma, images, variation.saturation[:, None, None, None])
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = torch.lerp(mean, images, variation.contrast[:, None, None, None])
    return (images * variation.gain[:, :, None, None]).clamp(0, 1)
