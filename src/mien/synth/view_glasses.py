"""Glasses that heads wear in views of photographs: rendered people's frames, and lenses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from mien.render.rasterize import rasterize
from mien.synth.accessories import RIM_STEPS, glasses_points, lens_triangles
from mien.synth.person import sample_glasses_colour, sample_glasses_shape

__all__ = ["WornGlasses", "sample_worn_glasses", "tint"]

Array = NDArray[Any]

_DARK_CHANCE = 0.2
"""In how many glasses the lenses are dark."""
_HEAVY_CHANCE, _HEAVY_CM = 0.3, (0.35, 0.6)
"""In how many the frame is wider than those of rendered people, and how wide it is then."""
_BESIDE_EARS_CM = 1.1
"""With less the mean head's temples stick out through the arms."""


@dataclass(frozen=True)
class WornGlasses:
    """Glasses on a head."""

    points: Array
    """Of the frame, in the frame of the landmarks. float32 [G, 3]."""
    colour: Array
    """Of the frame, r g b. [0, 255] [3]."""
    lens_colour: Array
    """r g b. [0, 255] [3]."""
    lens_opacity: Array
    """At each vertex of the frame. [0, 1] [G]."""


def sample_worn_glasses(marks: Array, rng: np.random.Generator) -> WornGlasses:
    """Return glasses before the eyes of a head.

    Args:
        marks: the 68 landmarks of the head. [68, 3].
        rng: source of all choices.
    """
    form = sample_glasses_shape(rng)
    if rng.random() < _HEAVY_CHANCE:
        form[3] = rng.uniform(*_HEAVY_CM)
    points = glasses_points(marks, form, beside_ears=_BESIDE_EARS_CM)
    colour = 255 * sample_glasses_colour(rng)
    if rng.random() < _DARK_CHANCE:
        lens, opacity = rng.uniform(0, 0.25) * rng.uniform(0.5, 1, 3), rng.uniform(0.5, 0.97)
    else:
        # What a clear lens mirrors.
        lens, opacity = rng.uniform(0.5, 1) * rng.uniform(0.9, 1, 3), rng.uniform(0, 0.25) ** 1.5
    down = np.sin(2 * np.pi * np.arange(len(points)) / RIM_STEPS)
    graded = np.clip(opacity * (1 + rng.uniform(-0.6, 0.3) * down), 0, 1)
    return WornGlasses(points, colour, 255 * lens, graded)


def tint(image: Array, points: Array, depth: Array, worn: WornGlasses) -> None:
    """Lay the lenses over what lies behind them, in place.

    Args:
        image: float32 [H, W, 3], [0, 255].
        points: the frame's, in pixels and depth. float32 [G, 3].
        depth: of what is in the image. [H, W].
        worn: the glasses.
    """
    triangles = lens_triangles()
    found = rasterize(torch.from_numpy(points)[None], torch.from_numpy(triangles), *depth.shape)
    rows, columns = np.nonzero(found.depth[0].numpy() < depth)
    corners = triangles[found.pix_to_face[0].numpy()[rows, columns]]
    weights = found.barycentric[0].numpy()[rows, columns]
    opacity = (worn.lens_opacity[corners] * weights).sum(axis=1)[:, None]
    image[rows, columns] += opacity * (worn.lens_colour - image[rows, columns])
