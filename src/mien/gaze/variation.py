"""Augmentation of training images: flips, rotations, shifts, light; sampled from a generator.

A rotation or a flip changes the gaze of all views of an image alike; there are no gaze targets in
training, and calibration sees images as they are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.config import FACE_SIDE
from mien.gaze.cut import EyeImage, EyeViews

__all__ = ["image_of", "jitter", "relit", "rotation_of", "sample_affine", "sample_lenses"]

# Radians, and the natural logarithm of the scale factor.
_MAX_ROTATION, _MAX_LOG_SCALE = 0.12, 0.12
_BAND_SHIFT = (8.0, 5.0)
_LENS = 2.5  # exponent of a lens's outline: 2 is an ellipse, more a rounded rectangle


def image_of(
    batch: dict[str, Tensor],
    *,
    mirror: bool = False,
    no_face: float = 0.0,
    generator: torch.Generator | None = None,
) -> EyeImage:
    """Return a batch of the loader as images.

    Args:
        batch: canvas, eyes, face, face_eyes, has_face.
        mirror: mirror half of them; a mirrored eye left of the image stands right of it.
        no_face: probability that the whole face is hidden.
        generator: needed where something is random.
    """
    pixels, face = batch["canvas"].float() / 255, batch["face"].float() / 255
    eyes, face_eyes, has_face = batch["eyes"], batch["face_eyes"], batch["has_face"]
    count, device = len(pixels), pixels.device
    if mirror:
        flip = torch.rand(count, generator=generator, device=device) < 0.5
        pixels = torch.where(flip[:, None, None, None], pixels.flip(-1), pixels)
        face = torch.where(flip[:, None, None, None], face.flip(-1), face)
        eyes = torch.where(flip[:, None, None], _mirrored(eyes, pixels.shape[-1]), eyes)
        face_eyes = torch.where(flip[:, None, None], _mirrored(face_eyes, FACE_SIDE), face_eyes)
    if no_face:
        has_face = has_face & (torch.rand(count, generator=generator, device=device) >= no_face)
    return EyeImage(pixels, eyes, face, face_eyes, has_face)


def sample_affine(image: EyeImage, generator: torch.Generator) -> Tensor:
    """Sample a small rotation and scale for each image. [B, 2, 2]."""
    signed = _signed(image, 2, generator)
    return rotation_of(signed[:, 0] * _MAX_ROTATION, (signed[:, 1] * _MAX_LOG_SCALE).exp())


def rotation_of(angle: Tensor, scale: Tensor) -> Tensor:
    """Return matrices that rotate by radians [B] and scale by factors [B]. [B, 2, 2]."""
    cos, sin = scale * angle.cos(), scale * angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=1).view(-1, 2, 2)


def jitter(image: EyeImage, std: float, generator: torch.Generator) -> Tensor:
    """Sample shifts of both eyes' places (normal) and of the band (uniform). Pixels [B, 3, 2]."""
    shape, device = (len(image), 2, 2), image.pixels.device
    eyes = std * torch.randn(shape, generator=generator, device=device)
    band = _signed(image, 2, generator) * eyes.new_tensor(_BAND_SHIFT)
    return torch.cat([eyes, band[:, None]], dim=1)


def sample_lenses(pixels: Tensor, eyes: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """Sample where a pair of glasses would hide the eyes. Bool [B, 1, H, W].

    Args:
        pixels: gives the size alone. [B, 1, H, W].
        eyes: x, y of both eyes. Pixels [B, 2, 2].
        uniform: shape without B => uniform numbers in [0, 1) [B, *shape].
    """
    rows = torch.arange(pixels.shape[-2], device=pixels.device)[None, None, :, None]
    columns = torch.arange(pixels.shape[-1], device=pixels.device)[None, None, None, :]
    x = (columns - eyes[:, :, 0, None, None]) / (30 + 12 * uniform(1, 1, 1))
    y = (rows - eyes[:, :, 1, None, None] - 3) / (18 + 10 * uniform(1, 1, 1))
    return ((x.abs() ** _LENS + y.abs() ** _LENS) < 1).any(dim=1, keepdim=True)


def relit(views: EyeViews, generator: torch.Generator) -> EyeViews:
    """Return what another lamp and a worse camera would have shown: gamma, gain, blur, noise."""
    count, device = len(views), views.eyes.device

    def uniform(low: float, high: float) -> Tensor:
        return torch.rand(count, generator=generator, device=device) * (high - low) + low

    gamma, gain, offset = uniform(-0.3, 0.3).exp(), uniform(0.7, 1.3), uniform(-0.12, 0.12)

    def lit(images: Tensor) -> Tensor:
        shape = (-1,) + (1,) * (images.ndim - 1)
        curved = images.clamp(1e-3, 1) ** gamma.view(shape)
        return ((curved - 0.5) * gain.view(shape) + 0.5 + offset.view(shape)).clamp(0, 1)

    eyes = lit(views.eyes)
    blurred = (uniform(0, 1) < 0.25).view(-1, 1, 1, 1, 1)
    eyes = torch.where(blurred, _blur(eyes), eyes)
    noise = torch.randn(eyes.shape, generator=generator, device=device)
    eyes = eyes + noise * uniform(0, 0.03).view(-1, 1, 1, 1, 1)
    return replace(views, eyes=eyes, band=lit(views.band), face=lit(views.face))


def _blur(eyes: Tensor) -> Tensor:
    size = eyes.shape[-2:]
    small = F.avg_pool2d(eyes.flatten(0, 1), 2)
    wide = F.interpolate(small, size=size, mode="bilinear", align_corners=False)
    return wide.view_as(eyes)


def _mirrored(eyes: Tensor, width: int) -> Tensor:
    swapped = eyes.flip(1)
    return torch.stack([width - 1 - swapped[..., 0], swapped[..., 1]], dim=-1)


def _signed(image: EyeImage, count: int, generator: torch.Generator) -> Tensor:
    """Sample uniform numbers from -1 to 1. [B, count]."""
    shape, device = (len(image), count), image.pixels.device
    return 2 * torch.rand(shape, generator=generator, device=device) - 1
