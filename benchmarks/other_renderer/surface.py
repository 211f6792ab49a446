"""The skin of the head as a textured mesh: its texels' places on the mean head."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.synth.head_model import HeadModel, Part
from mien.synth.kernels import smooth_normals

__all__ = ["TEXTURE", "Surface", "find_surface", "texel_triangles"]

TEXTURE = (384, 768)
"""Rows and columns of a texture: the face on the left half, the back of the head on the right."""

Array = NDArray[np.floating]
Whole = NDArray[np.integer]


@dataclass(frozen=True)
class Surface:
    """The skin, cut along the seams of its texture: M corners of the head model's vertices."""

    vertex: Whole
    """Vertex of the head model at each corner. [M]."""
    uv: Array
    """Place in the texture, 0 to 1. [M, 2]."""
    triangles: Whole
    """Corners. [F, 3]."""
    place: Array
    """Where each texel lies on the mean head, cm. [*TEXTURE, 3]."""
    facing: Array
    """How far each texel's normal points out of the face, -1 to 1. [*TEXTURE]."""
    marks: Array
    """The 68 landmarks of the mean head, cm. [68, 3]."""


def find_surface(path: Path, head: HeadModel) -> Surface:
    """Read where the texture lies on the skin.

    Args:
        path: ICT-FaceKit's npz, with `uv` and `faces_uv`.
        head: the same file's head model.

    Raises:
        MienError: it is no npz, or has no texture coordinates.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            uv, faces, faces_uv = archive["uv"], archive["faces"], archive["faces_uv"]
    except (OSError, ValueError, KeyError) as error:
        raise MienError(f"{path} has no texture coordinates; give ict_facekit.npz") from error
    # The skin's vertices come first, so that their numbers are the head model's.
    skin = (faces < int(np.count_nonzero(head.part == Part.SKIN))).all(axis=1)
    corners = np.stack([faces[skin].reshape(-1), faces_uv[skin].reshape(-1)], axis=1)
    pairs, number = np.unique(corners, axis=0, return_inverse=True)
    triangles = number.reshape(-1, 3).astype(np.int32)
    flat = (uv[pairs[:, 1]] * [0.5, 1.0]).astype(np.float32)
    normals = np.empty_like(head.neutral)
    smooth_normals(head.neutral, head.triangles, normals)
    at_corners = np.concatenate([head.neutral, -normals[:, 2:]], axis=1)[pairs[:, 0]]
    texels = _spread(flat, triangles, at_corners.astype(np.float32))
    return Surface(
        vertex=pairs[:, 0].astype(np.int32),
        uv=flat,
        triangles=triangles,
        place=np.ascontiguousarray(texels[..., :3]),
        facing=np.ascontiguousarray(texels[..., 3]),
        marks=head.neutral[head.landmarks],
    )


def texel_triangles(uv: Array, triangles: Whole, shape: tuple[int, int]) -> Whole:
    """Return the triangle that covers each texel, or the one nearest to it. [*shape]."""
    pixels = np.round(_pixels(uv, shape) * 16).astype(np.int32)
    drawn = np.full(shape, -1, np.float32)
    for number, corners in enumerate(triangles):
        cv2.fillConvexPoly(drawn, pixels[corners], float(number), shift=4)
    empty = (drawn < 0).astype(np.uint8)
    labels = np.asarray(
        cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)[1],
        np.int64,
    )
    nearest = np.zeros(int(labels.max()) + 1, np.int32)
    nearest[labels[empty == 0]] = drawn[empty == 0].astype(np.int32)
    return nearest[labels]


def _pixels(uv: Array, shape: tuple[int, int]) -> Array:
    """Return the texel (column, row) of places in the texture; row 0 is v = 0. [M, 2]."""
    return (uv * [shape[1], shape[0]] - 0.5).astype(np.float32)


def _spread(uv: Array, triangles: Whole, values: Array) -> Array:
    """Return values of the corners [M, C] interpolated at each texel. [*TEXTURE, C]."""
    corners = triangles[texel_triangles(uv, triangles, TEXTURE)]
    at = np.stack(np.meshgrid(np.arange(TEXTURE[1]), np.arange(TEXTURE[0])), axis=-1)
    a, b, c = np.moveaxis(_pixels(uv, TEXTURE)[corners], 2, 0)
    area = _cross(b - a, c - a)
    area = np.where(np.abs(area) < 1e-6, 1e-6, area)
    # Beside the mesh, the border goes on.
    weights = np.clip(
        np.stack([_cross(b - at, c - at), _cross(c - at, a - at), _cross(a - at, b - at)], -1)
        / area[..., None],
        0.0,
        1.0,
    )
    weights /= weights.sum(axis=-1, keepdims=True).clip(1e-6)
    return np.einsum("hwk,hwkc->hwc", weights, values[corners]).astype(np.float32)


def _cross(a: NDArray[np.floating], b: NDArray[np.floating]) -> NDArray[np.floating]:
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
