"""The texture of the skin: two pigments, patterns of several sizes, and marks on the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from benchmarks.other_renderer.looks import Looks, pigmented
from benchmarks.other_renderer.marks_on_face import LEFT_TOP, PER_CM, draw_marks
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

__all__ = ["Skin", "hairline", "paint_skin"]

_GRID = 24
_INK = np.array([0.012, 0.010, 0.010], np.float32)

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Skin:
    """Textures of one person."""

    albedo: Array
    """Linear r, g, b. [H, W, 3]."""
    roughness: Array
    """Of the gloss. [H, W]."""


def paint_skin(looks: Looks, place: Array, facing: Array, marks: Array) -> Skin:
    """Paint a person's skin; the same looks give the same texture.

    Args:
        looks: whose.
        place: where each texel lies on the mean head, cm. [H, W, 3].
        facing: how far each texel's normal points out of the face, -1 to 1. [H, W].
        marks: the 68 landmarks of the mean head, cm. [68, 3].
    """
    rng = np.random.default_rng([looks.seed, 0])
    on = {name: _seen(drawn, place) for name, drawn in vars(draw_marks(looks, marks)).items()}
    front = np.clip((facing + 0.1) / 0.35, 0.0, 1.0)
    coarse = _noise(rng, place, 3.5) + 0.6 * _noise(rng, place, 1.1)
    fine = _fine(rng, place.shape[:2])
    melanin = looks.melanin * (1 + looks.patches * coarse + 0.10 * fine)
    melanin = melanin + front * (0.9 * on["spots"] + 0.25 * looks.age * on["rings"])
    lips = on["lips"] * front
    blood = looks.blood * (1 + looks.patches * (_noise(rng, place, 1.8) + 0.5 * fine))
    blood = blood + front * (looks.flush * on["flush"] + 0.2 * on["rings"] + 0.25 * on["lines"])
    blood = blood + looks.flush * 0.6 * _ears(place, marks) + lips * (1.0 + 0.15 * fine)
    melanin = melanin * (1 - 0.25 * lips) + 0.3 * front * on["lines"]
    albedo = pigmented(np.maximum(melanin, 0.0), np.maximum(blood, 0.0))
    albedo = _over(
        albedo, looks.lip_colour * (1 + 0.15 * fine[..., None]), looks.lip_opacity * lips
    )
    hair = looks.hair.colour
    albedo = _over(albedo, 0.8 * hair, 0.9 * on["stubble"] * np.clip(front + 0.35, 0, 1))
    albedo = _over(albedo, 0.5 * hair, 0.95 * on["brows"] * front)
    albedo = _over(albedo, _INK + 0.2 * hair, on["lids"] * front)
    if looks.hair.length > 0:
        scalp = np.clip(hairline(place, marks, looks.hair.line) / 0.6 + 0.4 * coarse, 0, 1)
        albedo = _over(albedo, hair * (1 + 0.2 * fine[..., None]), 0.92 * scalp)
    roughness = looks.roughness + 0.05 * coarse - 0.12 * lips - 0.06 * front * on["flush"]
    return Skin(
        np.clip(albedo, 0.004, 0.95).astype(np.float32),
        np.clip(roughness, 0.2, 0.8).astype(np.float32),
    )


def hairline(place: Array, marks: Array, line: float) -> Array:
    """Return how far a point lies above the hairline, about cm, negative on the face. [...].

    Args:
        place: on the mean head. [..., 3].
        marks: its 68 landmarks. [68, 3].
        line: how much higher than usual the line is, in heights of the face.
    """
    brow = float(marks[17:27, 1].mean())
    height = float(marks[8, 1]) - brow
    middle = float(marks[[0, 16], 2].mean()) + 1.0
    # 0 straight ahead, pi / 2 at the ears, pi at the nape.
    round_about = np.arctan2(np.abs(place[..., 0]), middle - place[..., 2])
    knots = np.array([0.0, 0.45, 0.80, 1.05, 1.45, 1.75, 2.1, np.pi])
    lines = np.array([0.40, 0.40, 0.30, 0.10, 0.05, 0.05, -0.60, -0.85])
    ahead = np.interp(knots, [0.0, 1.0, 1.4], [1.0, 0.8, 0.0])
    edge = brow - height * np.interp(round_about, knots, lines + line * ahead)
    return (edge - place[..., 1]).astype(np.float32)


def _over(below: Array, colour: Array, opacity: Array) -> Array:
    return below + np.clip(opacity, 0.0, 1.0)[..., None] * (colour - below)


def _seen(drawn: Array, place: Array) -> Array:
    """Return a drawing of the face as it lies on the texels. [H, W]."""
    x = (place[..., 0] - LEFT_TOP[0]) * PER_CM
    y = (place[..., 1] - LEFT_TOP[1]) * PER_CM
    seen = cv2.remap(drawn, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    return np.asarray(seen, np.float32)


def _noise(rng: np.random.Generator, place: Array, wavelength: float) -> Array:
    """Return noise of unit deviation between values on a lattice in space. [H, W]."""
    lattice = rng.standard_normal((_GRID, _GRID, _GRID)).astype(np.float32)
    at = np.moveaxis(place / wavelength, -1, 0) + np.float32(_GRID / 2)
    return 1.6 * map_coordinates(lattice, at, order=1, mode="grid-wrap", output=np.float32)


def _fine(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Return noise about a millimetre wide, of unit deviation. [H, W]."""
    white = rng.standard_normal(shape, dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), 1.0)
    return smooth / smooth.std()


def _ears(place: Array, marks: Array) -> Array:
    half = 0.5 * float(marks[16, 0] - marks[0, 0])
    out = np.clip((np.abs(place[..., 0]) - 1.02 * half) / 0.5, 0, 1)
    return out * (np.abs(place[..., 1] - marks[1, 1]) < 4.0)
