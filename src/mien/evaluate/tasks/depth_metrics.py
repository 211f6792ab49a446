"""Errors of depth maps as Wu et al. (2020) measure them: scale-invariant depth, normals' deviation.

With d the predicted and d* the true depth of the W x H pixels of a mask, and n, n* the normals:

    D    = log d - log d*
    SIDE = sqrt( mean(D²) - mean(D)² )
    MAD  = mean( acos(n . n*) )

SIDE knows no scale, as multiplying a depth shifts D. Both are taken where the true and the
predicted face are, each less a rim of one pixel, where depth ends and normals are of no surface.
Their tables give SIDE in hundredths, for depth maps of 64 x 64 pixels whose face lies between 0.9
and 1.1 before a camera that sees 10 degrees.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from mien.geometry.camera import surface_normals, unproject

__all__ = ["normal_deviation_deg", "normals_of", "reduced", "scale_invariant_error", "shrunk"]

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]


def scale_invariant_error(*, prediction: Array, target: Array, mask: Mask) -> NDArray[np.float64]:
    """Return SIDE of each image; NaN where the mask is empty. [N].

    Args:
        prediction: depth, > 0 inside the mask. [N, H, W].
        target: true depth, > 0 inside the mask. [N, H, W].
        mask: the pixels that count. [N, H, W].
    """
    one = np.ones((), dtype=np.float64)
    apart = np.log(np.where(mask, prediction, one)) - np.log(np.where(mask, target, one))
    count = mask.sum(axis=(1, 2))
    mean = apart.sum(axis=(1, 2)) / count.clip(1)
    square = (((apart - mean[:, None, None]) ** 2) * mask).sum(axis=(1, 2)) / count.clip(1)
    return np.where(count > 0, np.sqrt(square), np.nan)


def normal_deviation_deg(*, prediction: Array, target: Array, mask: Mask) -> NDArray[np.float64]:
    """Return MAD of each image in degrees; NaN where the mask is empty. [N].

    Args:
        prediction: unit normals. [N, 3, H, W].
        target: true unit normals, same frame. [N, 3, H, W].
        mask: the pixels that count. [N, H, W].
    """
    cosine = (prediction.astype(np.float64) * target).sum(axis=1).clip(-1, 1)
    angle = np.degrees(np.arccos(np.where(mask, cosine, 1.0)))
    count = mask.sum(axis=(1, 2))
    return np.where(count > 0, angle.sum(axis=(1, 2)) / count.clip(1), np.nan)


def normals_of(depth: Array, fov_deg: float) -> NDArray[np.float64]:
    """Return outward unit normals of depth maps, camera frame. [N, H, W] -> [N, 3, H, W].

    Args:
        depth: z, > 0 where there is a surface; any other value where not.
        fov_deg: field of view across the image, degrees.
    """
    points = unproject(torch.from_numpy(np.array(depth, dtype=np.float64))[:, None], fov_deg)
    return surface_normals(points).numpy()


def shrunk(mask: Mask) -> Mask:
    """Return masks less every pixel that has one outside among its eight neighbours. [N, H, W]."""
    around = np.pad(mask, ((0, 0), (1, 1), (1, 1)))
    height, width = mask.shape[1:]
    kept = mask.copy()
    for down in range(3):
        for right in range(3):
            kept &= around[:, down : down + height, right : right + width]
    return kept


def reduced(depth: Array, mask: Mask, size: int) -> tuple[NDArray[np.float64], Mask]:
    """Return a depth map and its mask at another size, without mixing surface and background.

    Args:
        depth: [H, W].
        mask: where there is a surface. [H, W].
        size: side of the result, pixels.

    Returns:
        Depth [size, size], 0 where the mask is not; a pixel is in the mask where all that it is
        made of is.
    """

    def resized(values: Array) -> Array:
        image = Image.fromarray(np.ascontiguousarray(values, dtype=np.float32))
        return np.asarray(image.resize((size, size), Image.Resampling.BILINEAR), np.float64)

    share = resized(mask.astype(np.float32))
    # About its own middle: float32 has few digits for hundredths of a millimetre at a metre.
    middle = float(depth[mask].mean()) if mask.any() else 0.0
    mean = resized(np.where(mask, depth - middle, 0.0)) / share.clip(1e-6)
    inside = share > 0.99
    return np.where(inside, mean + middle, 0.0), inside
