"""From a person and frames to vertices before the camera: deform, rotate, frame the crop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.frame import Frames
from mien.synth.head_model import HeadModel

__all__ = ["Placement", "deform", "head_centre", "light_rows", "place"]

# The crop's usual side in face widths (between the ears' landmarks), hairline to chin.
CROP_FACE_WIDTHS = 1.2
# The crop's middle lies above the middle of eyes and mouth by this fraction of its side.
CROP_RISE = 0.055
# A detector centres on the face that it sees: on eyes and mouth, slightly shifted to the skull.
SKULL_PULL = 0.2


@dataclass(frozen=True)
class Placement:
    """A clip's heads before the camera; T frames lead every array."""

    camera: np.ndarray
    """Vertices, camera frame, cm. float32 [T, V, 3]."""
    translation: np.ndarray
    """Where the head's centre stands, camera frame, cm. float32 [T, 3]."""
    focal: np.ndarray
    """Focal length in pixels. float32 [T]."""
    size: int

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixels (u, v) of camera-frame points [T, N, 3]. float32 [T, N, 2]."""
        scale = self.focal[:, None, None] / points[..., 2:]
        return points[..., :2] * scale + 0.5 * (self.size - 1)


def head_centre(head: HeadModel) -> np.ndarray:
    """Return the point of rotation of heads: between the ears' landmarks, level with the nose."""
    marks = head.neutral[head.landmarks]
    height = 0.5 * (marks[27, 1] + marks[33, 1])
    return np.array([0.0, height, marks[[0, 16], 2].mean()], dtype=np.float32)


def deform(head: HeadModel, resting: np.ndarray, frames: Frames) -> np.ndarray:
    """Add the expressions to a resting head and rotate its eyes. float32 [T, V, 3], head frame."""
    flat = head.expression.reshape(len(head.expression), -1)
    moved = (frames.expression_weights @ flat).reshape(len(frames), -1, 3)
    moved += resting
    for vertices in head.eye_vertices:
        if len(vertices) == 0:
            continue
        eye = moved[:, vertices]
        centre = 0.5 * (eye.min(axis=1, keepdims=True) + eye.max(axis=1, keepdims=True))
        moved[:, vertices] = (eye - centre) @ frames.eye_rotation.transpose(0, 2, 1) + centre
    return moved


def place(
    head: HeadModel, resting: np.ndarray, deformed: np.ndarray, frames: Frames, size: int
) -> Placement:
    """Rotate the heads and put them before the camera as a face detector would crop them."""
    centre = head_centre(head)
    rotated = (deformed - centre) @ frames.rotation.transpose(0, 2, 1)
    marks = rotated[:, head.landmarks]
    eyes, mouth = marks[:, 36:48].mean(axis=1), marks[:, [48, 54]].mean(axis=1)
    focus = (1.0 - SKULL_PULL) * 0.5 * (eyes + mouth)[:, :2]
    width = np.linalg.norm(resting[head.landmarks[16]] - resting[head.landmarks[0]])
    side = CROP_FACE_WIDTHS * width * frames.scale
    focus[:, 1] -= CROP_RISE * side
    focus -= frames.shift * side[:, None]
    distance = 0.5 * side / np.tan(0.5 * frames.field_of_view)
    translation = np.concatenate([-focus, distance[:, None]], axis=1).astype(np.float32)
    focal = 0.5 * (size - 1) / np.tan(0.5 * frames.field_of_view)
    camera = rotated + translation[:, None]
    return Placement(
        np.ascontiguousarray(camera, dtype=np.float32),
        translation,
        focal.astype(np.float32),
        size,
    )


def light_rows(frames: Frames) -> np.ndarray:
    """Return l, half vector, ambient r g b, diffuse r g b for the shading. float32 [T, 12]."""
    half = frames.light + np.array([0.0, 0.0, -1.0], dtype=np.float32)
    half /= np.linalg.norm(half, axis=1, keepdims=True)
    ambient = frames.ambient[:, None] * frames.light_colour[:, 0]
    diffuse = frames.diffuse[:, None] * frames.light_colour[:, 1]
    return np.concatenate([frames.light, half, ambient, diffuse], axis=1).astype(np.float32)
