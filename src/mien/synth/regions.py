"""Where lips, brows, scalp, lids and irises lie on a head: soft per-vertex maps in [0, 1]."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from mien.synth.head_model import HeadModel, Part
from mien.synth.kernels import smooth_normals, visible_vertices

__all__ = ["Regions", "find_regions", "smoothstep"]

JAW, BROW_LEFT, BROW_RIGHT = slice(0, 17), slice(17, 22), slice(22, 27)
EYE_LEFT, EYE_RIGHT, OUTER_LIPS, INNER_LIPS = (
    slice(36, 42),
    slice(42, 48),
    slice(48, 60),
    slice(60, 68),
)
CHIN, NOSE_TIP, NOSE_TOP = 8, 30, 27
# Ambient occlusion: directions of the sky that are tried, and the side of each depth image.
_SKY_DIRECTIONS, _SKY_SIZE, _SKY_TOLERANCE_CM = 64, 160, 0.45


@dataclass(frozen=True)
class Regions:
    """Soft maps over the vertices of one head model, in the mean head's geometry."""

    lips: np.ndarray
    """1 on the red of the lips. float32 [V]."""
    brow_across: np.ndarray
    """Signed distance above the brow line, cm; large away from it. float32 [V]."""
    brow_along: np.ndarray
    """0 at the inner end of the brow, 1 at the outer end. float32 [V]."""
    lid: np.ndarray
    """1 at the edge of the eyelids, falling with distance. float32 [V]."""
    under_eye: np.ndarray
    """1 in the hollow under the eyes. float32 [V]."""
    cheek: np.ndarray
    """1 on the apples of the cheeks and the tip of the nose. float32 [V]."""
    beard: np.ndarray
    """1 where a full beard grows. float32 [V]."""
    moustache: np.ndarray
    """1 on the upper lip. float32 [V]."""
    scalp_height: np.ndarray
    """Height above a mean hairline, cm, negative on the face. float32 [V]."""
    ear: np.ndarray
    """1 on the ears. float32 [V]."""
    iris_angle: np.ndarray
    """Angle from the pupil about the eyeball's centre, radians; pi elsewhere. float32 [V]."""
    iris_roll: np.ndarray
    """Angle about the pupil's axis, radians; 0 off the eyeballs. float32 [V]."""
    occlusion: np.ndarray
    """Fraction of the sky that a vertex sees, 1 in the open. float32 [V]."""
    normals: np.ndarray
    """Outward unit normals of the mean head. float32 [V, 3]."""


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Return 0 below `low`, 1 above `high` (or the reverse when low > high), smooth between."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return (t * t * (3.0 - 2.0 * t)).astype(np.float32)


def find_regions(head: HeadModel) -> Regions:
    """Measure the maps of a head model from its landmarks and its mean shape."""
    points, marks = head.neutral, head.neutral[head.landmarks]
    normals = np.empty_like(points)
    smooth_normals(points, head.triangles, normals)
    skin = head.part == Part.SKIN
    front = skin & (points[:, 2] < marks[JAW, 2].max() + 1.0)
    # Ellipses are measured in faces: half the distance of the outer eye corners, about 4.5 cm.
    unit = 0.5 * float(np.linalg.norm(marks[36] - marks[45]))
    across, along = _brow_frame(points, marks)
    iris_angle, iris_roll = _iris(head)
    lips = _inside(points, marks[OUTER_LIPS]) * front
    return Regions(
        lips=(lips * (normals[:, 2] < 0.35)).astype(np.float32),
        brow_across=np.where(front, across, 99.0).astype(np.float32),
        brow_along=along.astype(np.float32),
        lid=_lids(head, marks) * front,
        under_eye=_blobs(points, _under_eyes(marks), 0.30 * unit, front),
        cheek=_blobs(points, _cheeks(marks), 0.42 * unit, front),
        beard=_beard(points, marks, lips) * front,
        moustache=_moustache(points, marks, lips) * front,
        scalp_height=np.where(skin, _scalp_height(points, marks), -99.0).astype(np.float32),
        ear=_ears(points, marks) * skin,
        iris_angle=iris_angle,
        iris_roll=iris_roll,
        occlusion=_occlusion(head, normals),
        normals=normals,
    )


def _closed(line: np.ndarray) -> np.ndarray:
    return np.concatenate([line, line[:1]])


def _distance_to_line(points: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return the distance in space from every point to a polyline. [V]."""
    best = np.full(len(points), np.inf, dtype=np.float32)
    for start, end in pairwise(line):
        step = end - start
        t = np.clip((points - start) @ step / max(float(step @ step), 1e-9), 0.0, 1.0)
        best = np.minimum(best, np.linalg.norm(points - start - t[:, None] * step, axis=1))
    return best


def _inside(points: np.ndarray, outline: np.ndarray) -> np.ndarray:
    """Return 1 inside a frontal outline, 0 outside, with a soft border of about a millimetre."""
    x, y = points[:, 0], points[:, 1]
    inside = np.zeros(len(points), dtype=bool)
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        crosses = (start[1] > y) != (end[1] > y)
        rise = end[1] - start[1]
        at = start[0] + (y - start[1]) / (rise if abs(rise) > 1e-9 else 1e-9) * (end[0] - start[0])
        inside ^= crosses & (x < at)
    flat = points * np.array([1.0, 1.0, 0.0], dtype=np.float32)
    edge = _distance_to_line(flat, _closed(outline * np.array([1.0, 1.0, 0.0])))
    near = np.abs(points[:, 2] - outline[:, 2].mean()) < 2.5
    return smoothstep(-0.12, 0.12, np.where(inside, edge, -edge)) * near


def _brow_frame(points: np.ndarray, marks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return height above the nearer brow line and place along it, inner end 0."""
    right_side = points[:, 0] > 0.0
    across, along = np.empty(len(points)), np.empty(len(points))
    for side, line in ((right_side, marks[BROW_RIGHT]), (~right_side, marks[BROW_LEFT][::-1])):
        # Landmarks run along the brow's upper edge at its inner end; the x axis is monotonous.
        x = np.abs(points[side, 0])
        line_x = np.abs(line[:, 0])
        height = np.interp(x, line_x, line[:, 1]) - points[side, 1]
        across[side] = height
        along[side] = (x - line_x[0]) / (line_x[-1] - line_x[0])
    return across, along


def _blobs(points: np.ndarray, centres: np.ndarray, radius: float, where: np.ndarray) -> np.ndarray:
    squared = ((points[:, None] - centres[None]) ** 2).sum(axis=2).min(axis=1)
    return (np.exp(-squared / (2.0 * radius**2)) * where).astype(np.float32)


def _under_eyes(marks: np.ndarray) -> np.ndarray:
    """Return points just below both lower lids, nearer to the nose."""
    drop = 0.13 * (marks[CHIN] - marks[NOSE_TOP]) * np.array([0.0, 1.0, 0.0])
    return np.stack([marks[40] + drop, marks[47] + drop]).astype(np.float32)


def _cheeks(marks: np.ndarray) -> np.ndarray:
    left = 0.5 * marks[36] + 0.5 * marks[48] + np.array([-0.6, 0.0, 0.0])
    right = 0.5 * marks[45] + 0.5 * marks[54] + np.array([0.6, 0.0, 0.0])
    return np.stack([left, right, marks[NOSE_TIP]]).astype(np.float32)


def _beard(points: np.ndarray, marks: np.ndarray, lips: np.ndarray) -> np.ndarray:
    """Return 1 on chin, jaw and sideburns, fading towards the cheeks and down the neck."""
    chin, mouth = marks[CHIN], marks[OUTER_LIPS].mean(axis=0)
    half = 0.5 * float(marks[16, 0] - marks[0, 0])
    # The upper edge climbs from the mouth's corners to the ears.
    side = np.clip(np.abs(points[:, 0]) / half, 0.0, 1.0)
    top = mouth[1] + 0.2 - (mouth[1] - marks[16, 1]) * smoothstep(0.55, 1.0, side) * 0.9
    below = smoothstep(-0.5, 0.6, points[:, 1] - top)
    above_neck = smoothstep(2.8, 0.8, points[:, 1] - chin[1])
    ahead = smoothstep(1.0, -1.0, points[:, 2] - marks[16, 2])
    return (below * above_neck * ahead * (1.0 - lips)).astype(np.float32)


def _moustache(points: np.ndarray, marks: np.ndarray, lips: np.ndarray) -> np.ndarray:
    top, bottom = marks[33, 1] + 0.2, marks[48, 1] + 0.6
    rows = smoothstep(top - 0.2, top + 0.3, points[:, 1]) * smoothstep(
        bottom + 0.3, bottom - 0.3, points[:, 1]
    )
    width = abs(float(marks[48, 0])) + 0.4
    columns = smoothstep(width + 0.3, width - 0.5, np.abs(points[:, 0]))
    ahead = points[:, 2] < marks[48, 2] + 0.8
    return (rows * columns * ahead * (1.0 - lips)).astype(np.float32)


def _scalp_height(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return how far above a mean hairline a point lies, measured down the scalp, in cm.

    The line runs over the forehead, down before the ears and round behind them to the nape.
    """
    brow_y = float(marks[17:27, 1].mean())
    chin_y = float(marks[CHIN, 1])
    face = chin_y - brow_y
    ear_z = float(marks[[0, 16], 2].mean())
    forehead_z = float(marks[NOSE_TOP, 2])
    behind = np.clip((points[:, 2] - forehead_z) / (ear_z - forehead_z), -0.2, 3.0)
    knots = np.array([-0.2, 0.0, 0.35, 0.65, 0.95, 1.12, 1.4, 2.0, 3.0])
    lines = np.array([-0.40, -0.37, -0.31, -0.22, 0.05, 0.32, 0.45, 0.72, 0.85])
    return np.interp(behind, knots, lines) * face + brow_y - points[:, 1]


def _lids(head: HeadModel, marks: np.ndarray) -> np.ndarray:
    """Return 1 where skin touches an eyeball, the lids' edges; less on the lower lids."""
    points, lids = head.neutral, np.zeros(len(head.neutral), dtype=np.float32)
    for vertices in head.eye_vertices:
        if len(vertices) == 0:
            continue
        eye = head.neutral[vertices]
        low, high = eye.min(axis=0), eye.max(axis=0)
        centre, radius = 0.5 * (low + high), 0.5 * float((high - low)[1])
        gap = np.linalg.norm(points - centre, axis=1) / radius - 1.0
        edge = smoothstep(0.32, 0.10, gap) * (points[:, 2] < centre[2] - 0.3 * radius)
        corners = marks[[36, 39]] if centre[0] < 0.0 else marks[[42, 45]]
        below = smoothstep(-0.05, 0.15, points[:, 1] - corners[:, 1].mean())
        lids = np.maximum(lids, edge * (1.0 - 0.6 * below))
    return lids.astype(np.float32)


def _ears(points: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """Return 1 on what stands out sideways behind the jaw's upper ends."""
    half = 0.5 * float(marks[16, 0] - marks[0, 0])
    top, bottom = marks[0, 1] - 0.17 * half, marks[2, 1] + 0.25 * half
    middle, reach = 0.5 * (top + bottom), 0.5 * (bottom - top)
    behind = points[:, 2] - marks[0, 2] - 0.24 * half
    inside = ((points[:, 1] - middle) / reach) ** 2 + (behind / (0.33 * half)) ** 2
    out = smoothstep(0.98 * half, 1.01 * half, np.abs(points[:, 0]))
    return (out * smoothstep(1.25, 1.0, inside)).astype(np.float32)


def _iris(head: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    angle = np.full(len(head.neutral), np.pi, dtype=np.float32)
    roll = np.zeros(len(head.neutral), dtype=np.float32)
    for vertices in head.eye_vertices:
        if len(vertices) == 0:
            continue
        eye = head.neutral[vertices]
        ray = eye - 0.5 * (eye.min(axis=0) + eye.max(axis=0))
        ray /= np.linalg.norm(ray, axis=1, keepdims=True) + 1e-9
        angle[vertices] = np.arccos(np.clip(-ray[:, 2], -1.0, 1.0))
        roll[vertices] = np.arctan2(ray[:, 1], ray[:, 0])
    return angle, roll


def _occlusion(head: HeadModel, normals: np.ndarray) -> np.ndarray:
    """Return the fraction of a cosine-weighted sky that each vertex of the mean head sees."""
    # A Fibonacci sphere: even directions without chance.
    index = np.arange(_SKY_DIRECTIONS) + 0.5
    z = 1.0 - 2.0 * index / _SKY_DIRECTIONS
    azimuth = np.pi * (1.0 + 5.0**0.5) * index
    ring = np.sqrt(1.0 - z * z)
    sky = np.stack([ring * np.cos(azimuth), ring * np.sin(azimuth), z], axis=1).astype(np.float32)
    reach = float(np.linalg.norm(head.neutral - head.neutral.mean(axis=0), axis=1).max())
    # Sheets that not everybody wears shade nobody.
    thin = (Part.HAIR, Part.GLASSES)
    solid = head.triangles[~np.isin(head.triangle_part, thin)]
    open_sky = np.zeros(len(normals), dtype=np.float32)
    seen = np.empty(len(normals), dtype=np.float32)
    total = np.full(len(normals), 1e-6, dtype=np.float32)
    for direction in sky:
        x_axis = np.cross(direction, [0.31, 0.87, 0.38])
        x_axis /= np.linalg.norm(x_axis)
        frame = np.stack([x_axis, np.cross(-direction, x_axis), -direction]).astype(np.float32)
        view = (head.neutral - head.neutral.mean(axis=0)) @ frame.T
        view[:, :2] = (view[:, :2] / reach + 1.0) * 0.5 * (_SKY_SIZE - 1)
        visible_vertices(view, solid, _SKY_SIZE, _SKY_TOLERANCE_CM, seen)
        weight = np.maximum(normals @ direction, 0.0)
        open_sky += seen * weight
        total += weight
    return (open_sky / total).astype(np.float32)
