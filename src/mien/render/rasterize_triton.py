"""The z-buffer on CUDA: triangles race for their pixels by an atomic minimum.

A pixel's entry is one 64-bit integer, the depth (float32, its bits ordered as integers) above the
triangle's row: the smallest entry is the nearest triangle, and of equals the lowest row. A second
kernel reads off the winners. Fused multiply-adds are turned off: they round a shared edge
differently for its two triangles, and gaps would open.
"""

# A kernel takes its buffers one by one and without types: ruff's rules of thumb do not fit it, and
# triton is not installed everywhere that types are checked.
# ruff: noqa: ANN001, ANN201, ANN202, PLR0913
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["load_corners", "load_row", "on_device", "rasterize_triton", "weigh"]

_BLOCK = 128
_NOTHING = tl.constexpr(torch.iinfo(torch.int64).max)


def rasterize_triton(
    points: Tensor, triangles: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Rasterise as `rasterize_numba` does; on CUDA, or any device where triton is interpreted.

    Depths of float64 points are compared in float32. Triangles that name a point that is not
    there are skipped.
    """
    batch, vertices = points.shape[:2]
    faces, pixels = triangles.shape[0], height * width
    shape = (batch, height, width)
    keys = torch.full(shape, _NOTHING.value, dtype=torch.int64, device=points.device)
    pix_to_face = torch.empty_like(keys)
    barycentric = points.new_empty(*shape, 3)
    depth = points.new_empty(shape)
    if batch == 0:
        return pix_to_face, barycentric, depth
    # A triangle's pixels are shared out where triangles are few, hence large.
    slices = min(64, triton.next_power_of_2(1 + pixels // (4 * max(faces, 1))))
    with on_device(points):
        if faces and vertices:
            _rasterize[(triton.cdiv(faces, _BLOCK), batch, slices)](
                *(points, triangles, keys, vertices, faces, height, width, slices),
                BLOCK=_BLOCK,
                enable_fp_fusion=False,
            )
        _resolve[(triton.cdiv(pixels, _BLOCK), batch)](
            *(points, triangles, keys, pix_to_face, barycentric, depth),
            *(vertices, pixels, width),
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return pix_to_face, barycentric, depth


def on_device(points: Tensor) -> AbstractContextManager[object]:
    """Return a context in which kernels start on the points' device; any, when interpreted."""
    return torch.cuda.device(points.device) if points.is_cuda else nullcontext()


@triton.jit
def weigh(u0, u1, u2, v0, v1, v2, x, y):
    """Return the edge weights of positions (x, y) in triangles, and their sum."""
    u0, u1, u2 = u0 - x, u1 - x, u2 - x
    v0, v1, v2 = v0 - y, v1 - y, v2 - y
    w0 = u1 * v2 - v1 * u2
    w1 = u2 * v0 - v2 * u0
    w2 = u0 * v1 - v0 * u1
    return w0, w1, w2, w0 + w1 + w2


@triton.jit
def load_row(table, row, there, other):
    """Return the three entries of rows of a table, `other` where there are none."""
    first = tl.load(table + row * 3, mask=there, other=other)
    second = tl.load(table + row * 3 + 1, mask=there, other=other)
    return first, second, tl.load(table + row * 3 + 2, mask=there, other=other)


@triton.jit
def load_corners(column, i, j, k, there):
    """Return what stands in one of three columns of rows i, j and k; 0 where there are none."""
    first = tl.load(column + i * 3, mask=there, other=0.0)
    second = tl.load(column + j * 3, mask=there, other=0.0)
    return first, second, tl.load(column + k * 3, mask=there, other=0.0)


@triton.jit
def _finite(a, b, c):
    return (tl.abs(a) < float("inf")) & (tl.abs(b) < float("inf")) & (tl.abs(c) < float("inf"))


@triton.jit
def _span(a, b, c, size):
    """Return first pixel and number of pixels of triangles along one axis of the screen."""
    low = tl.minimum(tl.minimum(a, b), c)
    high = tl.maximum(tl.maximum(a, b), c)
    # Clamped before it is cast: a coordinate far off the screen does not fit an integer.
    first = tl.ceil(tl.minimum(tl.maximum(low, 0.0), size * 1.0)).to(tl.int32)
    last = tl.floor(tl.minimum(tl.maximum(high, -1.0), size - 1.0)).to(tl.int32)
    return first, tl.maximum(last - first + 1, 0)


@triton.jit
def _rasterize(
    points, triangles, keys, vertices, faces, height, width, slices, BLOCK: tl.constexpr
):
    face = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mesh = tl.program_id(1).to(tl.int64)
    known = face < faces
    i, j, k = load_row(triangles, face, known, -1)
    known = (tl.minimum(tl.minimum(i, j), k) >= 0) & (tl.maximum(tl.maximum(i, j), k) < vertices)
    corners = points + mesh * vertices * 3
    u0, u1, u2 = load_corners(corners, i, j, k, known)
    v0, v1, v2 = load_corners(corners + 1, i, j, k, known)
    z0, z1, z2 = load_corners(corners + 2, i, j, k, known)
    known = known & _finite(u0, u1, u2) & _finite(v0, v1, v2) & _finite(z0, z1, z2)
    u0, u1, u2 = tl.where(known, u0, 0.0), tl.where(known, u1, 0.0), tl.where(known, u2, 0.0)
    v0, v1, v2 = tl.where(known, v0, 0.0), tl.where(known, v1, 0.0), tl.where(known, v2, 0.0)
    left, columns = _span(u0, u1, u2, width)
    top, rows = _span(v0, v1, v2, height)
    count = tl.where(known, columns * rows, 0)
    columns = tl.maximum(columns, 1)
    for step in range(tl.program_id(2), tl.max(count, axis=0), slices):
        x = left + step % columns
        y = top + step // columns
        w0, w1, w2, total = weigh(u0, u1, u2, v0, v1, v2, x.to(u0.dtype), y.to(u0.dtype))
        inside = ((w0 >= 0) & (w1 >= 0) & (w2 >= 0)) | ((w0 <= 0) & (w1 <= 0) & (w2 <= 0))
        inside = inside & (total != 0) & (step < count)
        scale = 1.0 / tl.where(inside, total, 1.0)
        z = z0 + w1 * scale * (z1 - z0) + w2 * scale * (z2 - z0)
        inside = inside & (tl.abs(z) < float("inf"))
        # Plus zero: the bits of -0 would stand behind those of 0.
        bits = (tl.where(inside, z, 0.0).to(tl.float32) + 0.0).to(tl.int32, bitcast=True)
        ordered = tl.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
        key = (ordered.to(tl.int64) << 32) | face.to(tl.int64)
        tl.atomic_min(keys + (mesh * height + y) * width + x, key, mask=inside, sem="relaxed")


@triton.jit
def _resolve(
    points,
    triangles,
    keys,
    pix_to_face,
    barycentric,
    depth,
    vertices,
    pixels,
    width,
    BLOCK: tl.constexpr,
):
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mesh = tl.program_id(1).to(tl.int64)
    here = pixel < pixels
    at = mesh * pixels + pixel
    key = tl.load(keys + at, mask=here, other=_NOTHING)
    seen = key != _NOTHING
    face = tl.where(seen, key & 0xFFFFFFFF, 0)
    i, j, k = load_row(triangles, face, seen, 0)
    corners = points + mesh * vertices * 3
    u0, u1, u2 = load_corners(corners, i, j, k, seen)
    v0, v1, v2 = load_corners(corners + 1, i, j, k, seen)
    z0, z1, z2 = load_corners(corners + 2, i, j, k, seen)
    x, y = (pixel % width).to(u0.dtype), (pixel // width).to(u0.dtype)
    w0, w1, w2, total = weigh(u0, u1, u2, v0, v1, v2, x, y)
    scale = tl.where(seen, 1.0 / tl.where(seen, total, 1.0), 0.0)
    z = z0 + w1 * scale * (z1 - z0) + w2 * scale * (z2 - z0)
    tl.store(pix_to_face + at, tl.where(seen, face, -1), mask=here)
    tl.store(depth + at, tl.where(seen, z, float("inf")), mask=here)
    tl.store(barycentric + at * 3, w0 * scale, mask=here)
    tl.store(barycentric + at * 3 + 1, w1 * scale, mask=here)
    tl.store(barycentric + at * 3 + 2, w2 * scale, mask=here)
