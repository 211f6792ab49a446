"""What changes from frame to frame: expression, head pose, gaze, light, framing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.expression import EXPRESSIONS, sample_expression_weights
from mien.synth.head_model import HeadModel

__all__ = ["Frames", "angles_of", "direction_of", "rotation_matrix", "sample_frames"]

YAW_STD_DEG, YAW_LIMIT_DEG = 20.0, 45.0
PITCH_STD_DEG, PITCH_LIMIT_DEG = 10.0, 25.0
ROLL_STD_DEG, ROLL_LIMIT_DEG = 6.0, 20.0
FRONTAL_YAW_DEG, FRONTAL_PITCH_DEG = 8.0, 6.0
GAZE_STD_DEG, GAZE_LIMIT_DEG = 11.0, 25.0
# Rotation of the eye at which an eyeLook shape has weight 1.
LID_FULL_DEG = 30.0
FIELD_OF_VIEW_DEG = (8.0, 14.0)
STEADY_LIGHT_CHANCE, LOOKS_AT_CAMERA_CHANCE = 0.5, 0.3


@dataclass(frozen=True)
class Frames:
    """The plan of a clip's frames, before anything is rendered; T frames lead every array."""

    expression: np.ndarray
    """Index into EXPRESSIONS. int64 [T]."""
    expression_weights: np.ndarray
    """Expression shape weights, eyeLook shapes included. float32 [T, E]."""
    rotation: np.ndarray
    """Head frame -> camera frame. float32 [T, 3, 3]."""
    angles: np.ndarray
    """yaw, pitch, roll, radians. float32 [T, 3]."""
    eye_rotation: np.ndarray
    """Rotation of the eyeballs in the head frame. float32 [T, 3, 3]."""
    gaze: np.ndarray
    """Unit gaze direction, camera frame. float32 [T, 3]."""
    ambient: np.ndarray
    """float32 [T]."""
    diffuse: np.ndarray
    """float32 [T]."""
    light: np.ndarray
    """Unit direction towards the light, camera frame. float32 [T, 3]."""
    light_colour: np.ndarray
    """Tint of the ambient and the diffuse light, mean 1. float32 [T, 2, 3]."""
    scale: np.ndarray
    """Side of the crop relative to the usual one. float32 [T]."""
    shift: np.ndarray
    """Shift of the face in the crop, fraction of its side, right and down. float32 [T, 2]."""
    field_of_view: np.ndarray
    """Radians. float32 [T]."""

    @property
    def yaw(self) -> np.ndarray:
        """Return the first of the angles; pitch and roll likewise. Radians [T]."""
        return self.angles[:, 0]

    @property
    def pitch(self) -> np.ndarray:
        return self.angles[:, 1]

    @property
    def roll(self) -> np.ndarray:
        return self.angles[:, 2]

    def __len__(self) -> int:
        return len(self.expression)


def rotation_matrix(
    yaw: np.ndarray | float, pitch: np.ndarray | float, roll: np.ndarray | float
) -> np.ndarray:
    """Return Ry(yaw) Rx(-pitch) Rz(roll) for angles in radians. [..., 3, 3].

    In NumPy's double precision, not `mien.geometry`'s torch: a seed's images stay the same bits.
    """
    angles = np.broadcast_arrays(yaw, pitch, roll)
    shape = angles[0].shape
    zero, one = np.zeros(shape), np.ones(shape)

    def stack(*entries: np.ndarray) -> np.ndarray:
        return np.stack(entries, axis=-1).reshape(*shape, 3, 3)

    cy, sy, cp, sp, cr, sr = (
        f(a) for a in (angles[0], -angles[1], angles[2]) for f in (np.cos, np.sin)
    )
    about_y = stack(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_x = stack(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_z = stack(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_y @ about_x @ about_z


def direction_of(yaw: np.ndarray | float, pitch: np.ndarray | float) -> np.ndarray:
    """Return the unit direction with these angles: pitch = asin(-y), yaw = atan2(-x, -z)."""
    return np.stack(
        [-np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw) * np.cos(pitch)], axis=-1
    )


def angles_of(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return yaw and pitch, radians, of unit directions [..., 3]."""
    x, y, z = np.moveaxis(direction, -1, 0)
    return np.arctan2(-x, -z), np.arcsin(np.clip(-y, -1.0, 1.0))


def sample_frames(
    rng: np.random.Generator,
    head: HeadModel,
    expressions: np.ndarray,
    *,
    wide_gaze: bool = False,
    light: str = "natural",
) -> Frames:
    """Sample the frames of one clip, of which at least one looks nearly straight ahead.

    Args:
        rng: Source of all choices.
        head: Gives the names of the expression shapes.
        expressions: Index into `EXPRESSIONS` for each frame, int [T].
        wide_gaze: Let the eyes look anywhere within their limits, all directions alike, in place
            of mostly ahead and often at the camera.
        light: `natural`: half of the clips keep their lamp; `changing`: every frame has its own;
            `hard`: likewise, and what the lamp does not reach may be nearly black.
    """
    count = len(expressions)
    if len(expressions) and not 0 <= int(expressions.min()) <= int(expressions.max()) < len(
        EXPRESSIONS
    ):
        raise ValueError(f"expressions are 0 to {len(EXPRESSIONS) - 1}")
    names = head.expression_names
    weights = np.stack([sample_expression_weights(rng, int(e), names) for e in expressions])
    angles = _head_angles(rng, count)
    rotation = rotation_matrix(angles[:, 0], angles[:, 1], angles[:, 2])
    eye_angles = _wide_angles(rng, count) if wide_gaze else _eye_angles(rng, rotation)
    _move_lids(weights, names, eye_angles)
    eye_rotation = rotation_matrix(eye_angles[:, 0], eye_angles[:, 1], np.zeros(count))
    forward = direction_of(eye_angles[:, 0], eye_angles[:, 1])
    ambient, diffuse, direction, colour = _lights(rng, count, light)
    low, high = np.deg2rad(FIELD_OF_VIEW_DEG)

    def single(values: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(values, dtype=np.float32)

    return Frames(
        expression=np.asarray(expressions, dtype=np.int64),
        expression_weights=weights,
        rotation=single(rotation),
        angles=single(angles),
        eye_rotation=single(eye_rotation),
        gaze=single(np.einsum("tij,tj->ti", rotation, forward)),
        ambient=single(ambient),
        diffuse=single(diffuse),
        light=single(direction),
        light_colour=single(colour),
        scale=single(1.0 + rng.uniform(-0.08, 0.08, count)),
        shift=single(rng.uniform(-0.04, 0.04, (count, 2))),
        field_of_view=single(rng.uniform(low, high, count)),
    )


def _head_angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return yaw, pitch, roll in radians; one frame of the clip is nearly frontal. [T, 3]."""
    std = np.array([YAW_STD_DEG, PITCH_STD_DEG, ROLL_STD_DEG])
    limit = np.array([YAW_LIMIT_DEG, PITCH_LIMIT_DEG, ROLL_LIMIT_DEG])
    angles = np.clip(rng.standard_normal((count, 3)) * std, -limit, limit)
    frontal = int(rng.integers(count)) if count else 0
    bound = np.array([FRONTAL_YAW_DEG, FRONTAL_PITCH_DEG, ROLL_LIMIT_DEG])
    angles[frontal : frontal + 1] = np.clip(angles[frontal : frontal + 1], -bound, bound)
    return np.deg2rad(angles)


def _eye_angles(rng: np.random.Generator, rotation: np.ndarray) -> np.ndarray:
    """Return the eyes' yaw and pitch in the head frame, radians. [T, 2]."""
    count, limit = len(rotation), np.deg2rad(GAZE_LIMIT_DEG)
    angles = rng.standard_normal((count, 2)) * np.deg2rad([GAZE_STD_DEG, 0.7 * GAZE_STD_DEG])
    to_camera = np.einsum("tji,j->ti", rotation, np.array([0.0, 0.0, -1.0]))
    at_camera = np.stack(angles_of(to_camera), axis=1)
    at_lens = rng.random(count) < LOOKS_AT_CAMERA_CHANCE
    angles = np.where(at_lens[:, None], at_camera + 0.2 * angles, angles)
    return np.clip(angles, -limit, limit)


def _wide_angles(rng: np.random.Generator, count: int) -> np.ndarray:
    """Return the eyes' yaw and pitch in the head frame, radians. [T, 2]."""
    limit = np.deg2rad(GAZE_LIMIT_DEG)
    return rng.uniform(-limit, limit, (count, 2))


def _move_lids(weights: np.ndarray, names: tuple[str, ...], eye_angles: np.ndarray) -> None:
    """Set the eyeLook shapes, which carry the lids along with the eyes, in place."""
    angle = eye_angles / np.deg2rad(LID_FULL_DEG)
    to_left, up = angle[:, 0], angle[:, 1]
    wanted = {
        "eyeLookUp_L": up,
        "eyeLookUp_R": up,
        "eyeLookDown_L": -up,
        "eyeLookDown_R": -up,
        # The person's left eye stands on the right of the image: image-left is towards the nose.
        "eyeLookIn_L": to_left,
        "eyeLookOut_L": -to_left,
        "eyeLookOut_R": to_left,
        "eyeLookIn_R": -to_left,
    }
    for name, value in wanted.items():
        if name in names:
            weights[:, names.index(name)] = np.maximum(value, 0.0)


def _lights(
    rng: np.random.Generator, count: int, kind: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return ambient [T], diffuse [T], direction [T, 3] and tints [T, 2, 3]."""
    direction = rng.standard_normal((count, 3))
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    # The whole front hemisphere, though more often from above and hardly ever from the side.
    direction[:, 2] = -np.abs(direction[:, 2]) - 0.15
    upwards = rng.random(count) < 0.5
    direction[:, 1] = np.where(upwards, -np.abs(direction[:, 1]), direction[:, 1])
    direction /= np.linalg.norm(direction, axis=1, keepdims=True)
    ambient = rng.uniform(0.3, 0.7, count)
    diffuse = rng.uniform(0.3, 0.8, count)
    if kind == "hard":
        # Dark rooms are photographed with more exposure: what leaves the one goes to the other.
        lit = 1.7 * (ambient - 0.3)
        diffuse, ambient = diffuse + 0.5 * (ambient - lit), lit
    # Brighter than this and fair skin burns out.
    diffuse = np.minimum(diffuse, 1.2 - ambient)
    # Lamps differ from warm to cool, hardly from green to pink.
    warm = np.array([1.0, 0.0, -1.0]) * rng.standard_normal((count, 2, 1))
    colour = 1.0 + 0.05 * warm + 0.012 * rng.standard_normal((count, 2, 3))
    colour /= colour.mean(axis=2, keepdims=True)
    steady = rng.random() < STEADY_LIGHT_CHANCE
    if steady and kind == "natural":
        first = np.zeros(count, dtype=np.int64)
        return ambient[first], diffuse[first], direction[first], colour[first]
    return ambient, diffuse, direction, colour
