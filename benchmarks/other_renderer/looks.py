"""How a person looks, by chance: pigments, marks, hair and eyes, unlike those of `mien.synth`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["HairStyle", "Looks", "pigmented", "sample_looks"]

Array = NDArray[np.floating]

# Light that is left after one unit of melanin, and of blood: optical densities of r, g, b.
_MELANIN = np.array([0.42, 0.58, 0.72], np.float32)
_BLOOD = np.array([0.08, 0.50, 0.42], np.float32)
_BARE = np.array([0.84, 0.62, 0.47], np.float32)
"""Skin without either. Linear r, g, b."""


@dataclass(frozen=True)
class HairStyle:
    """Hair of one head; lengths in cm."""

    colour: Array
    """Linear r, g, b. [3]."""
    length: float
    """0 where the head is bald."""
    lift: float
    """How far strands stand off the scalp, 0 to 1."""
    curl: float
    """Radius of the curls."""
    line: float
    """How much higher than usual the hairline is, in heights of the face."""
    parting: float
    """Where it is parted, -1 (image's left) to 1."""
    forward: float
    """How far strands are combed into the forehead, -1 (back) to 1."""
    width: float
    """Of a strand."""


@dataclass(frozen=True)
class Looks:
    """Appearance of one person."""

    melanin: float
    """0.05 (fairest) to 3 (darkest)."""
    blood: float
    flush: float
    """Further blood on cheeks, nose and ears."""
    patches: float
    """Unevenness of both pigments."""
    freckles: int
    """Number of small dark spots."""
    moles: int
    lip_colour: Array
    """What is put on the lips, linear; their own blood where its opacity is 0. [3]."""
    lip_opacity: float
    age: float
    """Strength of wrinkles and rings under the eyes, 0 to 1."""
    stubble: float
    """Density of hairs on chin and cheeks, 0 to 1."""
    moustache: float
    brow_width: float
    """Cm."""
    brow_density: float
    brow_lift: float
    """Cm above the usual line."""
    brow_slope: float
    liner: float
    """Opacity of the line along the upper lid."""
    roughness: float
    specular: float
    iris: Array
    """Linear r, g, b. [3]."""
    iris_rad: float
    """Angle of the limbus from the pupil's axis."""
    pupil: float
    """Radius of the pupil as a fraction of the iris."""
    hair: HairStyle
    cloth: Array
    """Linear r, g, b. [3]."""
    seed: int
    """Of all finer patterns."""


def pigmented(melanin: NDArray[np.floating], blood: NDArray[np.floating]) -> Array:
    """Return the colour of skin with these pigments, linear r, g, b. [..., 3]."""
    density = melanin[..., None] * _MELANIN + blood[..., None] * _BLOOD
    return (_BARE * np.exp(-density)).astype(np.float32)


def sample_looks(rng: np.random.Generator) -> Looks:
    """Draw one person's appearance."""
    melanin = float(rng.beta(0.9, 2.1) * 2.9 + 0.05)
    male = bool(rng.random() < 0.5)
    painted = not male and rng.random() < 0.4
    bearded = male and rng.random() < 0.55
    return Looks(
        melanin=melanin,
        blood=float(rng.uniform(0.3, 0.9)),
        flush=float(rng.uniform(0.0, 0.55)),
        patches=float(rng.uniform(0.04, 0.16)),
        freckles=int(rng.integers(60, 400)) if rng.random() < 0.3 else int(rng.integers(0, 12)),
        moles=int(rng.poisson(2.0)),
        lip_colour=(rng.uniform([0.2, 0.01, 0.03], [0.55, 0.10, 0.16])).astype(np.float32),
        lip_opacity=float(rng.uniform(0.3, 0.9)) if painted else 0.0,
        age=float(rng.uniform(0.0, 1.0) ** 1.5),
        stubble=float(rng.uniform(0.15, 1.0)) if bearded else 0.0,
        moustache=float(rng.uniform(0.2, 1.0)) if bearded and rng.random() < 0.8 else 0.0,
        brow_width=float(rng.uniform(0.35, 0.95) + 0.15 * male),
        brow_density=float(rng.uniform(0.3, 1.0)),
        brow_lift=float(rng.normal(0.05, 0.14)),
        brow_slope=float(rng.normal(0.0, 0.14)),
        liner=float(rng.uniform(0.3, 1.0)) if painted else float(rng.uniform(0.1, 0.5)),
        roughness=float(rng.uniform(0.33, 0.6)),
        specular=float(rng.uniform(0.25, 0.6)),
        iris=_iris(rng, melanin),
        iris_rad=float(rng.uniform(0.41, 0.48)),
        pupil=float(rng.uniform(0.25, 0.55)),
        hair=_hair(rng, melanin, male=male),
        cloth=(rng.uniform(0.02, 0.7) * rng.uniform(0.3, 1.0, 3)).astype(np.float32),
        seed=int(rng.integers(2**31)),
    )


def _iris(rng: np.random.Generator, melanin: float) -> Array:
    """Return brown, the more surely the darker the skin, else green to blue."""
    if rng.random() < 0.25 + 0.6 * min(melanin, 1.2):
        base = rng.uniform(0.4, 1.4) * np.array([0.11, 0.045, 0.015])
    else:
        mix = rng.random()
        base = (1 - mix) * np.array([0.10, 0.12, 0.05]) + mix * np.array([0.10, 0.18, 0.28])
        base = base * rng.uniform(0.7, 1.6)
    return base.astype(np.float32)


def _hair(rng: np.random.Generator, melanin: float, *, male: bool) -> HairStyle:
    """Return hair by its melanins: brown-black one and red one; grey where both have gone."""
    black = float(rng.gamma(2.0, 0.9) + 0.8 * melanin)
    red = float(rng.uniform(0.2, 1.0))
    grey = float(rng.uniform(0.3, 1.0)) if rng.random() < 0.15 else 0.0
    colour = np.array([0.62, 0.50, 0.36]) * np.exp(
        -black * np.array([0.55, 0.75, 0.95]) - red * np.array([0.1, 0.5, 0.9])
    )
    colour = (1 - grey) * (colour + 0.006) + grey * rng.uniform(0.25, 0.6) * np.array(
        [1.0, 0.93, 0.84]
    )
    kind = rng.random()
    if male:
        length = 0.0 if kind < 0.12 else rng.uniform(0.5, 3.0) if kind < 0.75 else rng.uniform(3, 9)
    else:
        length = rng.uniform(2.0, 6.0) if kind < 0.25 else rng.uniform(9.0, 26.0)
    curly = rng.random() < 0.15 + 0.2 * min(melanin, 2.5)
    return HairStyle(
        colour=colour.astype(np.float32),
        length=float(length),
        lift=float(rng.uniform(0.15, 0.9)),
        curl=float(rng.uniform(0.25, 0.8)) if curly else float(rng.uniform(0.0, 0.12)),
        line=float(rng.normal(0.0, 0.05) + (0.12 * rng.random() if male else 0.0)),
        parting=float(rng.uniform(-0.8, 0.8)),
        forward=float(rng.uniform(-1.0, 0.9 if length < 4.0 else -0.1)),
        width=float(rng.uniform(0.2, 0.42)),
    )
