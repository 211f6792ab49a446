"""Which triangle covers which pixel: the z-buffer, as three interchangeable backends.

Pixel (column u, row v) is sampled at its integer centre. The edge function of two vertices is the
cross product of both *as seen from the pixel*: swapping the vertices negates it exactly, also in
floating point, so two triangles that share an edge never leave a gap along it. The reference and
numba do the same operations in the same order and agree in every bit; triton agrees to rounding.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

from mien.errors import MienError

__all__ = [
    "BACKENDS",
    "Fragments",
    "choose_backend",
    "corners_of",
    "edge_weights",
    "rasterize",
    "rasterize_reference",
    "working_dtype",
]

BACKENDS = ("auto", "reference", "numba", "triton")

_CANDIDATES = 1 << 20
"""Pairs of triangle and pixel that the reference looks at in one go; bounds its memory."""


@dataclass(frozen=True)
class Fragments:
    """What each pixel sees of a batch of meshes."""

    pix_to_face: Tensor
    """Row of the nearest triangle, -1 where there is none. int64 [B, H, W]."""
    barycentric: Tensor
    """Affine weights of the triangle's three vertices, sum 1; 0 where nothing. [B, H, W, 3]."""
    depth: Tensor
    """Depth of the surface, in the unit of the points' z; inf where nothing. [B, H, W]."""

    @property
    def mask(self) -> Tensor:
        """Return 1 where a triangle covers the pixel, else 0, in the depth's type. [B, 1, H, W]."""
        return (self.pix_to_face >= 0).to(self.depth.dtype).unsqueeze(1)


def rasterize(
    points: Tensor, triangles: Tensor, height: int, width: int, *, backend: str = "auto"
) -> Fragments:
    """Find the nearest triangle under every pixel centre; nothing here is differentiable.

    Both windings are rendered. A centre on an edge counts as inside; of surfaces at the same depth
    the lowest row of `triangles` wins. Triangles without area and those with a vertex that is not
    finite are skipped.

    Args:
        points: Column u and row v in pixels (centres at integers) and depth z, any unit, smaller
            is nearer. [B, V, 3]; float64 stays float64, all else is computed in float32.
        triangles: Rows of `points`. int64 [F, 3].
        height: Rows of the image, >= 1.
        width: Columns of the image, >= 1.
        backend: "reference" (plain torch, any device), "numba" (CPU), "triton" (CUDA) or "auto"
            (numba on the CPU, triton on CUDA).

    Returns:
        Fragments on the points' device.

    Raises:
        ValueError: A shape is wrong, or a triangle names a point that is not there.
        MienError: The backend is unknown, or is not for the points' device.
    """
    _check(points, triangles, height, width)
    chosen = choose_backend(backend, points.device)
    seen = points.detach().to(working_dtype(points)).contiguous()
    faces = triangles.to(seen.device, torch.int64).contiguous()
    with torch.no_grad():
        if chosen == "numba":
            from mien.render.rasterize_numba import rasterize_numba

            return Fragments(*rasterize_numba(seen, faces, height, width))
        if chosen == "triton":
            from mien.render.rasterize_triton import rasterize_triton

            return Fragments(*rasterize_triton(seen, faces, height, width))
        return rasterize_reference(seen, faces, height, width)


def choose_backend(backend: str, device: torch.device) -> str:
    """Return "reference", "numba" or "triton", whichever serves this device.

    Raises:
        MienError: The backend is unknown, not installed, or not for this device.
    """
    if backend not in BACKENDS:
        raise MienError(f"no renderer is called {backend!r}; choose one of {', '.join(BACKENDS)}")
    has_triton = find_spec("triton") is not None
    if backend == "auto":
        compiled = {"cpu": "numba", "cuda": "triton" if has_triton else "reference"}
        return compiled.get(device.type, "reference")
    if backend == "numba" and device.type != "cpu":
        raise MienError(f"the numba renderer works on the CPU, not on {device}; choose auto")
    if backend == "triton" and not has_triton:
        raise MienError("the triton renderer needs the package triton; install it or choose auto")
    if backend == "triton" and device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise MienError(f"the triton renderer works on CUDA, not on {device}; choose auto")
    return backend


def working_dtype(points: Tensor) -> torch.dtype:
    """Return float64 for float64 points and float32 for all others."""
    return torch.float64 if points.dtype == torch.float64 else torch.float32


def corners_of(points: Tensor, triangles: Tensor, pix_to_face: Tensor) -> Tensor:
    """Gather the vertices under every pixel; triangle 0's where there is none. [B, H, W, 3, C].

    Args:
        points: [B, V, C].
        triangles: Rows of `points`, at least one triangle. int64 [F, 3].
        pix_to_face: int64 [B, H, W].
    """
    batch, height, width = pix_to_face.shape
    vertices = triangles[pix_to_face.clamp_min(0)].reshape(batch, height * width * 3, 1)
    gathered = points.gather(1, vertices.expand(-1, -1, points.shape[2]))
    return gathered.reshape(batch, height, width, 3, points.shape[2])


def edge_weights(corners: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return twice the signed areas that the sample spans with the edge opposite each vertex.

    Args:
        corners: u and v of a triangle's vertices in its last two dimensions. [..., 3, >= 2].
        column: Sample positions u. [...].
        row: Sample positions v. [...].

    Returns:
        Three tensors [...]; divided by their sum they are the affine barycentric weights.
    """
    u = corners[..., 0] - column.unsqueeze(-1)
    v = corners[..., 1] - row.unsqueeze(-1)
    (u0, u1, u2), (v0, v1, v2) = u.unbind(-1), v.unbind(-1)
    return u1 * v2 - v1 * u2, u2 * v0 - v2 * u0, u0 * v1 - v0 * u1


def rasterize_reference(points: Tensor, triangles: Tensor, height: int, width: int) -> Fragments:
    """Rasterise in plain torch: the oracle of the faster backends, same rules and arguments.

    Every triangle is unrolled into the pixels of its bounding box, some `_CANDIDATES` at a time.
    """
    batch, faces = points.shape[0], triangles.shape[0]
    size = batch * height * width
    depth = points.new_full((size,), torch.inf)
    face = torch.full((size,), faces, dtype=torch.int64, device=points.device)
    corners = points[:, triangles].reshape(batch * faces, 3, 3)
    left, top, columns, counts = _boxes(corners, height, width)
    for start, stop in _chunks(counts):
        part = slice(start, stop)
        owner = torch.repeat_interleave(counts[part])
        first = counts[part].cumsum(0) - counts[part]
        rank = torch.arange(len(owner), device=points.device) - first[owner]
        owner = owner + start
        x = left[owner] + rank % columns[owner]
        y = top[owner] + rank // columns[owner]
        inside, z = _cover(corners[owner], x.to(points.dtype), y.to(points.dtype))
        pixel = (owner // faces * height + y) * width + x
        _keep_nearest(depth, face, (pixel[inside], z[inside], (owner % faces)[inside]))
    shape = (batch, height, width)
    pix_to_face = torch.where(face == faces, -1, face).reshape(shape)
    weights = _weights_of_winners(points, triangles, pix_to_face)
    return Fragments(pix_to_face, weights, depth.reshape(shape))


def _boxes(corners: Tensor, height: int, width: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return first column, first row, columns and pixels of every triangle's box on the screen."""
    finite = corners.isfinite().all(dim=(1, 2))
    corners = torch.where(finite[:, None, None], corners, -1.0)
    low, high = corners[..., :2].amin(dim=1), corners[..., :2].amax(dim=1)
    limit = corners.new_tensor([width, height])
    # Clamped before it is cast: a coordinate far off the screen does not fit an integer.
    first = torch.minimum(low.clamp_min(0.0), limit).ceil().to(torch.int64)
    last = torch.minimum(high.clamp_min(-1.0), limit - 1).floor().to(torch.int64)
    columns, rows = (last - first + 1).clamp_min(0).unbind(1)
    return first[:, 0], first[:, 1], columns, columns * rows * finite


def _chunks(counts: Tensor) -> list[tuple[int, int]]:
    """Cut the triangles into runs of about `_CANDIDATES` pixels in all."""
    if len(counts) == 0:
        return []
    run = (counts.cumsum(0) - counts) // _CANDIDATES
    lengths = torch.unique_consecutive(run, return_counts=True)[1]
    stops = lengths.cumsum(0).tolist()
    return list(zip([0, *stops[:-1]], stops, strict=True))


def _cover(corners: Tensor, column: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """Return whether each sample lies in its triangle, and the triangle's depth there."""
    w0, w1, w2 = edge_weights(corners, column, row)
    total = w0 + w1 + w2
    forward = (w0 >= 0) & (w1 >= 0) & (w2 >= 0)
    backward = (w0 <= 0) & (w1 <= 0) & (w2 <= 0)
    scale = 1.0 / total
    z0, z1, z2 = corners[..., 2].unbind(-1)
    # From the first vertex outwards: a flat triangle then has its depth to the last bit, and two
    # flat ones at the same depth are a true tie.
    depth = z0 + w1 * scale * (z1 - z0) + w2 * scale * (z2 - z0)
    return (forward | backward) & (total != 0) & depth.isfinite(), depth


def _keep_nearest(depth: Tensor, face: Tensor, found: tuple[Tensor, Tensor, Tensor]) -> None:
    """Fold (pixel, depth, triangle) of more samples into the z-buffer, in place."""
    pixel, z, owner = found
    nearer = depth.scatter_reduce(0, pixel, z, "amin")
    face.masked_fill_(nearer < depth, torch.iinfo(torch.int64).max)
    depth.copy_(nearer)
    wins = z == depth[pixel]
    face.scatter_reduce_(0, pixel[wins], owner[wins], "amin")


def _weights_of_winners(points: Tensor, triangles: Tensor, pix_to_face: Tensor) -> Tensor:
    """Return the barycentric weights of the triangle that each pixel sees. [B, H, W, 3]."""
    batch, height, width = pix_to_face.shape
    if len(triangles) == 0 or points.shape[1] == 0:
        return points.new_zeros(batch, height, width, 3)
    column = torch.arange(width, device=points.device, dtype=points.dtype)
    row = torch.arange(height, device=points.device, dtype=points.dtype)[:, None]
    corners = corners_of(points, triangles, pix_to_face)
    w0, w1, w2 = edge_weights(corners, column.expand(height, width), row.expand(height, width))
    scale = 1.0 / (w0 + w1 + w2)
    weights = torch.stack([w0 * scale, w1 * scale, w2 * scale], dim=-1)
    return torch.where((pix_to_face >= 0).unsqueeze(-1), weights, 0.0)


def _check(points: Tensor, triangles: Tensor, height: int, width: int) -> None:
    """Raise ValueError where a shape is wrong or a triangle names a point that is not there."""
    if points.ndim != 3 or points.shape[2] != 3:
        raise ValueError(f"points must be [B, V, 3], not {list(points.shape)}")
    if triangles.ndim != 2 or triangles.shape[1] != 3:
        raise ValueError(f"triangles must be [F, 3], not {list(triangles.shape)}")
    if height < 1 or width < 1:
        raise ValueError(f"an image has at least one pixel, not {height} x {width}")
    # On CUDA the look would wait for the device; the kernel there skips such triangles instead.
    if len(triangles) and triangles.device.type == "cpu":
        low, high = (int(bound) for bound in torch.aminmax(triangles))
        if low < 0 or high >= points.shape[1]:
            raise ValueError(f"triangles name points {low} to {high} of {points.shape[1]}")
