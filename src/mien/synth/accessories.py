"""Long hair and glasses: thin sheets that are bound to a head model's skin."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from mien.synth.head_model import HeadModel, Part
from mien.synth.person import Person

__all__ = [
    "RIM_STEPS",
    "glasses_points",
    "glasses_triangles",
    "lens_triangles",
    "shape_glasses",
    "shape_long_hair",
    "with_accessories",
    "worn_triangles",
]

# Long hair is a curtain around the back of the head: columns from temple to temple, rows down.
HAIR_COLUMNS, HAIR_ROWS = 49, 25
# How far the unshaped curtain falls below the brows.
CURTAIN_CM = 18.0
# Each rim is a closed band of two rings; a bridge and two arms join them to the ears.
RIM_STEPS = 24
_ARM_HEIGHT, _BRIDGE_HEIGHT = 0.35, 0.3
_BRIDGE_AND_ARMS = 3
_MEAN_FORM = np.array([2.5, 2.0, 0.5, 0.2], dtype=np.float32)


def with_accessories(head: HeadModel) -> HeadModel:
    """Return the head model with curtain and glasses appended, each vertex bound to the skin.

    The new vertices follow the identity shapes of the skin vertex that they are bound to and no
    expression. They stand at a mean place until `shape_long_hair` and `shape_glasses` move them.
    """
    marks = head.neutral[head.landmarks]
    hair, hair_triangles = _curtain(head, marks)
    glasses = glasses_points(marks, _MEAN_FORM)
    first = len(head.neutral)
    skin = np.flatnonzero(head.part == Part.SKIN)
    bound = np.concatenate(
        [
            skin[_nearest(hair, head.neutral[skin], weight=(1.0, 0.15, 1.0))],
            np.full(len(glasses), head.landmarks[27]),
        ]
    )
    added = np.concatenate([hair, glasses]).astype(np.float32)
    parts = np.repeat([Part.HAIR, Part.GLASSES], [len(hair), len(glasses)]).astype(np.uint8)
    still = np.zeros((len(head.expression), len(added), 3), dtype=np.float32)
    return replace(
        head,
        neutral=np.concatenate([head.neutral, added]),
        identity=np.concatenate([head.identity, head.identity[:, bound]], axis=1),
        expression=np.concatenate([head.expression, still], axis=1),
        triangles=np.concatenate(
            [
                head.triangles,
                hair_triangles + first,
                glasses_triangles() + first + len(hair),
            ]
        ).astype(np.int32),
        part=np.concatenate([head.part, parts]),
    )


def worn_triangles(head: HeadModel, person: Person) -> np.ndarray:
    """Return which triangles this person shows. bool [F]."""
    part = head.triangle_part
    shown = np.ones(len(part), dtype=bool)
    if person.hair_style != "long":
        shown &= part != Part.HAIR
    if not person.glasses:
        shown &= part != Part.GLASSES
    return shown


def shape_long_hair(head: HeadModel, shape: np.ndarray, person: Person) -> None:
    """Give the curtain its length, fullness and waves, in place on a resting head [V, 3]."""
    where = np.flatnonzero(head.part == Part.HAIR)
    if person.hair_style != "long" or len(where) == 0:
        return
    grid = shape[where].reshape(HAIR_ROWS, HAIR_COLUMNS, 3)
    down = np.linspace(0.0, 1.0, HAIR_ROWS)[:, None]
    around = np.linspace(-1.0, 1.0, HAIR_COLUMNS)[None]
    phase = person.noise_waves[1, :3, 3]
    wave = np.sin(17.0 * around + phase[0] + 3.0 * down) + np.sin(31.0 * around + phase[1])
    swing = np.sin(9.0 * down + 4.0 * around + phase[2])
    # Close to the skull at the top, so that it grows out of the cap; free below.
    free = np.clip((down - 0.25) / 0.2, 0.0, 1.0)
    out = person.hair_thickness * (0.35 + 0.75 * free) + free * (0.12 * wave + 0.3 * swing * down)
    middle = np.array([0.0, 0.0, grid[..., 2].mean()])
    outwards = (grid - middle) * np.array([1.0, 0.0, 1.0])
    outwards /= np.linalg.norm(outwards, axis=2, keepdims=True) + 1e-6
    grid = grid + out[..., None] * outwards
    grid[..., 1] += free * down * (person.hair_length + 0.3 * wave - CURTAIN_CM)
    shape[where] = grid.reshape(-1, 3)


def shape_glasses(head: HeadModel, shape: np.ndarray, person: Person) -> None:
    """Give the rims their size and form, in place on a resting head [V, 3]."""
    where = np.flatnonzero(head.part == Part.GLASSES)
    if not person.glasses or len(where) == 0:
        return
    marks = shape[head.landmarks]
    shape[where] = glasses_points(marks, person.glasses_shape)


def _nearest(points: np.ndarray, targets: np.ndarray, weight: tuple[float, ...]) -> np.ndarray:
    scale = np.sqrt(np.asarray(weight, dtype=np.float32))
    squared = (((points[:, None] - targets[None, ::4]) * scale) ** 2).sum(axis=2)
    return squared.argmin(axis=1) * 4


def _grid_triangles(rows: int, columns: int) -> np.ndarray:
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns - 1)[None]).ravel()
    first = np.stack([corner, corner + columns, corner + 1], axis=1)
    second = np.stack([corner + 1, corner + columns, corner + columns + 1], axis=1)
    return np.concatenate([first, second])


def _curtain(head: HeadModel, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return a curtain that comes out of the cap near the crown and falls straight below."""
    skin = head.neutral[head.part == Part.SKIN]
    brow, chin = float(marks[17:27, 1].mean()), float(marks[8, 1])
    skull = skin[(skin[:, 1] > brow - 4.0) & (skin[:, 1] < brow + 4.0)]
    half, crown = float(np.abs(skull[:, 0]).max()), float(skin[:, 1].min())
    back, middle = float(skull[:, 2].max()), float(marks[[0, 16], 2].mean()) + 1.5
    azimuth = np.linspace(-1.0, 1.0, HAIR_COLUMNS)[None]
    down = np.linspace(0.0, 1.0, HAIR_ROWS)[:, None]
    y = crown + 0.5 + (brow + CURTAIN_CM - crown) * down
    # A dome down to the brows, then nearly a cylinder; it stays under the cap at first.
    rise = np.clip((brow - y) / (brow - crown), 0.0, 1.0)
    wide = np.sqrt(1.0 - rise**2) * np.interp(y, [brow, brow + 4.0], [1.0, 1.1])
    # Pulled back at the temples, forward over the ears and beside the cheeks.
    reach = np.deg2rad(np.interp(y, [brow - 2.0, brow + 3.0, chin], [88.0, 104.0, 112.0]))
    x = np.sin(azimuth * reach) * half * wide
    cosine = np.cos(azimuth * reach)
    z = middle + cosine * np.where(cosine > 0.0, back - middle, 7.0) * wide
    points = np.stack(np.broadcast_arrays(x, y * np.ones_like(azimuth), z), axis=2)
    return points.reshape(-1, 3).astype(np.float32), _grid_triangles(HAIR_ROWS, HAIR_COLUMNS)


def glasses_triangles() -> np.ndarray:
    """Return the triangles of rims, bridge and arms, rows of `glasses_points`. [F, 3]."""
    ring = np.arange(RIM_STEPS)
    after = (ring + 1) % RIM_STEPS
    bands = []
    for first in (0, 2 * RIM_STEPS):
        inner, outer = first + ring, first + RIM_STEPS + ring
        inner_after, outer_after = first + after, first + RIM_STEPS + after
        bands.append(np.stack([inner, outer, outer_after], axis=1))
        bands.append(np.stack([inner, outer_after, inner_after], axis=1))
    quads = 4 * RIM_STEPS + np.arange(4 * _BRIDGE_AND_ARMS).reshape(-1, 4)
    bands += [quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]
    return np.concatenate(bands)


def lens_triangles() -> np.ndarray:
    """Return the triangles of both lenses, rows of `glasses_points`. [F, 3]."""
    # Strips of the same x above and below, along which the frame does not bend.
    below = np.arange(RIM_STEPS // 2)
    above = (RIM_STEPS - below) % RIM_STEPS
    first = np.stack([below, below + 1, above], axis=1)
    second = np.stack([above, below + 1, RIM_STEPS - below - 1], axis=1)
    lens = np.concatenate([first[1:], second[:-1]])
    return np.concatenate([lens, lens + 2 * RIM_STEPS])


def glasses_points(marks: np.ndarray, form: np.ndarray, *, beside_ears: float = 0.5) -> np.ndarray:
    """Return the vertices: per rim an inner and an outer ring, then quads of bridge and arms.

    Args:
        marks: the 68 landmarks of a head, in its frame, cm. [68, 3].
        form: `Person.glasses_shape`. [4].
        beside_ears: how far outside the ears' landmarks the arms end, cm.

    Returns:
        Head frame, cm. A ring's vertex k stands at the angle 2 pi k / RIM_STEPS, clockwise from the
        right of the image as it shows the face. float32 [4 RIM_STEPS + 12, 3].
    """
    half_width, half_height, square, wire = (float(value) for value in form)
    angle = np.linspace(0.0, 2.0 * np.pi, RIM_STEPS, endpoint=False)
    cosine, sine = np.cos(angle), np.sin(angle)
    # A superellipse: 2 is round, 4 is nearly a rectangle.
    power = 2.0 / (2.0 + 2.0 * square)
    x, y = np.sign(cosine) * np.abs(cosine) ** power, np.sign(sine) * np.abs(sine) ** power
    bridge_z = float(marks[27, 2])
    points: list[np.ndarray] = []
    rims = []
    for eye in (marks[36:42].mean(axis=0), marks[42:48].mean(axis=0)):
        outwards = np.sign(eye[0])
        for grow in (0.0, wire):
            ring_x = eye[0] + 0.15 * outwards + (half_width + grow) * x
            ring_y = eye[1] + 0.25 + (half_height + grow) * y
            # The frame bends back towards the temples.
            ring_z = bridge_z - 0.9 + 0.05 * ring_x**2
            points.append(np.stack([ring_x, ring_y, ring_z], axis=1))
        rims.append((eye, outwards))
    quads: list[list[float]] = []
    left, right = (eye[0] + 0.15 * out - out * half_width for eye, out in rims)
    height = 0.5 * (rims[0][0][1] + rims[1][0][1]) - _BRIDGE_HEIGHT
    front = bridge_z - 0.9
    for u, v in ((left, 0.0), (right, 0.0), (right, wire + 0.1), (left, wire + 0.1)):
        quads.append([float(u), height + v, front])
    for (eye, out), ear in zip(rims, (marks[0], marks[16]), strict=True):
        start_x = eye[0] + out * (0.15 + half_width)
        start_z = front + 0.05 * start_x**2
        level = float(eye[1]) - _ARM_HEIGHT
        end_x = float(ear[0]) + out * beside_ears
        for u, v, z in (
            (start_x, 0.0, start_z),
            (start_x, wire + 0.25, start_z),
            (end_x, wire + 0.15, float(ear[2]) + 2.0),
            (end_x, 0.0, float(ear[2]) + 2.0),
        ):
            quads.append([float(u), level + v, float(z)])
    points.append(np.asarray(quads))
    return np.concatenate(points).astype(np.float32)
