"""The z-buffer on the CPU: compiled, one mesh of the batch per thread at a time.

Runs on as many threads as torch does (`torch.get_num_threads()`), never on more. The first call of
a fresh installation compiles for some seconds; the result is kept where `mien.render.compiled`
says.
"""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import torch
from numba import prange
from torch import Tensor

from mien.render.compiled import compiled

__all__ = ["follow_torch_threads", "rasterize_numba"]


def rasterize_numba(
    points: Tensor, triangles: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterise as `mien.render.rasterize.rasterize` says; checked, contiguous CPU tensors only.

    Args:
        points: float32 or float64 [B, V, 3].
        triangles: int64 [F, 3].
        height: Rows of the image.
        width: Columns of the image.

    Returns:
        Triangle of each pixel int64 [B, H, W], barycentric weights [B, H, W, 3], depth [B, H, W].
    """
    batch = points.shape[0]
    pix_to_face = torch.full((batch, height, width), -1, dtype=torch.int64)
    barycentric = points.new_zeros(batch, height, width, 3)
    depth = points.new_full((batch, height, width), torch.inf)
    # The centres come as floats: in a compiled kernel an integer would turn float32 to float64.
    centres = torch.arange(max(height, width), dtype=points.dtype)
    buffers = (pix_to_face.numpy(), barycentric.numpy(), depth.numpy())
    follow_torch_threads()
    _rasterize_batch(points.numpy(), triangles.numpy(), centres.numpy(), buffers)
    return pix_to_face, barycentric, depth


def follow_torch_threads() -> None:
    """Let this thread's numba kernels use as many threads as torch, where numba has so many."""
    most: int = numba.config.NUMBA_NUM_THREADS  # pyright: ignore[reportPrivateImportUsage, reportAttributeAccessIssue]
    threads = torch.get_num_threads()
    numba.set_num_threads(min(threads, most))
    # When numba's pool starts, it sets OpenMP's number of threads, which is torch's, too.
    if torch.get_num_threads() != threads:
        torch.set_num_threads(threads)


@compiled(parallel=True)
def _rasterize_batch(
    points: np.ndarray,
    triangles: np.ndarray,
    centres: np.ndarray,
    buffers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    pix_to_face, barycentric, depth = buffers
    for b in prange(points.shape[0]):
        _rasterize_mesh(points[b], triangles, centres, (pix_to_face[b], barycentric[b], depth[b]))


@compiled()
def _rasterize_mesh(
    points: np.ndarray,
    triangles: np.ndarray,
    centres: np.ndarray,
    buffers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    right, bottom = centres[buffers[0].shape[1] - 1], centres[buffers[0].shape[0] - 1]
    for face in range(triangles.shape[0]):
        i, j, k = triangles[face, 0], triangles[face, 1], triangles[face, 2]
        u = (points[i, 0], points[j, 0], points[k, 0])
        v = (points[i, 1], points[j, 1], points[k, 1])
        z = (points[i, 2], points[j, 2], points[k, 2])
        low_u, high_u = min(u[0], u[1], u[2]), max(u[0], u[1], u[2])
        low_v, high_v = min(v[0], v[1], v[2]), max(v[0], v[1], v[2])
        if not (low_u <= right and high_u >= 0.0 and low_v <= bottom and high_v >= 0.0):
            continue
        # min and max may drop a NaN, so every coordinate is looked at.
        if not (_finite(u) and _finite(v) and _finite(z)):
            continue
        # Clamped before it is cast: a coordinate far off the screen does not fit an integer.
        left, stop_column = math.ceil(max(low_u, centres[0])), math.floor(min(high_u, right)) + 1
        top, stop_row = math.ceil(max(low_v, centres[0])), math.floor(min(high_v, bottom)) + 1
        _fill((u, v, z), (left, top, stop_column, stop_row), centres, face, buffers)


@compiled()
def _finite(values: tuple[Any, Any, Any]) -> bool:
    return math.isfinite(values[0]) and math.isfinite(values[1]) and math.isfinite(values[2])


@compiled()
def _fill(
    corners: tuple[Any, Any, Any],
    box: tuple[int, int, int, int],
    centres: np.ndarray,
    face: int,
    buffers: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    """Rasterise one triangle into the z-buffer of its mesh, within its box on the screen."""
    pix_to_face, barycentric, depth = buffers
    (u0, u1, u2), (v0, v1, v2), (z0, z1, z2) = corners
    left, top, stop_column, stop_row = box
    for y in range(top, stop_row):
        dv0, dv1, dv2 = v0 - centres[y], v1 - centres[y], v2 - centres[y]
        for x in range(left, stop_column):
            du0, du1, du2 = u0 - centres[x], u1 - centres[x], u2 - centres[x]
            w0 = du1 * dv2 - dv1 * du2
            w1 = du2 * dv0 - dv2 * du0
            w2 = du0 * dv1 - dv0 * du1
            # Bitwise: six branches that no processor can foresee would cost more.
            forward = (w0 >= 0.0) & (w1 >= 0.0) & (w2 >= 0.0)
            backward = (w0 <= 0.0) & (w1 <= 0.0) & (w2 <= 0.0)
            total = w0 + w1 + w2
            if not (forward | backward) or total == 0.0:
                continue
            scale = np.float32(1.0) / total
            b1, b2 = w1 * scale, w2 * scale
            z = z0 + b1 * (z1 - z0) + b2 * (z2 - z0)
            if -np.inf < z < depth[y, x]:
                depth[y, x] = z
                pix_to_face[y, x] = face
                barycentric[y, x, 0] = w0 * scale
                barycentric[y, x, 1] = b1
                barycentric[y, x, 2] = b2
