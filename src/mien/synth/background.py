"""What stands behind the head, and what the sensor does to the image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.kernels import add_stretched, blur

__all__ = ["Sensor", "expose", "sample_backgrounds", "sample_sensor"]

# Cells of the random fields that are added up, and how strong each is.
_OCTAVES = ((2, 0.30), (4, 0.16), (10, 0.08), (32, 0.03))
MAX_BOXES = 4


@dataclass(frozen=True)
class Sensor:
    """What happens to a clip's images after rendering."""

    noise: np.ndarray
    """Standard deviation of the noise. float32 [T]."""
    blur: np.ndarray
    """Standard deviation of the blur as a fraction of the image's side; 0 = none. float32 [T]."""
    grey: bool
    noise_seed: int


def sample_backgrounds(
    rng: np.random.Generator, frames: int, size: int, *, steady: bool
) -> np.ndarray:
    """Sample soft gradients, blobs and boxes, colours in [0, 1]. float32 [T, S, S, 3].

    Args:
        rng: Source of all choices.
        frames: T.
        size: Side of the images, pixels.
        steady: Whether all frames share one background.
    """
    images = [_background(rng, size) for _ in range(1 if steady else frames)]
    stacked = np.stack(images)
    return np.repeat(stacked, frames, axis=0) if steady else stacked


def _background(rng: np.random.Generator, size: int) -> np.ndarray:
    image = np.empty((size, size, 3), dtype=np.float32)
    image[:] = rng.uniform(0.08, 0.9) + 0.07 * rng.standard_normal(3)
    strength = rng.uniform(0.2, 1.3)
    for cells, amplitude in _OCTAVES:
        field = rng.standard_normal((cells, cells, 3)).astype(np.float32)
        # Mostly light and dark, some colour.
        field = 1.5 * field.mean(axis=2, keepdims=True) + 0.2 * field
        add_stretched(image, field * np.float32(strength * amplitude))
    for _ in range(int(rng.integers(0, MAX_BOXES + 1))):
        x0, y0 = rng.integers(-size // 2, size, 2)
        width, height = rng.integers(size // 10, size, 2)
        box = image[max(y0, 0) : max(y0 + height, 0), max(x0, 0) : max(x0 + width, 0)]
        colour = rng.uniform(0.0, 1.0) + 0.12 * rng.standard_normal(3)
        box += np.float32(rng.uniform(0.3, 0.9)) * (colour.astype(np.float32) - box)
    return np.clip(image, 0.0, 1.0)


def sample_sensor(rng: np.random.Generator, frames: int) -> Sensor:
    """Sample noise and blur for each frame, and whether the clip is grey."""
    noisy = rng.uniform(0.0, 0.025) * rng.uniform(0.5, 1.0, frames)
    blurred = (rng.random(frames) < 0.3) * rng.uniform(0.003, 0.012, frames)
    return Sensor(
        noise=noisy.astype(np.float32),
        blur=blurred.astype(np.float32),
        grey=bool(rng.random() < 0.15),
        noise_seed=int(rng.integers(2**31)),
    )


def expose(images: np.ndarray, sensor: Sensor) -> np.ndarray:
    """Blur, add noise, take the colour away if asked, and round to bytes. uint8 [T, 3, S, S].

    Args:
        images: Colours in [0, 1], float32 [T, S, S, 3].
        sensor: What is to happen to each frame.
    """
    images = images.copy()
    for frame in np.flatnonzero(sensor.blur > 0.0):
        blur(images[frame], float(sensor.blur[frame]) * images.shape[1])
    if sensor.grey:
        luma = images @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
        images[:] = luma[..., None]
    rng = np.random.default_rng(sensor.noise_seed)
    shape = (*images.shape[:3], 1) if sensor.grey else images.shape
    noise = rng.standard_normal(shape, dtype=np.float32)
    images += noise * sensor.noise[:, None, None, None]
    bytes_ = (np.clip(images, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(bytes_.transpose(0, 3, 1, 2))
