"""Who is in a clip: identity coefficients and appearance, constant over its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Person", "sample_glasses_colour", "sample_glasses_shape", "sample_person"]

# Skin colours (sRGB) from fair to dark; every shade between two neighbours occurs too.
SKIN_TONES = np.array(
    [
        [0.93, 0.77, 0.69],
        [0.88, 0.69, 0.58],
        [0.80, 0.62, 0.51],
        [0.70, 0.53, 0.42],
        [0.57, 0.41, 0.32],
        [0.45, 0.32, 0.25],
    ],
    dtype=np.float32,
)
HAIR_COLOURS = np.array(
    [
        [0.06, 0.05, 0.05],
        [0.14, 0.09, 0.06],
        [0.28, 0.18, 0.11],
        [0.45, 0.22, 0.11],
        [0.66, 0.50, 0.28],
        [0.55, 0.53, 0.51],
        [0.82, 0.80, 0.76],
    ],
    dtype=np.float32,
)
IRIS_COLOURS = np.array(
    [
        [0.20, 0.11, 0.06],
        [0.33, 0.20, 0.10],
        [0.40, 0.36, 0.18],
        [0.35, 0.45, 0.30],
        [0.35, 0.50, 0.62],
        [0.50, 0.55, 0.58],
    ],
    dtype=np.float32,
)
# Chance of hair and iris colours: on the fairest skin, on the darkest.
_HAIR_ODDS = np.array(
    [[0.10, 0.20, 0.25, 0.10, 0.20, 0.10, 0.05], [0.78, 0.08, 0.02, 0.0, 0.0, 0.08, 0.04]]
)
_IRIS_ODDS = np.array([[0.10, 0.20, 0.15, 0.15, 0.30, 0.10], [0.80, 0.18, 0.02, 0.0, 0.0, 0.0]])
NOISE_WAVES = 6


@dataclass(frozen=True)
class Person:
    """Identity coefficients and appearance; colours are sRGB in [0, 1], lengths cm."""

    identity: np.ndarray
    """Coefficients of the head model, standard normal, clipped at 2.5. float32 [K]."""
    skin: np.ndarray
    redness: float
    """How much redder cheeks, nose and ears are, about 0 to 1."""
    eye_rings: float
    """How dark the hollows under the eyes are, 0 to 1."""
    freckles: float
    """Strength of fine brown spots, 0 to 1."""
    blotches: float
    """Strength of the skin's low-frequency unevenness, 0 to 1."""
    shine: float
    lips: np.ndarray
    hair: np.ndarray
    hair_style: str
    """bald, short or long."""
    hair_thickness: float
    hair_length: float
    """How far long hair falls below the brows."""
    hairline: float
    """Hairline's height above the mean one; negative is a fringe."""
    hairline_part: float
    """Where the fringe parts, in -1 (image's left) to 1."""
    receding: float
    """How far the hair recedes at the temples."""
    brow: np.ndarray
    brow_thickness: float
    brow_strength: float
    brow_height: float
    """Shift of the brows on the skin; positive is up."""
    brow_arch: float
    beard: float
    """Opacity of the beard's shade, 0 to 1."""
    moustache: float
    iris: np.ndarray
    iris_radius: float
    """Angle of the limbus from the pupil's axis, radians."""
    pupil: float
    """Radius of the pupil as a fraction of the iris."""
    sclera: np.ndarray
    lashes: float
    """How dark the borders of the lids are, 0 to 1."""
    shirt: np.ndarray
    glasses: bool
    glasses_shape: np.ndarray
    """Half width, half height, squareness and width of the frame. float32 [4]."""
    glasses_colour: np.ndarray
    pores: int
    """Seed of the finest unevenness of the skin."""
    noise_waves: np.ndarray
    """Direction (per cm) and phase of the waves behind skin and hair noise. float32 [2, W, 4]."""


def sample_person(rng: np.random.Generator, identity_count: int) -> Person:
    """Sample a person; the same state of `rng` gives the same one.

    Args:
        rng: Source of all choices.
        identity_count: Number of the head model's identity coefficients.
    """
    identity = np.clip(rng.standard_normal(identity_count), -2.5, 2.5).astype(np.float32)
    tone = rng.beta(0.9, 1.1)
    skin = _blend(SKIN_TONES, tone * (len(SKIN_TONES) - 1))
    skin = np.clip(skin * (1.0 + 0.025 * rng.standard_normal(3)), 0.05, 0.97).astype(np.float32)
    hair = _pick(rng, HAIR_COLOURS, _HAIR_ODDS, tone, std=0.15)
    bearded = bool(rng.random() < 0.33)
    long_hair = rng.random() < (0.05 if bearded else 0.5)
    style = "bald" if rng.random() < 0.08 else "long" if long_hair else "short"
    brow_mix = rng.uniform(0.5, 1.0)
    lip_red = np.array([0.70, 0.25, 0.27]) if rng.random() < 0.2 else skin * [0.84, 0.58, 0.58]
    lips = 0.25 * skin + 0.75 * lip_red if not bearded else skin * [0.88, 0.66, 0.65]
    return Person(
        identity=identity,
        skin=skin,
        redness=float(rng.uniform(0.1, 0.9) * (1.0 - 0.6 * tone)),
        eye_rings=float(rng.uniform(0.0, 0.7)),
        freckles=float(rng.uniform(0.2, 0.8) if rng.random() < 0.25 * (1.0 - tone) else 0.0),
        blotches=float(rng.uniform(0.1, 0.6)),
        shine=float(rng.uniform(0.02, 0.22)),
        lips=np.clip(lips * (1.0 + 0.05 * rng.standard_normal(3)), 0.05, 0.95).astype(np.float32),
        hair=hair,
        hair_style=style,
        hair_thickness=float(rng.uniform(0.15, 1.1) if style == "short" else rng.uniform(0.5, 1.2)),
        hair_length=float(rng.uniform(12.0, 24.0)),
        hairline=float(rng.normal(0.0, 0.5) if rng.random() < 0.65 else rng.uniform(-3.5, -0.8)),
        hairline_part=float(rng.uniform(-1.0, 1.0)),
        receding=float(rng.uniform(0.5, 3.0) if style == "short" and rng.random() < 0.25 else 0.0),
        brow=(brow_mix * hair * 0.8 + (1.0 - brow_mix) * skin * 0.5).astype(np.float32),
        brow_thickness=float(rng.uniform(0.22, 0.55) + 0.12 * bearded),
        brow_strength=float(rng.uniform(0.45, 0.95)),
        brow_height=float(rng.normal(-0.2, 0.15)),
        brow_arch=float(rng.normal(0.1, 0.2)),
        beard=float(rng.choice([rng.uniform(0.1, 0.35), rng.uniform(0.5, 0.95)]) * bearded),
        moustache=float(rng.uniform(0.3, 0.95) if rng.random() < (0.6 if bearded else 0.03) else 0),
        iris=_pick(rng, IRIS_COLOURS, _IRIS_ODDS, tone, std=0.12),
        iris_radius=float(rng.uniform(0.43, 0.50)),
        pupil=float(rng.uniform(0.32, 0.55)),
        sclera=np.clip([0.90, 0.87, 0.85] + 0.03 * rng.standard_normal(3), 0, 1).astype(np.float32),
        lashes=float(rng.uniform(0.1, 0.5) if bearded else rng.uniform(0.2, 1.0)),
        shirt=rng.uniform(0.05, 0.9, 3).astype(np.float32),
        glasses=bool(rng.random() < 0.12),
        glasses_shape=sample_glasses_shape(rng),
        glasses_colour=sample_glasses_colour(rng),
        pores=int(rng.integers(2**31)),
        noise_waves=_waves(rng),
    )


def sample_glasses_shape(rng: np.random.Generator) -> np.ndarray:
    """Return a `Person.glasses_shape`. float32 [4]."""
    return rng.uniform([2.1, 1.6, 0.0, 0.12], [2.9, 2.3, 1.0, 0.35]).astype(np.float32)


def sample_glasses_colour(rng: np.random.Generator) -> np.ndarray:
    """Return a frame's albedo r g b in [0, 1]. float32 [3]."""
    return (rng.uniform(0.03, 0.6) * rng.uniform(0.6, 1.0, 3)).astype(np.float32)


def _blend(table: np.ndarray, place: float) -> np.ndarray:
    low = min(int(place), len(table) - 2)
    return table[low] + (place - low) * (table[low + 1] - table[low])


def _pick(
    rng: np.random.Generator, table: np.ndarray, odds: np.ndarray, tone: float, std: float
) -> np.ndarray:
    """Pick a colour, with odds between those of fair (tone 0) and dark (tone 1) skin."""
    mixed = odds[0] ** (1.0 - tone) * np.maximum(odds[1], 1e-3) ** tone
    row = table[rng.choice(len(table), p=mixed / mixed.sum())]
    # Lighter or darker, hardly another hue: nobody's hair is violet.
    factor = (1.0 + std * rng.standard_normal()) * (1.0 + 0.03 * rng.standard_normal(3))
    return np.clip(row * factor, 0.01, 0.95).astype(np.float32)


def _waves(rng: np.random.Generator) -> np.ndarray:
    """Return random plane waves: a coarse set (about 5 cm) and a fine set (about 1 cm)."""
    waves = np.empty((2, NOISE_WAVES, 4), dtype=np.float32)
    for row, per_cm in enumerate((1.1, 5.5)):
        direction = rng.standard_normal((NOISE_WAVES, 3))
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        waves[row, :, :3] = direction * per_cm * rng.uniform(0.6, 1.6, (NOISE_WAVES, 1))
        waves[row, :, 3] = rng.uniform(0.0, 2.0 * np.pi, NOISE_WAVES)
    return waves
