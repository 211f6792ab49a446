"""A clip: one person, several frames, and everything that is known of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mien.synth.background import Sensor
from mien.synth.frame import Frames
from mien.synth.person import Person
from mien.synth.scene import Placement

__all__ = ["Clip", "ClipPlan", "Labels", "label_clip"]

_LEFT_OF_IMAGE_EYE, _RIGHT_OF_IMAGE_EYE = slice(36, 42), slice(42, 48)
# Eye boxes reach beyond the lids' landmarks by this fraction of the eye's width.
_EYE_MARGIN = 0.35


@dataclass(frozen=True)
class ClipPlan:
    """All that is sampled for a clip; rendering it is deterministic."""

    index: int
    person: Person
    frames: Frames
    background: np.ndarray
    """float32 [T, S, S, 3]."""
    sensor: Sensor


@dataclass(frozen=True)
class Labels(Frames):
    """The truth about a clip's T frames: their plan, the person, and what the camera sees."""

    person: int
    """The clip's index, which is also the person's number."""
    identity: np.ndarray
    """Identity coefficients. float32 [K]."""
    skin: np.ndarray
    """Colour of the skin, sRGB in [0, 1]. float32 [3]."""
    glasses: bool
    beard: float
    """Opacity of the beard's shade, 0 to 1."""
    translation: np.ndarray
    """Where the head's centre stands, camera frame, cm. float32 [T, 3]."""
    focal: np.ndarray
    """Focal length in pixels. float32 [T]."""
    landmarks: np.ndarray
    """Eyes left and right in the image, nose tip, mouth corners. Pixels, float32 [T, 5, 2]."""
    eye_boxes: np.ndarray
    """x1 y1 x2 y2 of the eye left of the image, then right of it. Pixels, float32 [T, 2, 4]."""


@dataclass(frozen=True)
class Clip:
    """Images of one person with their truth."""

    images: np.ndarray
    """uint8 [T, 3, S, S], RGB."""
    labels: Labels
    depth: np.ndarray
    """z in the camera frame, cm; 0 where nothing. float32 [T, S, S]."""
    mask: np.ndarray
    """Where head, hair or neck cover the pixel. bool [T, S, S]."""

    def __len__(self) -> int:
        return len(self.images)


def label_clip(plan: ClipPlan, placement: Placement, landmark_vertices: np.ndarray) -> Labels:
    """Gather the truth about a planned clip whose heads stand before the camera."""
    marks = placement.project(placement.camera[:, landmark_vertices])
    eyes = (marks[:, _LEFT_OF_IMAGE_EYE], marks[:, _RIGHT_OF_IMAGE_EYE])
    five = [eye.mean(axis=1) for eye in eyes] + [marks[:, 30], marks[:, 48], marks[:, 54]]
    return Labels(
        **vars(plan.frames),
        person=plan.index,
        identity=plan.person.identity,
        skin=plan.person.skin,
        glasses=plan.person.glasses,
        beard=plan.person.beard,
        translation=placement.translation,
        focal=placement.focal,
        landmarks=np.stack(five, axis=1).astype(np.float32),
        eye_boxes=np.stack([_box(eye) for eye in eyes], axis=1).astype(np.float32),
    )


def _box(points: np.ndarray) -> np.ndarray:
    """Return x1 y1 x2 y2 around points [T, N, 2], with a margin."""
    low, high = points.min(axis=1), points.max(axis=1)
    margin = _EYE_MARGIN * (high - low)[:, :1]
    return np.concatenate([low - margin, high + margin], axis=1)
