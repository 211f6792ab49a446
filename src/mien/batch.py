"""Images to the batch of crops that a model takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import torch
from PIL.Image import Image
from torch import Tensor
from torch.nn import functional as F

from mien.errors import MienError
from mien.media.still import ImageLike, pixels_of

__all__ = ["check", "checked", "prepare", "read_crops", "resized", "to_floats"]


def read_crops(images: ImageLike | Sequence[ImageLike], size: int) -> Tensor:
    """Read one or several images in memory or on disk. In [0, 1], [B, 3, size, size].

    Raises:
        MienError: one cannot be read.
    """
    is_one = isinstance(images, (str, Path, Image)) or getattr(images, "ndim", 4) != 4
    if is_one or not isinstance(images, (Sequence, np.ndarray)):
        images = [cast("ImageLike", images)]
    crops = [torch.zeros(0, 3, size, size)]
    for number, image in enumerate(cast("Sequence[ImageLike]", images)):
        name = None if isinstance(image, (str, Path)) else f"image {number}"
        pixels = torch.from_numpy(np.require(pixels_of(image, name), requirements=["C", "W"]))
        crops.append(resized(pixels.permute(2, 0, 1)[None].float() / 255, (size, size)))
    return torch.cat(crops)


def prepare(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Check a batch of crops and bring it to [0, 1] float32 at `size`, (height, width), pixels.

    Images [B, 3, H, W] are RGB, float in [0, 1] or uint8; returns [B, 3, *size].

    Raises:
        MienError: as `Model.encode`.
    """
    return resized(checked(images), size)


def checked(images: Tensor) -> Tensor:
    """Return a batch of crops as float32; raise MienError where it is none. [B, 3, H, W]."""
    check(images)
    return to_floats(images)


def check(images: Tensor) -> None:
    """Raise MienError where a tensor is no batch of crops [B, 3, H, W], as `Model.encode` says."""
    if not isinstance(images, Tensor):
        raise MienError(f"images must be a torch tensor, not {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] != 3:
        raise MienError(
            f"images must be [B, 3, H, W], not {list(images.shape)}; stack RGB crops channel first"
        )
    if len(images) and not images.numel():
        raise MienError(f"images of {images.shape[2]} x {images.shape[3]} pixels show nothing")
    if images.dtype == torch.uint8:
        return
    if not images.is_floating_point():
        raise MienError(f"images must be uint8 or float in [0, 1], not {images.dtype}")
    if images.numel() and (
        not images.isfinite().all() or images.min() < -1e-3 or images.max() > 1 + 1e-3
    ):
        raise MienError("float images must lie in [0, 1] and be finite; divide 8-bit values by 255")


def to_floats(images: Tensor) -> Tensor:
    """Return crops that were checked as float32 in [0, 1]. [B, 3, H, W], contiguous."""
    if images.dtype == torch.uint8:
        return images.to(torch.float32, memory_format=torch.contiguous_format).div_(255)
    return images.float().clamp(0, 1).contiguous()


def resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring crops in [0, 1] to `size`; of that size they are given back. [B, 3, *size]."""
    if not len(images):  # the resampling kernel is not made for it
        return images.new_zeros(0, 3, *size)
    if images.shape[-2:] != size:
        images = F.interpolate(
            images, size=size, mode="bilinear", antialias=True, align_corners=False
        ).clamp_(0, 1)
    return images
