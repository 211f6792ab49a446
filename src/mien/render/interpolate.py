"""Vertex attributes carried to the pixels, differentiable in the attributes and in the mesh."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mien.render.rasterize import (
    Fragments,
    choose_backend,
    corners_of,
    edge_weights,
    working_dtype,
)

__all__ = ["interpolate", "interpolate_reference"]


def interpolate(
    fragments: Fragments,
    points: Tensor,
    triangles: Tensor,
    attributes: Tensor,
    *,
    backend: str = "auto",
) -> Tensor:
    """Blend the attributes of the triangle that each pixel sees.

    The affine barycentric weights are computed anew from `points`, so the result has gradients
    with respect to the points' u and v (how the blend at a fixed pixel changes as the triangle
    moves; which triangle is seen is held fixed) and to the attributes; none with respect to z.

    Args:
        fragments: What `rasterize` found for these points and triangles.
        points: u and v in pixels and depth z. [B, V, 3].
        triangles: Rows of `points`. int64 [F, 3].
        attributes: What to carry, one row per point; [B, V, C], or [V, C] for all meshes alike.
        backend: As for `rasterize`.

    Returns:
        [B, C, H, W], zero where nothing is seen; float64 where the points are, else float32.

    Raises:
        ValueError: A shape is wrong, or the fragments do not belong to this mesh.
        MienError: The backend is unknown, or is not for the points' device.
    """
    chosen = choose_backend(backend, points.device)
    dtype = working_dtype(points)
    shared = attributes.unsqueeze(0) if attributes.ndim == 2 else attributes
    _check(fragments.pix_to_face, points, triangles, shared)
    faces = triangles.to(points.device, torch.int64)
    points, shared = points.to(dtype), shared.to(dtype)
    if points.numel() == 0 or len(faces) == 0:
        batch, height, width = fragments.pix_to_face.shape
        return points.new_zeros(batch, shared.shape[2], height, width)
    if chosen == "reference":
        return interpolate_reference(fragments.pix_to_face, points, faces, shared)
    out = _Blend.apply(chosen, fragments.pix_to_face, points, faces, shared)
    assert isinstance(out, Tensor)
    return out


def interpolate_reference(
    pix_to_face: Tensor, points: Tensor, triangles: Tensor, attributes: Tensor
) -> Tensor:
    """Interpolate in plain torch, gradients by autograd: the oracle of the faster backends.

    Arguments and result as of `interpolate`, with at least one triangle; attributes [B or 1, V, C].
    """
    batch, height, width = pix_to_face.shape
    column = torch.arange(width, device=points.device, dtype=points.dtype)
    row = torch.arange(height, device=points.device, dtype=points.dtype)[:, None]
    corners = corners_of(points, triangles, pix_to_face)
    weights = torch.stack(
        edge_weights(corners, column.expand(height, width), row.expand(height, width)), dim=-1
    )
    total = weights.sum(dim=-1, keepdim=True)
    kept = (pix_to_face >= 0).unsqueeze(-1) & (total != 0)
    # Masked on both sides of the division: a NaN that is only masked afterwards still poisons
    # the gradient.
    weights = torch.where(kept, weights, 0.0) / torch.where(kept, total, 1.0)
    values = corners_of(attributes.expand(batch, -1, -1), triangles, pix_to_face)
    values = torch.where(kept.unsqueeze(-1), values, 0.0)
    return (weights.unsqueeze(-1) * values).sum(dim=3).permute(0, 3, 1, 2)


class _Blend(torch.autograd.Function):
    """The compiled backends: forward and backward pass written by hand, one module for each."""

    @staticmethod
    def forward(
        ctx: Any,
        backend: str,
        pix_to_face: Tensor,
        points: Tensor,
        triangles: Tensor,
        attributes: Tensor,
    ) -> Tensor:
        inputs = (pix_to_face, points, triangles, attributes)
        saved = tuple(tensor.detach().contiguous() for tensor in inputs)
        ctx.kernels = _kernels(backend)
        ctx.save_for_backward(*saved)
        return ctx.kernels.blend(*saved)

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride]
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        _, _, for_points, _, for_attributes = ctx.needs_input_grad
        grad_points, grad_attributes = ctx.kernels.blend_backward(
            saved, grads[0].contiguous(), for_attributes=for_attributes
        )
        if len(saved[3]) != len(grad_attributes):
            # Attributes shared by all meshes: each mesh had a row of its own to add into.
            grad_attributes = grad_attributes.sum(dim=0, keepdim=True)
        return (
            None,
            None,
            grad_points if for_points else None,
            None,
            grad_attributes if for_attributes else None,
        )


def _kernels(backend: str) -> ModuleType:
    """Return the module with the backend's `blend` and `blend_backward`."""
    if backend == "numba":
        from mien.render import interpolate_numba

        return interpolate_numba
    from mien.render import interpolate_triton

    return interpolate_triton


def _check(pix_to_face: Tensor, points: Tensor, triangles: Tensor, attributes: Tensor) -> None:
    """Raise ValueError where shapes disagree or a pixel names a triangle that is not there."""
    batch, vertices = points.shape[:2]
    if pix_to_face.shape[0] != batch:
        raise ValueError(f"fragments of {pix_to_face.shape[0]} meshes for points of {batch}")
    if attributes.ndim != 3 or attributes.shape[0] not in (1, batch):
        raise ValueError(f"attributes must be [V, C] or [{batch}, V, C]")
    if attributes.shape[1] != vertices:
        raise ValueError(f"attributes of {attributes.shape[1]} points for a mesh of {vertices}")
    # On CUDA the look would wait for the device.
    if pix_to_face.device.type == "cpu" and pix_to_face.numel():
        if int(pix_to_face.max()) >= len(triangles):
            raise ValueError(f"the fragments name triangles beyond the mesh's {len(triangles)}")
        if len(triangles) and int(triangles.max()) >= vertices:
            raise ValueError(f"the triangles name points beyond the mesh's {vertices}")
