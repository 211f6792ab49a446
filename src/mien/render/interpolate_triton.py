"""Interpolation on CUDA: one lane per pixel; the backward pass gathers by atomic additions.

The mathematics is that of `mien.render.interpolate_numba`. Sums of atomic additions come in any
order, so gradients repeat to rounding only.
"""

# A kernel takes its buffers one by one and without types: ruff's rules of thumb do not fit it, and
# triton is not installed everywhere that types are checked.
# ruff: noqa: ANN001, ANN202, PLR0913
# pyright: reportMissingImports=false, reportIndexIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from mien.render.rasterize_triton import load_corners, load_row, on_device, weigh

__all__ = ["blend", "blend_backward"]

_BLOCK = 128


def blend(pix_to_face: Tensor, points: Tensor, triangles: Tensor, attributes: Tensor) -> Tensor:
    """Carry attributes to the pixels; arguments and result as in `interpolate_numba`."""
    batch, height, width = pix_to_face.shape
    out = points.new_empty(batch, attributes.shape[2], height, width)
    with on_device(points):
        _blend[(triton.cdiv(height * width, _BLOCK), batch)](
            *(pix_to_face, points, triangles, attributes, out),
            *_sizes(pix_to_face, attributes),
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return out


def blend_backward(
    saved: tuple[Tensor, Tensor, Tensor, Tensor], grad: Tensor, *, for_attributes: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients; arguments and results as in `interpolate_numba`."""
    pix_to_face, points, triangles, attributes = saved
    batch, height, width = pix_to_face.shape
    grad_points = torch.zeros_like(points)
    _, vertices, channels = attributes.shape
    grad_attributes = points.new_zeros(batch, vertices, channels if for_attributes else 0)
    with on_device(points):
        _blend_backward[(triton.cdiv(height * width, _BLOCK), batch)](
            *(pix_to_face, points, triangles, attributes, grad, grad_points, grad_attributes),
            *_sizes(pix_to_face, attributes),
            FOR_ATTRIBUTES=for_attributes,
            BLOCK=_BLOCK,
            enable_fp_fusion=False,
        )
    return grad_points, grad_attributes


def _sizes(pix_to_face: Tensor, attributes: Tensor) -> tuple[int, int, int, int, int]:
    """Return points, channels, pixels, columns, and the step from one mesh's attributes on."""
    rows, vertices, channels = attributes.shape
    height, width = pix_to_face.shape[1:]
    return vertices, channels, height * width, width, vertices * channels if rows > 1 else 0


@triton.jit
def _blend(
    pix_to_face,
    points,
    triangles,
    attributes,
    out,
    vertices,
    channels,
    pixels,
    width,
    step,
    BLOCK: tl.constexpr,
):
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mesh = tl.program_id(1).to(tl.int64)
    here = pixel < pixels
    face = tl.load(pix_to_face + mesh * pixels + pixel, mask=here, other=-1)
    seen = face >= 0
    i, j, k = load_row(triangles, face, seen, 0)
    corners = points + mesh * vertices * 3
    u0, u1, u2 = load_corners(corners, i, j, k, seen)
    v0, v1, v2 = load_corners(corners + 1, i, j, k, seen)
    x, y = (pixel % width).to(u0.dtype), (pixel // width).to(u0.dtype)
    w0, w1, w2, total = weigh(u0, u1, u2, v0, v1, v2, x, y)
    seen = seen & (total != 0)
    scale = tl.where(seen, 1.0 / tl.where(seen, total, 1.0), 0.0)
    w0, w1, w2 = w0 * scale, w1 * scale, w2 * scale
    values = attributes + mesh * step
    for c in range(channels):
        a0 = tl.load(values + i * channels + c, mask=seen, other=0.0)
        a1 = tl.load(values + j * channels + c, mask=seen, other=0.0)
        a2 = tl.load(values + k * channels + c, mask=seen, other=0.0)
        blended = w0 * a0 + w1 * a1 + w2 * a2
        tl.store(out + (mesh * channels + c) * pixels + pixel, blended, mask=here)


@triton.jit
def _blend_backward(
    pix_to_face,
    points,
    triangles,
    attributes,
    grad,
    grad_points,
    grad_attributes,
    vertices,
    channels,
    pixels,
    width,
    step,
    FOR_ATTRIBUTES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mesh = tl.program_id(1).to(tl.int64)
    face = tl.load(pix_to_face + mesh * pixels + pixel, mask=pixel < pixels, other=-1)
    seen = face >= 0
    i, j, k = load_row(triangles, face, seen, 0)
    corners = points + mesh * vertices * 3
    u0, u1, u2 = load_corners(corners, i, j, k, seen)
    v0, v1, v2 = load_corners(corners + 1, i, j, k, seen)
    x, y = (pixel % width).to(u0.dtype), (pixel // width).to(u0.dtype)
    w0, w1, w2, total = weigh(u0, u1, u2, v0, v1, v2, x, y)
    seen = seen & (total != 0)
    scale = tl.where(seen, 1.0 / tl.where(seen, total, 1.0), 0.0)
    w0, w1, w2 = w0 * scale, w1 * scale, w2 * scale
    values = attributes + mesh * step
    # Of each vertex: the sum over channels of incoming gradient times attribute.
    s0, s1, s2 = w0 * 0.0, w0 * 0.0, w0 * 0.0
    for c in range(channels):
        g = tl.load(grad + (mesh * channels + c) * pixels + pixel, mask=seen, other=0.0)
        s0 += g * tl.load(values + i * channels + c, mask=seen, other=0.0)
        s1 += g * tl.load(values + j * channels + c, mask=seen, other=0.0)
        s2 += g * tl.load(values + k * channels + c, mask=seen, other=0.0)
        if FOR_ATTRIBUTES:
            gathered = grad_attributes + mesh * vertices * channels + c
            tl.atomic_add(gathered + i * channels, w0 * g, mask=seen, sem="relaxed")
            tl.atomic_add(gathered + j * channels, w1 * g, mask=seen, sem="relaxed")
            tl.atomic_add(gathered + k * channels, w2 * g, mask=seen, sem="relaxed")
    slope_u = (s0 * (v1 - v2) + s1 * (v2 - v0) + s2 * (v0 - v1)) * scale
    slope_v = (s0 * (u2 - u1) + s1 * (u0 - u2) + s2 * (u1 - u0)) * scale
    moved = grad_points + mesh * vertices * 3
    tl.atomic_add(moved + i * 3, -w0 * slope_u, mask=seen, sem="relaxed")
    tl.atomic_add(moved + i * 3 + 1, -w0 * slope_v, mask=seen, sem="relaxed")
    tl.atomic_add(moved + j * 3, -w1 * slope_u, mask=seen, sem="relaxed")
    tl.atomic_add(moved + j * 3 + 1, -w1 * slope_v, mask=seen, sem="relaxed")
    tl.atomic_add(moved + k * 3, -w2 * slope_u, mask=seen, sem="relaxed")
    tl.atomic_add(moved + k * 3 + 1, -w2 * slope_v, mask=seen, sem="relaxed")
