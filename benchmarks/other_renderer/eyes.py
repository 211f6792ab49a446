"""Eyeballs of their own: a globe with a bulge before the iris, painted in polar coordinates."""

from __future__ import annotations

import cv2
import numpy as np
from benchmarks.other_renderer.looks import Looks
from numpy.typing import NDArray

__all__ = ["eye_globe", "paint_eye"]

RADIUS = 1.535
"""Cm; the head model's sockets are made for it."""
BULGE, BULGE_RAD = 0.09, 0.52
PAINTED_RAD = 1.2
"""Angle from the axis that the texture reaches to."""
_SHAPE = (192, 256)

Array = NDArray[np.floating]
Whole = NDArray[np.integer]


def eye_globe(rings: int = 28, sectors: int = 40) -> tuple[Array, Array, Whole]:
    """Return an eye that looks along -z: vertices about its centre, cm, uv, triangles.

    [M, 3], [M, 2] with u around the axis and v from the pupil outwards, and [F, 3].
    """
    # Rings stand closer near the pupil.
    angle = np.pi * (np.arange(rings + 1) / rings) ** 1.5
    around = 2 * np.pi * np.arange(sectors + 1) / sectors
    t, a = np.meshgrid(angle, around, indexing="ij")
    radius = RADIUS * (1 + BULGE * np.maximum(0.0, 1 - (t / BULGE_RAD) ** 2))
    points = np.stack([np.sin(t) * np.cos(a), np.sin(t) * np.sin(a), -np.cos(t)], axis=-1)
    uv = np.stack([a / (2 * np.pi), np.minimum(t / PAINTED_RAD, 1.0)], axis=-1)
    corner = np.arange((rings + 1) * (sectors + 1)).reshape(rings + 1, sectors + 1)
    p, q, r, s = corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]
    triangles = np.concatenate([np.stack([p, r, q], -1), np.stack([p, s, r], -1)])
    return (
        (points * radius[..., None]).reshape(-1, 3).astype(np.float32),
        uv.reshape(-1, 2).astype(np.float32),
        triangles.reshape(-1, 3).astype(np.int32),
    )


def paint_eye(looks: Looks) -> Array:
    """Return the texture of a person's eyes, linear r, g, b; row 0 is the pupil. [192, 256, 3]."""
    rng = np.random.default_rng([looks.seed, 2])
    rows, columns = _SHAPE
    angle = ((np.arange(rows) + 0.5) / rows * PAINTED_RAD)[:, None]
    # Fibres run outwards, so that they vary around the axis more than along it.
    fibres = rng.standard_normal((rows, columns)).astype(np.float32)
    fibres = cv2.GaussianBlur(np.tile(fibres, (1, 3)), (0, 0), 1.2, sigmaY=9.0)
    fibres = fibres[:, columns : 2 * columns] / fibres.std()
    pupil = looks.pupil * looks.iris_rad
    inside = np.clip((angle - pupil) / (looks.iris_rad - pupil), 0, 1)
    shade = (0.75 + 0.5 * (1 - inside) + 0.22 * fibres) * np.interp(inside, [0.75, 1.0], [1.0, 0.4])
    iris = looks.iris * np.maximum(shade, 0.1)[..., None]
    veins = cv2.GaussianBlur(rng.standard_normal((rows, columns)).astype(np.float32), (0, 0), 1.5)
    far = np.interp(angle, [looks.iris_rad, PAINTED_RAD], [0.0, 1.0])
    red = np.clip(far * (0.25 + np.abs(veins) / veins.std() * 0.12), 0, 0.6)[..., None]
    white = np.array([0.68, 0.64, 0.60]) * (1 - red * np.array([0.15, 0.6, 0.6]))
    edge = 1 / (1 + np.exp((angle - looks.iris_rad) / 0.012))[..., None]
    dark = 1 / (1 + np.exp((angle - pupil) / 0.010))[..., None]
    painted = edge * iris + (1 - edge) * white
    return (painted * (1 - dark) + 0.004 * dark).astype(np.float32)
