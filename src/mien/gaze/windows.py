"""Cuts out of upright images, by whole pixels and one weighted sum of neighbours.

What `cut_views` samples at any place and angle is, without an angle, a window at whole pixels,
shifted by a fraction that all of its pixels share: a tenth of the work, and the same numbers but
for rounding.
"""

from __future__ import annotations

import torch
from torch import Tensor

from mien.gaze.config import CANVAS_HEIGHT, CANVAS_MIDDLE, CANVAS_WIDTH, GazeConfig
from mien.gaze.cut import EyeImage, EyeViews, place_eyes

__all__ = ["cut_half_canvas", "cut_upright", "window"]


def window(pixels: Tensor, corner: Tensor, size: tuple[int, int]) -> Tensor:
    """Copy a window out of each image; beyond an image its outermost pixels go on. [B, 1, h, w].

    Args:
        pixels: [B, 1, H, W].
        corner: column and row of the window's top left pixel, anywhere. Int64 [B, 2].
        size: h, w.
    """
    height, width = pixels.shape[-2:]
    across = torch.arange(size[1], device=pixels.device)
    down = torch.arange(size[0], device=pixels.device)
    columns = (corner[:, :1] + across).clamp(0, width - 1)
    rows = (corner[:, 1:] + down).clamp(0, height - 1)
    # Whole rows of all images first, which is a plain copy; then their columns.
    rows = rows + torch.arange(len(pixels), device=pixels.device)[:, None] * height
    strips = pixels.reshape(-1, width).index_select(0, rows.flatten()).view(-1, size[0], width)
    return strips.gather(2, columns[:, None].expand(-1, size[0], -1))[:, None]


def cut_half_canvas(pixels: Tensor, middle: Tensor) -> Tensor:
    """Cut the canvas around a middle, two pixels averaged to one either way.

    Args:
        pixels: luminance. [B, 1, H, W].
        middle: x, y in whole pixels. [B, 2].

    Returns:
        [B, 1, CANVAS_HEIGHT / 2, CANVAS_WIDTH / 2].
    """
    corner = middle.long() - torch.tensor(CANVAS_MIDDLE, device=middle.device)
    canvas = window(pixels, corner, (CANVAS_HEIGHT, CANVAS_WIDTH))
    rows = canvas[..., 0::2, :] + canvas[..., 1::2, :]
    return (rows[..., 0::2] + rows[..., 1::2]) / 4


def cut_upright(image: EyeImage, config: GazeConfig) -> EyeViews:
    """Cut eyes, band and face as `cut_views` does without an angle, not yet normalised.

    Args:
        image: images with known eyes. B of them.
        config: sizes.
    """
    middle = image.eyes.mean(dim=1)
    size = (config.eye_height, config.eye_width)
    cut = [_shifted(image.pixels, image.eyes[:, k], size) for k in (0, 1)]
    band_eyes, face_eyes = place_eyes(image, config)
    return EyeViews(
        eyes=torch.stack(cut, dim=1),
        band=_shifted_half(image.pixels, middle, (config.band_height, config.band_width)),
        face=image.face,
        band_eyes=band_eyes,
        face_eyes=face_eyes,
        has_face=image.has_face,
    )


def _shifted(pixels: Tensor, middle: Tensor, size: tuple[int, int]) -> Tensor:
    """Return bilinear samples around a place, a pixel apart. [B, 1, h, w]."""
    whole, x, y = _split(middle, size)
    near = window(pixels, whole, (size[0] + 1, size[1] + 1))
    rows = near[..., :-1, :] + y * (near[..., 1:, :] - near[..., :-1, :])
    return rows[..., :-1] + x * (rows[..., 1:] - rows[..., :-1])


def _shifted_half(pixels: Tensor, middle: Tensor, size: tuple[int, int]) -> Tensor:
    """Return such samples at twice the size, averaged over 2 x 2. [B, 1, h, w]."""
    whole, x, y = _split(middle, (2 * size[0], 2 * size[1]))
    near = window(pixels, whole, (2 * size[0] + 1, 2 * size[1] + 1))
    # Two neighbouring samples share a pixel: (1 - f) a + f b and (1 - f) b + f c.
    a, b, c = near[..., :-1:2, :], near[..., 1::2, :], near[..., 2::2, :]
    rows = (a + b + y * (c - a)) / 2
    a, b, c = rows[..., :-1:2], rows[..., 1::2], rows[..., 2::2]
    return (a + b + x * (c - a)) / 2


def _split(middle: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Return a window's corner in whole pixels, int64 [B, 2], and what is left of x and y.

    What is left is in [0, 1). [B, 1, 1, 1] each.
    """
    corner = middle - middle.new_tensor([(size[1] - 1) / 2, (size[0] - 1) / 2])
    whole = corner.floor()
    x, y = (corner - whole)[:, :, None, None, None].unbind(dim=1)
    return whole.long(), x, y
