"""Colour and shape of one person: per-vertex material, and the head at rest."""

from __future__ import annotations

import numpy as np

from mien.synth.accessories import shape_glasses, shape_long_hair
from mien.synth.head_model import HeadModel, Part
from mien.synth.person import Person
from mien.synth.regions import Regions, smoothstep

__all__ = ["hair_cover", "paint", "resting_head"]

_TEETH = np.array([0.86, 0.82, 0.74], dtype=np.float32)
_GUMS = np.array([0.52, 0.22, 0.22], dtype=np.float32)
_MOUTH = np.array([0.28, 0.09, 0.08], dtype=np.float32)
# The neck disappears in a collar this far below the chin, cm.
_COLLAR_CM = 4.5


def resting_head(
    head: HeadModel, regions: Regions, person: Person, cover: np.ndarray
) -> np.ndarray:
    """Return the person's head without expression, hair raised from the scalp. float32 [V, 3].

    Args:
        head: The head model, whose frame it is in.
        regions: Of this head model.
        person: Whose head.
        cover: The person's `hair_cover`.
    """
    flat = head.identity.reshape(len(head.identity), -1)
    shape = head.neutral + (person.identity @ flat).reshape(-1, 3)
    if person.hair_style != "bald":
        waves = _noise(head.neutral, person.noise_waves[1] * np.float32(0.4))
        lift = person.hair_thickness * cover * (1.0 + 0.25 * waves)
        shape += lift[:, None] * regions.normals
    shape = shape.astype(np.float32)
    shape_long_hair(head, shape, person)
    shape_glasses(head, shape, person)
    return shape


def hair_cover(head: HeadModel, regions: Regions, person: Person) -> np.ndarray:
    """Return how much of the scalp's hair grows at each vertex, 0 to 1. float32 [V]."""
    if person.hair_style == "bald":
        return np.zeros(len(regions.scalp_height), dtype=np.float32)
    x = head.neutral[:, 0] / 7.0
    # A fringe falls over the middle and parts somewhere; temples may be bare.
    temple = np.exp(-(((np.abs(x) - 0.55) / 0.25) ** 2))
    parting = np.minimum(np.abs(x - person.hairline_part), 1.0)
    middle = np.exp(-((x / 0.9) ** 4))
    line = person.hairline * middle * (1.0 if person.hairline > 0 else 0.4 + 0.6 * parting)
    height = regions.scalp_height - line - person.receding * temple * (regions.normals[:, 2] < 0.3)
    height = height + 0.25 * _noise(head.neutral, person.noise_waves[1])
    return smoothstep(-0.15, 0.7, height) * (1.0 - regions.ear)


def paint(head: HeadModel, regions: Regions, person: Person, cover: np.ndarray) -> np.ndarray:
    """Return the material of every vertex; arguments as for `resting_head`.

    Returns:
        Albedo r g b, gloss, sharpness of the highlight. float32 [V, 5].
    """
    coarse = _noise(head.neutral, person.noise_waves[0])
    fine = _noise(head.neutral, person.noise_waves[1])
    albedo = _skin(head, regions, person, coarse, fine)
    gloss = np.full(len(albedo), person.shine, dtype=np.float32)
    gloss *= 1.0 + 1.2 * regions.lips + 0.4 * regions.cheek
    sharp = 0.25 * regions.lips

    _mix(albedo, _hair(person, head.neutral, fine), cover)
    gloss *= 1.0 - 0.5 * cover
    _mix(albedo, person.shirt, smoothstep(0.0, 0.3, _below_chin(head) - _COLLAR_CM + 0.4 * coarse))
    albedo *= (0.35 + 0.65 * smoothstep(0.05, 0.85, regions.occlusion))[:, None]

    _eyes(albedo, gloss, sharp, head, regions, person)
    _mouth(albedo, gloss, head)
    albedo[head.part == Part.GLASSES] = person.glasses_colour
    strands = head.part == Part.HAIR
    albedo[strands] = _hair(person, head.neutral[strands], fine[strands])
    gloss[strands] = 0.06
    material = np.empty((len(albedo), 5), dtype=np.float32)
    material[:, :3] = np.clip(albedo, 0.0, 1.0)
    material[:, 3], material[:, 4] = gloss, sharp
    return material


def _skin(
    head: HeadModel, regions: Regions, person: Person, coarse: np.ndarray, fine: np.ndarray
) -> np.ndarray:
    albedo = np.repeat(person.skin[None], len(head.neutral), axis=0)
    albedo *= (1.0 + person.blotches * (0.05 * coarse + 0.02 * fine))[:, None]
    grain = np.random.default_rng(person.pores).standard_normal(len(albedo), dtype=np.float32)
    albedo *= (1.0 + 0.03 * person.blotches * grain)[:, None]
    flush = person.redness * ((regions.cheek + 0.5 * regions.ear) * (0.75 + 0.25 * coarse))
    albedo *= 1.0 - flush[:, None] * np.array([0.02, 0.17, 0.15], dtype=np.float32)
    hollow = person.eye_rings * regions.under_eye
    albedo *= 1.0 - hollow[:, None] * np.array([0.24, 0.28, 0.22], dtype=np.float32)
    if person.freckles > 0.0:
        small = _noise(head.neutral, person.noise_waves[1] * np.float32(2.3))
        spots = smoothstep(0.6, 1.3, small) * np.sqrt(regions.cheek) * person.freckles
        albedo *= 1.0 - spots[:, None] * np.array([0.25, 0.40, 0.50], dtype=np.float32)
    _mix(albedo, person.lips, regions.lips * 0.9)
    growth = np.maximum(person.beard * regions.beard, person.moustache * regions.moustache)
    growth = np.clip(growth * (1.0 + 0.08 * fine + 0.15 * grain), 0.0, 1.0)
    _mix(albedo, 0.85 * person.hair + 0.15 * person.skin, growth)
    _mix(albedo, person.brow, _brows(regions, person, fine))
    _mix(albedo, albedo * 0.25, regions.lid * person.lashes)
    return albedo


def _brows(regions: Regions, person: Person, fine: np.ndarray) -> np.ndarray:
    along = regions.brow_along
    arch = person.brow_arch * np.sin(np.pi * np.clip(along, 0.0, 1.0))
    across = regions.brow_across - person.brow_height - arch
    width = person.brow_thickness * (1.0 - 0.65 * np.clip(along, 0.0, 1.0) ** 1.5)
    ends = smoothstep(-0.12, 0.06, along) * smoothstep(1.12, 0.95, along)
    body = smoothstep(1.35, 0.55, np.abs(across) / width)
    return person.brow_strength * body * ends * (1.0 + 0.12 * fine).clip(0.0, 1.0)


def _hair(person: Person, points: np.ndarray, fine: np.ndarray) -> np.ndarray:
    """Return the hair's colour: strands run from the crown down."""
    around = np.arctan2(points[:, 0], points[:, 2] - 1.0)
    phase = person.noise_waves[1, :2, 3]
    strand = np.sin(23.0 * around + phase[0]) + np.sin(41.0 * around + phase[1])
    return person.hair * (1.0 + 0.10 * strand + 0.08 * fine)[:, None]


def _eyes(
    albedo: np.ndarray,
    gloss: np.ndarray,
    sharp: np.ndarray,
    head: HeadModel,
    regions: Regions,
    person: Person,
) -> None:
    """Paint sclera, limbus, iris and pupil on both eyeballs, in place."""
    for vertices in head.eye_vertices:
        angle, roll = regions.iris_angle[vertices], regions.iris_roll[vertices]
        radius = person.iris_radius
        colour = np.repeat(person.sclera[None], len(vertices), axis=0)
        # Towards its border the white turns pink and dark: lids and sockets shade it.
        colour *= 1.0 - smoothstep(radius, 1.5, angle)[:, None] * np.array([0.30, 0.42, 0.42])
        rays = 1.0 + 0.15 * np.sin(9.0 * roll + person.noise_waves[0, 0, 3])
        inner = smoothstep(person.pupil * radius, radius, angle)
        iris = person.iris * (rays * (1.25 - 0.55 * inner))[:, None]
        _mix(colour, iris, smoothstep(radius + 0.025, radius - 0.025, angle))
        limbus = np.exp(-(((angle - radius) / 0.055) ** 2))
        _mix(colour, person.iris * 0.25, 0.8 * limbus)
        pupil = smoothstep(person.pupil * radius + 0.03, person.pupil * radius - 0.03, angle)
        _mix(colour, np.full(3, 0.02), pupil)
        albedo[vertices] = colour
        gloss[vertices], sharp[vertices] = 0.55, 1.0


def _mouth(albedo: np.ndarray, gloss: np.ndarray, head: HeadModel) -> None:
    """Paint teeth, gums, tongue and throat, darker the deeper they lie, in place."""
    lips_z = float(head.neutral[head.landmarks[[62, 66]], 2].mean())
    depth = head.neutral[:, 2] - lips_z
    for part, colour, reach, shine in (
        (Part.TEETH, _TEETH, 3.5, 0.25),
        (Part.GUMS, _GUMS, 3.0, 0.10),
        (Part.MOUTH, _MOUTH, 2.5, 0.02),
    ):
        where = head.part == part
        light = 0.10 + 0.90 * smoothstep(reach, 0.2, depth[where])
        albedo[where] = colour * light[:, None]
        gloss[where] = shine * light


def _below_chin(head: HeadModel) -> np.ndarray:
    chin = head.neutral[head.landmarks[8], 1]
    return np.where(head.part == Part.SKIN, head.neutral[:, 1] - chin, -99.0)


def _mix(albedo: np.ndarray, colour: np.ndarray, weight: np.ndarray) -> None:
    albedo += weight[:, None] * (colour - albedo)


def _noise(points: np.ndarray, waves: np.ndarray) -> np.ndarray:
    """Return a smooth random field of unit variance, about, at the points. float32 [V]."""
    phase = points @ waves[:, :3].T + waves[:, 3]
    return (np.sin(phase).sum(axis=1) * np.sqrt(2.0 / len(waves))).astype(np.float32)
