"""From a rendered image to a photograph: smoother, before a background, exposed, with noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["photographed", "smoothed"]

EXPOSED = 0.27
"""Median light of a face in the photograph, linear."""
SPREAD, SPREAD_NORMALS = 0.02, 0.15
"""Of the smoothing: how near pixels, in sides of the image, and their normals must be."""

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]


def smoothed(light: Array, albedo: Array, normals: Array) -> Array:
    """Return a path tracer's image with less noise, its texture as sharp as it was. [S, S, 3].

    What falls onto surfaces is averaged over pixels whose normals are alike, rows first, then
    columns.

    Args:
        light: linear r, g, b. [S, S, 3].
        albedo: of what is seen. [S, S, 3].
        normals: of what is seen. [S, S, 3].
    """
    base = albedo + np.float32(0.04)
    falling = light / base
    falling = np.minimum(falling, 2.0 * cv2.medianBlur(falling, 3) + 0.02)
    spread = SPREAD * len(light)
    for axis in (1, 0):
        total, weights = falling.copy(), np.ones_like(falling[..., :1])
        for step in range(1, round(2 * spread) + 1):
            near = np.float32(np.exp(-(step**2) / (2 * spread**2)))
            here, there = _shifted(axis, step)
            unlike = ((normals[here] - normals[there]) ** 2).sum(axis=2, keepdims=True)
            alike = near * np.exp(-unlike / np.float32(2 * SPREAD_NORMALS**2))
            total[here] += alike * falling[there]
            weights[here] += alike
            total[there] += alike * falling[here]
            weights[there] += alike
        falling = total / weights
    return falling * base


def _shifted(axis: int, step: int) -> tuple[tuple[slice, ...], tuple[slice, ...]]:
    """Return all pixels but the last `step` along an axis, and their partners that far on."""
    whole = slice(None)
    here, there = slice(None, -step), slice(step, None)
    return ((here, whole), (there, whole)) if axis == 0 else ((whole, here), (whole, there))


def _backdrop(rng: np.random.Generator, size: int) -> Array:
    """Return a blurred background, linear. [S, S, 3]."""
    small = rng.uniform(0.02, 0.7) * rng.uniform(0.5, 1.0, (5, 5, 3)) ** rng.uniform(0.3, 3.0)
    image = cv2.resize(small.astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC)
    for _ in range(int(rng.integers(0, 7))):
        place = rng.integers(0, size, 2).tolist()
        colour = (rng.uniform(0.02, 1.2) * rng.uniform(0.4, 1.0, 3)).tolist()
        if rng.random() < 0.5:
            cv2.circle(image, place, int(rng.integers(size // 20, size // 5)), colour, -1)
        else:
            corner = rng.integers(0, size, 2).tolist()
            cv2.rectangle(image, place, corner, colour, -1)
    return np.maximum(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 0.06 * size)), 0.0)


def photographed(rng: np.random.Generator, light: Array, opacity: Array) -> Pixels:
    """Return the photograph of what was rendered, before a background. uint8 [S, S, 3].

    Args:
        rng: of exposure, background and noise.
        light: linear r, g, b times opacity. [S, S, 3].
        opacity: of what was rendered. [S, S, 1].
    """
    opacity = np.clip(opacity, 0.0, 1.0)
    size = len(light)
    quarter = slice(size // 4, 3 * size // 4)
    seen = light[quarter, quarter].mean(axis=2)[opacity[quarter, quarter, 0] > 0.5]
    wanted = EXPOSED * float(np.exp(0.22 * rng.standard_normal()))
    gain = (wanted / max(float(np.median(seen)) if seen.size else wanted, 1e-4)) ** 0.55
    linear = gain * light + (1 - opacity) * _backdrop(rng, size)
    # A camera's curve: straight in the shadows, bending before it is full.
    bent = np.clip(linear, 0, None) * (1 + linear / 6.0) / (1 + 0.55 * linear)
    bent = cv2.GaussianBlur(bent, (0, 0), rng.uniform(0.3, 0.7))
    noise = rng.standard_normal(bent.shape, dtype=np.float32)
    bent = bent + noise * np.float32(rng.uniform(0.002, 0.012)) * np.sqrt(bent + 0.01)
    bent = np.clip(bent, 0.0, 1.0)
    encoded = np.where(bent < 0.0031308, 12.92 * bent, 1.055 * bent ** (1 / 2.4) - 0.055)
    return np.round(255 * encoded).astype(np.uint8)
