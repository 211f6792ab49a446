"""A crude head made of formulas: tries out rendering and training with nothing to download.

It is an egg with a nose, two eyeballs and a mouth that opens. It has the same parts, landmarks and
shape names as a real head model, so that everything which takes one takes this one too.
"""

from __future__ import annotations

import numpy as np

from mien.synth.head_model import HeadModel, Part

__all__ = ["toy_head"]

# Half axes of the egg in cm: x right, y down, z into the head.
AXES = np.array([7.5, 10.0, 9.0])
ROWS, COLUMNS = 61, 80
EYE_ROWS, EYE_COLUMNS, EYE_RADIUS = 17, 24, 1.6
# Bumps: centre (x, y in cm on the front), reach in cm, how far it stands out in cm.
BUMPS = (
    (0.0, 0.6, 1.1, 2.6),  # tip of the nose
    (0.0, -1.2, 0.8, 1.0),  # its bridge
    (0.0, 4.2, 1.0, 0.5),  # lips
    (0.0, 7.6, 1.6, 0.5),  # chin
    (-3.0, -3.4, 1.3, 0.3),  # brows
    (3.0, -3.4, 1.3, 0.3),
)
EYES = ((3.1, -1.8), (-3.1, -1.8))
# Expression shapes: centre x (mirrored for _R), y, reach, direction and length of the move in cm.
SHAPES: dict[str, tuple[float, float, float, tuple[float, float, float]]] = {
    "jawOpen": (0.0, 7.5, 2.6, (0.0, 2.2, 0.0)),
    "browInnerUp": (1.2, -4.0, 1.2, (0.0, -0.9, 0.0)),
    "browOuterUp": (4.2, -3.8, 1.2, (0.0, -0.8, 0.0)),
    "browDown": (2.4, -3.8, 1.6, (0.0, 0.7, 0.0)),
    "eyeBlink": (3.1, -2.9, 0.9, (0.0, 1.2, -0.6)),
    "eyeWide": (3.1, -2.9, 0.9, (0.0, -0.4, 0.0)),
    "eyeSquint": (3.1, -0.7, 0.9, (0.0, -0.5, -0.2)),
    "cheekRaiser": (3.6, 0.6, 1.5, (0.0, -0.6, -0.4)),
    "noseSneer": (1.0, 0.2, 0.9, (0.0, -0.5, 0.0)),
    "mouthSmile": (2.4, 4.2, 1.1, (0.9, -0.8, 0.3)),
    "mouthFrown": (2.4, 4.2, 1.1, (0.2, 0.9, 0.0)),
    "mouthStretch": (2.4, 4.2, 1.1, (1.0, 0.2, 0.3)),
    "mouthUpperUp": (1.0, 3.6, 0.9, (0.0, -0.6, 0.0)),
    "mouthLowerDown": (1.0, 4.9, 0.9, (0.0, 0.6, 0.0)),
    "mouthPress": (1.0, 4.2, 0.9, (0.0, 0.1, 0.4)),
}
CENTRAL = ("jawOpen",)


def toy_head(*, identities: int = 8) -> HeadModel:
    """Build the toy head, about 5,700 vertices; `identities` are smooth swellings of the egg."""
    skin, skin_triangles = _egg(ROWS, COLUMNS, AXES)
    skin = _with_bumps(skin)
    eye, eye_triangles = _egg(EYE_ROWS, EYE_COLUMNS, np.full(3, EYE_RADIUS))
    points, triangles = [skin], [skin_triangles]
    parts = [np.full(len(skin), Part.SKIN, dtype=np.uint8)]
    for (x, y), part in zip(EYES, (Part.EYE_LEFT, Part.EYE_RIGHT), strict=True):
        centre = np.array([x, y, _front(x, y) + 0.75 * EYE_RADIUS])
        triangles.append(eye_triangles + sum(len(p) for p in points))
        points.append(eye + centre)
        parts.append(np.full(len(eye), part, dtype=np.uint8))
    neutral = np.concatenate(points).astype(np.float32)
    part = np.concatenate(parts)
    names, expression = _expressions(neutral, part)
    return HeadModel(
        neutral=neutral,
        identity=_identities(neutral, identities),
        expression=expression,
        expression_names=names,
        triangles=np.concatenate(triangles).astype(np.int32),
        part=part,
        landmarks=_landmarks(skin),
    )


def _egg(rows: int, columns: int, axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return an ellipsoid with outward winding whose poles lie ahead (-z) and behind."""
    polar = np.linspace(0.0, np.pi, rows)[:, None]
    around = np.linspace(0.0, 2.0 * np.pi, columns, endpoint=False)[None]
    x, y = np.sin(polar) * np.cos(around), np.sin(polar) * np.sin(around)
    z = -np.cos(polar) * np.ones_like(around)
    points = np.stack([x, y, z], axis=2).reshape(-1, 3) * axes
    corner = (np.arange(rows - 1)[:, None] * columns + np.arange(columns)[None]).ravel()
    after = np.arange(rows - 1)[:, None] * columns + (np.arange(columns) + 1)[None] % columns
    after = after.ravel()
    first = np.stack([corner, after, corner + columns], axis=1)
    second = np.stack([after, after + columns, corner + columns], axis=1)
    return points, np.concatenate([first, second])


def _front(x: float, y: float) -> float:
    """Return the z of the egg's front at x, y."""
    return -float(AXES[2] * np.sqrt(max(0.0, 1.0 - (x / AXES[0]) ** 2 - (y / AXES[1]) ** 2)))


def _hill(points: np.ndarray, x: float, y: float, reach: float) -> np.ndarray:
    """Return a Gaussian about x, y on the front half of the head. [V]."""
    squared = (points[:, 0] - x) ** 2 + (points[:, 1] - y) ** 2
    return np.exp(-0.5 * squared / reach**2) * (points[:, 2] < 0.0)


def _with_bumps(points: np.ndarray) -> np.ndarray:
    raised = points.copy()
    for x, y, reach, height in BUMPS:
        raised[:, 2] -= height * _hill(points, x, y, reach)
    for x, y in EYES:
        raised[:, 2] += 0.9 * _hill(points, x, y, 0.9)
    return raised


def _identities(neutral: np.ndarray, count: int) -> np.ndarray:
    """Return smooth shapes: wider, longer, deeper, then waves across the head."""
    shapes = np.zeros((count, *neutral.shape), dtype=np.float32)
    for index in range(count):
        axis, waves = index % 3, 1 + index // 3
        wave = np.cos(0.25 * (waves - 1) * neutral[:, (axis + 1) % 3])
        shapes[index, :, axis] = 0.05 * neutral[:, axis] * wave
    return shapes


def _expressions(neutral: np.ndarray, part: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    names, shapes = [], []
    skin = part == Part.SKIN
    for name, (x, y, reach, move) in SHAPES.items():
        for suffix, side in (("", 1.0),) if name in CENTRAL else (("_L", 1.0), ("_R", -1.0)):
            hill = _hill(neutral, side * x, y, reach) * skin
            shapes.append(hill[:, None] * (np.asarray(move) * [side, 1.0, 1.0]))
            names.append(name + suffix)
    return tuple(names), np.stack(shapes).astype(np.float32)


def _landmarks(skin: np.ndarray) -> np.ndarray:
    """Return the vertices nearest to where the 68 landmarks of such a face would lie."""
    jaw_angle = np.linspace(np.pi, 0.0, 17)
    jaw = np.stack([7.0 * np.cos(jaw_angle), -1.5 + 10.0 * np.sin(jaw_angle)], axis=1)
    brow = np.stack([np.linspace(-5.2, -1.2, 5), [-3.1, -3.8, -4.0, -3.9, -3.6]], axis=1)
    bridge = np.stack([np.zeros(4), np.linspace(-1.8, 0.6, 4)], axis=1)
    nostrils = np.stack([np.linspace(-1.2, 1.2, 5), np.full(5, 1.8)], axis=1)
    eye_angle = np.deg2rad([180.0, 240.0, 300.0, 0.0, 60.0, 120.0])
    eye = np.stack([-3.1 + 1.4 * np.cos(eye_angle), -1.8 + 0.6 * np.sin(eye_angle)], axis=1)
    outer_angle = np.deg2rad(180.0 + 30.0 * np.arange(12))
    outer = np.stack([2.4 * np.cos(outer_angle), 4.2 + 0.9 * np.sin(outer_angle)], axis=1)
    inner_angle = np.deg2rad(180.0 + 45.0 * np.arange(8))
    inner = np.stack([1.9 * np.cos(inner_angle), 4.2 + 0.3 * np.sin(inner_angle)], axis=1)
    flip = np.array([-1.0, 1.0])
    # The other eye starts at its corner by the nose, like this one at its outer corner.
    other_eye = (eye * flip)[[3, 2, 1, 0, 5, 4]]
    marks = [jaw, brow, (brow * flip)[::-1], bridge, nostrils, eye, other_eye, outer, inner]
    wanted = np.concatenate(marks)
    front = np.flatnonzero(skin[:, 2] < 2.5)
    squared = ((skin[front][None, :, :2] - wanted[:, None]) ** 2).sum(axis=2)
    # Of vertices in line with the point, the one on the front.
    return front[(squared + 0.05 * (skin[front][None, :, 2] > 0.0)).argmin(axis=1)]
