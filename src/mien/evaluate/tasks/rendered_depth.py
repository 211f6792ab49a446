"""Depth as the weights draw it: encode face crops, draw them in their own pose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mien.faces.crop import crop_face
from mien.faces.face import Face
from mien.geometry.rotation import rotation_to_angles
from mien.model import Model

__all__ = ["Drawn", "draw_depth"]

BATCH = 32


@dataclass(frozen=True)
class Drawn:
    """What the weights make of images; S is the side of the model's images."""

    depth: NDArray[np.float32]
    """z in face units in the images' own view; 0 where nothing is drawn. [N, S, S]."""
    mask: NDArray[np.bool_]
    """Where the face's surface is. [N, S, S]."""
    yaw: NDArray[np.float64]
    """Own head yaw, radians. [N]."""


def draw_depth(
    model: Model,
    count: int,
    read: Callable[[int], NDArray[np.uint8]],
    *,
    say: Callable[[str], None] = lambda _: None,
) -> Drawn:
    """Encode images that are face crops, and draw their depth in the same view.

    Args:
        model: encodes and draws.
        count: of images.
        read: number of an image => RGB [H, W, 3], square.
        say: told how far it is.
    """
    # Looking at eyes takes time, and the shape is the same without.
    model = Model(model.network, weights_id=model.weights_id)
    size = model.config.image_size
    depth = np.zeros((count, size, size), dtype=np.float32)
    mask, yaw = np.zeros(depth.shape, dtype=bool), np.zeros(count)
    for start in range(0, count, BATCH):
        rows = range(start, min(start + BATCH, count))
        factors = model.encode(_batch([read(row) for row in rows], model.crop_size))
        drawn = model.render(factors)
        part = slice(start, rows.stop)
        mask[part] = drawn.mask[:, 0].cpu().numpy() > 0
        depth[part] = drawn.depth[:, 0].float().cpu().numpy() * mask[part]
        yaw[part] = rotation_to_angles(factors.pose.rotation.float())[0].cpu().numpy()
        say(f"{rows.stop} of {count} faces drawn")
    return Drawn(depth, mask, yaw)


def _batch(images: Sequence[NDArray[np.uint8]], size: int) -> torch.Tensor:
    """Return whole images as the model wants crops. uint8 [B, 3, size, size]."""
    crops = []
    for pixels in images:
        height, width = pixels.shape[:2]
        whole = Face((0.0, 0.0, float(width), float(height)), 1.0, framing="image")
        crops.append(crop_face(pixels, whole, size))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).contiguous()
