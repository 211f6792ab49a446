"""Hair as ribbons that grow from the scalp, over a cap of the same colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from benchmarks.other_renderer.looks import HairStyle
from benchmarks.other_renderer.skin import hairline
from numpy.typing import NDArray

__all__ = ["Hair", "grow_hair"]

STRANDS, SEGMENTS = 2200, 7

Array = NDArray[np.floating]
Whole = NDArray[np.integer]


@dataclass(frozen=True)
class Hair:
    """A mesh in the head's frame."""

    vertices: Array
    """Cm. [M, 3]."""
    triangles: Whole
    """[F, 3]."""
    uv: Array
    """Place of each vertex in `colours`. [M, 2]."""
    colours: Array
    """Linear r, g, b: shades of strands across, from root to tip downwards. [8, 64, 3]."""


def grow_hair(
    style: HairStyle, vertices: Array, normals: Array, triangles: Whole, mean: Array, seed: int
) -> Hair | None:
    """Grow a person's hair; None on a bald head.

    Args:
        style: of the hair.
        vertices: the skin at rest, cm. [V, 3].
        normals: outward. [V, 3].
        triangles: of the skin. [F, 3].
        mean: the head model's mean head and its landmarks, whose first V rows are the skin.
            [V, 3] and 68 rows more.
        seed: of the strands.
    """
    if style.length == 0:
        return None
    rng = np.random.default_rng([seed, 3])
    skin, marks = mean[: len(vertices)], mean[len(vertices) :]
    above = hairline(skin, marks, style.line) * _not_ears(skin, marks)
    roots, out = _roots(rng, above, vertices, normals, triangles)
    strands = _strands(rng, style, roots, out, vertices, marks)
    points, faces = _ribbons(rng, strands, style.width)
    u = np.broadcast_to(rng.random((len(strands), 1, 1)), (len(strands), SEGMENTS + 1, 2))
    v = np.broadcast_to(np.linspace(0, 1, SEGMENTS + 1)[None, :, None], u.shape)
    uv = np.stack([u, v], axis=-1).reshape(-1, 2).astype(np.float32)
    shade = (
        np.exp(0.25 * rng.standard_normal((1, 64, 1))) * np.linspace(0.7, 1.15, 8)[:, None, None]
    )
    colours = np.clip(style.colour * shade, 0.003, 0.9).astype(np.float32)
    return Hair(points, faces, uv, colours)


def _not_ears(skin: Array, marks: Array) -> NDArray[np.bool_]:
    half = 0.5 * float(marks[16, 0] - marks[0, 0])
    beside = np.abs(skin[:, 0]) > 1.0 * half
    return ~(beside & (skin[:, 1] > marks[0, 1] - 0.35 * half))


def _roots(
    rng: np.random.Generator, above: Array, vertices: Array, normals: Array, triangles: Whole
) -> tuple[Array, Array]:
    """Return places on the scalp, even over its area, and the outward normals there. [S, 3]."""
    grown = triangles[(above[triangles] > 0).all(axis=1)]
    a, b, c = (vertices[grown[:, k]] for k in range(3))
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1)
    pick = rng.choice(len(grown), STRANDS, p=area / area.sum())
    weight = rng.dirichlet(np.ones(3), STRANDS).astype(np.float32)
    place = np.einsum("sk,skc->sc", weight, vertices[grown[pick]])
    return place, np.einsum("sk,skc->sc", weight, normals[grown[pick]])


def _strands(
    rng: np.random.Generator,
    style: HairStyle,
    roots: Array,
    out: Array,
    vertices: Array,
    marks: Array,
) -> Array:
    """Return the places along each strand: combed from the parting, then falling. [S, K, 3]."""
    brow = float(marks[17:27, 1].mean())
    crown = vertices[vertices[:, 1] < brow]
    centre = np.array([0.0, brow - 1.0, 0.5 * (crown[:, 2].min() + crown[:, 2].max())])
    axes = np.array(
        [np.abs(crown[:, 0]).max(), centre[1] - crown[:, 1].min(), np.ptp(crown[:, 2]) / 2]
    )
    side = np.tanh((roots[:, 0] - 3.0 * style.parting) / 1.5)
    comb = np.stack(
        [0.8 * side, 0.35 * np.ones(len(roots)), -style.forward * np.ones(len(roots))], 1
    )
    # Above the brows the hair may fall into the forehead; further down it goes round the face.
    count = len(roots)
    step = style.length * rng.uniform(0.75, 1.15, (count, 1)) / SEGMENTS
    phase, turns = rng.uniform(0, 2 * np.pi, (count, 1)), rng.uniform(0.7, 1.5, (count, 1))
    heading = out * (0.5 + style.lift) + 0.6 * comb + 0.18 * rng.standard_normal((count, 3))
    places, here = [roots], roots.astype(np.float64)
    cover = 0.15 + 0.9 * style.lift * rng.random((count, 1)) * min(1.0, style.length / 3)
    for number in range(1, SEGMENTS + 1):
        fall = np.array([0.0, 0.45, 0.06]) * min(1.6, style.length / 5)
        heading = heading / np.linalg.norm(heading, axis=1, keepdims=True) + fall
        here = here + step * heading / np.linalg.norm(heading, axis=1, keepdims=True)
        here = _outside(here, centre, axes, cover)
        # Beside the face, not over it.
        face = (here[:, 1] > brow - 1.2) & (here[:, 2] < centre[2])
        edge = np.sign(side + 1e-3) * (0.8 * axes[0] + cover[:, 0])
        here[:, 0] = np.where(face & (np.abs(here[:, 0]) < np.abs(edge)), edge, here[:, 0])
        winding = phase + number * turns * (2.2 if style.curl > 0.2 else 0.8)
        curl = style.curl * np.concatenate([np.cos(winding), 0 * winding, np.sin(winding)], axis=1)
        places.append((here + curl).astype(np.float32))
    return np.stack(places, axis=1).astype(np.float32)


def _outside(points: Array, centre: Array, axes: Array, cover: Array) -> Array:
    """Return points moved out of the skull, an ellipsoid with a cover of hair, and off the face."""
    grown = axes + cover
    ray = (points - centre) / grown
    # The skull goes on downwards as a cylinder: hair hangs beside the neck.
    ray[:, 1] = np.minimum(ray[:, 1], 0.0)
    length = np.linalg.norm(ray, axis=1, keepdims=True).clip(1e-6)
    pushed = points + np.where(length < 1, (1 / length - 1), 0.0) * ray * grown
    return pushed


def _ribbons(rng: np.random.Generator, strands: Array, width: float) -> tuple[Array, Whole]:
    """Return two rows of vertices along each strand, narrowing to its tip."""
    count, places = strands.shape[:2]
    along = np.gradient(strands, axis=1)
    across = np.cross(along, rng.standard_normal((count, 1, 3)))
    across /= np.linalg.norm(across, axis=2, keepdims=True).clip(1e-6)
    half = 0.5 * width * np.linspace(1.0, 0.25, places)[None, :, None]
    points = np.stack([strands - half * across, strands + half * across], axis=2)
    first = (np.arange(count)[:, None] * places + np.arange(places - 1)).reshape(-1) * 2
    quads = np.stack([first, first + 1, first + 3, first, first + 3, first + 2], axis=1)
    return points.reshape(-1, 3).astype(np.float32), quads.reshape(-1, 3).astype(np.int32)
