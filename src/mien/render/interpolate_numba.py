"""Interpolation on the CPU: compiled, with its backward pass written by hand.

Within a triangle the result f is affine in the pixel's position, so moving vertex i by d changes
it at a fixed pixel by -b_i (grad f . d), b_i being the vertex's barycentric weight. That is the
whole backward pass with respect to the points; with respect to the attributes it is b_i itself.
Threads as in `mien.render.rasterize_numba`: as many as torch has, each on meshes of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import prange
from torch import Tensor

from mien.render.compiled import compiled
from mien.render.rasterize_numba import follow_torch_threads

__all__ = ["blend", "blend_backward"]


def blend(pix_to_face: Tensor, points: Tensor, triangles: Tensor, attributes: Tensor) -> Tensor:
    """Carry attributes to the pixels; contiguous CPU tensors only, no gradient is recorded.

    Args:
        pix_to_face: int64 [B, H, W].
        points: float32 or float64 [B, V, 3].
        triangles: int64 [F, 3].
        attributes: Of the points' type. [B, V, C] or [1, V, C].

    Returns:
        [B, C, H, W], zero where nothing is seen.
    """
    batch, height, width = pix_to_face.shape
    out = points.new_zeros(batch, attributes.shape[2], height, width)
    follow_torch_threads()
    arrays = _arrays(pix_to_face, points, triangles, attributes)
    _blend_batch(arrays, _centres(pix_to_face, points), out.numpy())
    return out


def blend_backward(
    saved: tuple[Tensor, Tensor, Tensor, Tensor], grad: Tensor, *, for_attributes: bool
) -> tuple[Tensor, Tensor]:
    """Return the gradients with respect to the points and to the attributes.

    Args:
        saved: The four arguments of `blend`.
        grad: Gradient with respect to its result, contiguous. [B, C, H, W].
        for_attributes: False leaves the second gradient out.

    Returns:
        [B, V, 3], its z zero, and one row for each mesh [B, V, C]; [B, V, 0] where left out.
    """
    points, attributes = saved[1], saved[3]
    grad_points = torch.zeros_like(points)
    _, vertices, channels = attributes.shape
    grad_attributes = points.new_zeros(len(points), vertices, channels if for_attributes else 0)
    follow_torch_threads()
    grads = (grad.numpy(), grad_points.numpy(), grad_attributes.numpy())
    _blend_backward_batch(_arrays(*saved), _centres(saved[0], points), grads)
    return grad_points, grad_attributes


def _arrays(*tensors: Tensor) -> tuple[np.ndarray, ...]:
    return tuple(tensor.detach().numpy() for tensor in tensors)


def _centres(pix_to_face: Tensor, points: Tensor) -> np.ndarray:
    """Return the pixel centres as floats: an integer would turn the kernel's float32 to float64."""
    return torch.arange(max(pix_to_face.shape[1:]), dtype=points.dtype).numpy()


@compiled()
def _weights(
    points: np.ndarray, corners: tuple[int, int, int], column: Any, row: Any
) -> tuple[Any, Any, Any, Any]:
    """Return a pixel's barycentric weights and 1 / twice the triangle's area; 0 without area."""
    i, j, k = corners
    u0, u1, u2 = points[i, 0] - column, points[j, 0] - column, points[k, 0] - column
    v0, v1, v2 = points[i, 1] - row, points[j, 1] - row, points[k, 1] - row
    w0, w1, w2 = u1 * v2 - v1 * u2, u2 * v0 - v2 * u0, u0 * v1 - v0 * u1
    total = w0 + w1 + w2
    scale = np.float32(1.0) / total if total != 0.0 else total
    return w0 * scale, w1 * scale, w2 * scale, scale


@compiled(parallel=True)
def _blend_batch(arrays: tuple[np.ndarray, ...], centres: np.ndarray, out: np.ndarray) -> None:
    pix_to_face, points, triangles, attributes = arrays
    last = attributes.shape[0] - 1
    for b in prange(points.shape[0]):
        mesh = (pix_to_face[b], points[b], triangles, attributes[min(np.int64(b), last)])
        _blend_mesh(mesh, centres, out[b])


@compiled()
def _blend_mesh(mesh: tuple[np.ndarray, ...], centres: np.ndarray, out: np.ndarray) -> None:
    pix_to_face, points, triangles, values = mesh
    for y in range(pix_to_face.shape[0]):
        for x in range(pix_to_face.shape[1]):
            face = pix_to_face[y, x]
            if face < 0:
                continue
            i, j, k = triangles[face, 0], triangles[face, 1], triangles[face, 2]
            w0, w1, w2, _scale = _weights(points, (i, j, k), centres[x], centres[y])
            for c in range(values.shape[1]):
                out[c, y, x] = w0 * values[i, c] + w1 * values[j, c] + w2 * values[k, c]


@compiled(parallel=True)
def _blend_backward_batch(
    arrays: tuple[np.ndarray, ...], centres: np.ndarray, grads: tuple[np.ndarray, ...]
) -> None:
    pix_to_face, points, triangles, attributes = arrays
    grad, grad_points, grad_attributes = grads
    last = attributes.shape[0] - 1
    for b in prange(points.shape[0]):
        row = np.int64(b)
        mesh = (pix_to_face[b], points[b], triangles, attributes[min(row, last)])
        _blend_mesh_backward(mesh, centres, grad[b], (grad_points[b], grad_attributes[b]))


@compiled()
def _blend_mesh_backward(
    mesh: tuple[np.ndarray, ...],
    centres: np.ndarray,
    grad: np.ndarray,
    grads: tuple[np.ndarray, np.ndarray],
) -> None:
    """Add the gradients with respect to u and v of one mesh's points, and to its attributes."""
    moved, gathered = grads
    pix_to_face, points, triangles, values = mesh
    for y in range(pix_to_face.shape[0]):
        for x in range(pix_to_face.shape[1]):
            face = pix_to_face[y, x]
            if face < 0:
                continue
            i, j, k = triangles[face, 0], triangles[face, 1], triangles[face, 2]
            w0, w1, w2, scale = _weights(points, (i, j, k), centres[x], centres[y])
            # Of each vertex: the sum over channels of incoming gradient times attribute.
            s0, s1, s2 = centres[0], centres[0], centres[0]
            for c in range(values.shape[1]):
                g = grad[c, y, x]
                s0, s1, s2 = s0 + g * values[i, c], s1 + g * values[j, c], s2 + g * values[k, c]
            u0, u1, u2 = points[i, 0], points[j, 0], points[k, 0]
            v0, v1, v2 = points[i, 1], points[j, 1], points[k, 1]
            slope_u = (s0 * (v1 - v2) + s1 * (v2 - v0) + s2 * (v0 - v1)) * scale
            slope_v = (s0 * (u2 - u1) + s1 * (u0 - u2) + s2 * (u1 - u0)) * scale
            moved[i, 0] -= w0 * slope_u
            moved[i, 1] -= w0 * slope_v
            moved[j, 0] -= w1 * slope_u
            moved[j, 1] -= w1 * slope_v
            moved[k, 0] -= w2 * slope_u
            moved[k, 1] -= w2 * slope_v
            # No channels where the attributes need no gradient.
            for c in range(gathered.shape[1]):
                g = grad[c, y, x]
                gathered[i, c] += w0 * g
                gathered[j, c] += w1 * g
                gathered[k, c] += w2 * g
