"""Who is shown and how they stand before the camera: persons, frames and placement."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from benchmarks.other_renderer.eyes import paint_eye
from benchmarks.other_renderer.hair import Hair, grow_hair
from benchmarks.other_renderer.looks import Looks, sample_looks
from benchmarks.other_renderer.skin import Skin, paint_skin
from benchmarks.other_renderer.surface import Surface, find_surface
from numpy.typing import NDArray

from mien.synth.expression import EXPRESSIONS
from mien.synth.frame import Frames, Framing, sample_frames
from mien.synth.head_model import HeadModel, Part, load_head_model
from mien.synth.kernels import smooth_normals

__all__ = ["Cast", "Casting", "Shot"]

Array = NDArray[np.floating]
FIELD_OF_VIEW_DEG = (12.0, 26.0)
"""Of the square that a detector would cut."""
FACE_WIDTHS = 1.2
"""Side of that square, between the ears' landmarks."""


@dataclass(frozen=True)
class Shot:
    """One image before it is rendered; camera frame, cm."""

    head: Array
    """The head model's vertices, eyes as they are without a gaze. [V, 3]."""
    to_camera: Array
    """From the head's frame to the camera's. [4, 4]."""
    eyes: tuple[tuple[Array, Array], ...]
    """Centre [3] and rotation [3, 3] of each eye."""
    chest: Array
    """Where the chest's middle is. [3]."""
    field_of_view: float
    """Of the whole image. Radians."""
    offset: Array
    """How far the picture is moved, right and down, as a fraction of its side. [2]."""
    ambient: float
    diffuse: float
    light: Array
    """Unit vector to the lamp. [3]."""
    seed: int
    """Of lamps, surroundings and noise."""


@dataclass(frozen=True)
class Cast:
    """One person, with the truth about every image."""

    number: int
    looks: Looks
    identity: Array
    frames: Frames
    skin: Skin
    eye: Array
    hair: Hair | None
    shots: tuple[Shot, ...]


@dataclass(frozen=True)
class Casting:
    """An endless row of people; person i depends on (seed, i) alone."""

    path: Path
    """ICT-FaceKit's npz."""
    seed: int
    frames: int
    """Images of each person."""
    framing: Framing
    wide_gaze: bool = False
    off_centre: float = 0.08
    """How far the face may be off the image's middle, as a fraction of its side."""

    @cached_property
    def head(self) -> HeadModel:
        """Return the shapes, without accessories."""
        return load_head_model(self.path)

    @cached_property
    def surface(self) -> Surface:
        return find_surface(self.path, self.head)

    def person(self, number: int) -> Cast:
        """Draw person `number`, from 0, ready to be rendered."""
        rng = np.random.default_rng([self.seed, number, 77])
        head, surface = self.head, self.surface
        identity = np.clip(rng.standard_normal(len(head.identity)), -2.5, 2.5).astype(np.float32)
        looks = sample_looks(rng)
        frames = sample_frames(
            rng,
            head,
            rng.integers(len(EXPRESSIONS), size=self.frames),
            wide_gaze=self.wide_gaze,
            light="changing",
            framing=self.framing,
        )
        resting = head.neutral + np.tensordot(identity, head.identity, 1).astype(np.float32)
        hair = self._hair(looks, resting)
        return Cast(
            number=number,
            looks=looks,
            identity=identity,
            frames=frames,
            skin=paint_skin(looks, surface.place, surface.facing, surface.marks),
            eye=paint_eye(looks),
            hair=hair,
            shots=tuple(self._shot(rng, resting, frames, index) for index in range(self.frames)),
        )

    def _hair(self, looks: Looks, resting: Array) -> Hair | None:
        normals = np.empty_like(resting)
        smooth_normals(resting, self.head.triangles, normals)
        skin = int(np.count_nonzero(self.head.part == Part.SKIN))
        triangles = self.surface.vertex[self.surface.triangles]
        mean = np.concatenate([self.head.neutral[:skin], self.surface.marks])
        return grow_hair(looks.hair, resting[:skin], normals[:skin], triangles, mean, looks.seed)

    def _shot(
        self,
        rng: np.random.Generator,
        resting: Array,
        frames: Frames,
        index: int,
    ) -> Shot:
        """Turn a head and put it before the camera, its face on the camera's axis."""
        marks = self.head.landmarks
        moved = resting + np.tensordot(frames.expression_weights[index], self.head.expression, 1)
        rotation = frames.rotation[index].astype(np.float64)
        turned = moved @ rotation.T
        eyes, mouth = turned[marks[36:48]].mean(axis=0), turned[marks[[48, 54]]].mean(axis=0)
        width = float(np.linalg.norm(resting[marks[16]] - resting[marks[0]]))
        side = FACE_WIDTHS * width
        focus = 0.5 * (eyes + mouth) - [0.0, 0.04 * side, 0.0]
        angle = np.deg2rad(rng.uniform(*FIELD_OF_VIEW_DEG))
        away = np.array([0.0, 0.0, 0.5 * side / np.tan(0.5 * angle)]) - focus
        scale = float(frames.scale[index])
        centres = [self._eye_centre(moved[rows]) for rows in self.head.eye_vertices]
        eye = rotation @ frames.eye_rotation[index]
        neck = np.array([0.0, 19.0, 3.0]) @ rotation.T
        to_camera = np.eye(4)
        to_camera[:3, :3], to_camera[:3, 3] = rotation, away
        return Shot(
            head=(turned + away).astype(np.float32),
            to_camera=to_camera.astype(np.float32),
            eyes=tuple(((c @ rotation.T + away).astype(np.float32), eye) for c in centres),
            chest=(0.5 * neck + [0.0, 15.0, 2.5] + away).astype(np.float32),
            field_of_view=float(2 * np.arctan(scale * np.tan(0.5 * angle))),
            offset=rng.uniform(-self.off_centre, self.off_centre, 2).astype(np.float32),
            # Harder light than `mien.synth` has; exposure makes up for its strength.
            ambient=float(frames.ambient[index] * rng.uniform(0.3, 1.0)),
            diffuse=float(frames.diffuse[index] * rng.uniform(0.8, 2.0)),
            light=frames.light[index],
            seed=int(rng.integers(2**31)),
        )

    @staticmethod
    def _eye_centre(eye: Array) -> Array:
        """Return the middle of an eyeball, whose bulge before the iris does not count."""
        low, high = eye.min(axis=0), eye.max(axis=0)
        middle = 0.5 * (low + high)
        middle[2] = high[2] - 0.5 * (high[1] - low[1])
        return middle
