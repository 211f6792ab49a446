"""The true frontal view of a rendered person: the same clip drawn again with the head straight.

Person, expression, turn of the eyes in the head, light (camera frame), colours of the sensor and
background stay; the head's turn, the crop's jitter, noise and blur are taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.rendered import INNER_FACE
from mien.synth.accessories import worn_triangles
from mien.synth.background import Sensor, expose
from mien.synth.clip import ClipPlan, label_clip
from mien.synth.frame import Frames, rotation_matrix
from mien.synth.head_model import HeadModel
from mien.synth.kernels import smooth_normals, visible_vertices
from mien.synth.paint import hair_cover
from mien.synth.render import Surface, render_frames
from mien.synth.scene import Placement
from mien.synth.stream import Stream

__all__ = ["FrontalPair", "FrontalStream"]

FIELD_OF_VIEW_DEG = 10.0
TOLERANCE_CM = 0.3
"""A vertex may lie so far behind the front and still be seen."""
GRAZING = 0.1
"""Cosine between normal and line of sight below which a surface is not seen, only touched."""
WIDE_YAW_DEG = 60.0


@dataclass(frozen=True)
class FrontalPair:
    """A face as it was seen, and what it looks like from the front."""

    person: int
    """The clip's index."""
    frame: int
    yaw: float
    """Of the turned head, radians."""
    turned: NDArray[np.uint8]
    """RGB [S, S, 3]."""
    frontal: NDArray[np.uint8]
    """The truth. RGB [S, S, 3]."""
    face: NDArray[np.bool_]
    """Where the frontal image shows the face: an ellipse inside the head. [S, S]."""
    hidden: NDArray[np.bool_]
    """Which part of the face the turned image does not show. [S, S]."""
    turned_marks: NDArray[np.float32]
    """Eye left of the image, eye right of it, nose tip, mouth corners, pixels. [5, 2]."""
    frontal_marks: NDArray[np.float32]
    """The same in the frontal image. [5, 2]."""


class FrontalStream(Stream):
    """A stream of clips that draws each face twice: as planned, and from the front."""

    def __init__(
        self, head: HeadModel, *, seed: int, frames: int, size: int, gaze: str, spread: bool
    ) -> None:
        """Prepare a stream.

        Args:
            head: the linear head.
            seed: as that of a folder of `mien synth`.
            frames: of each person.
            size: side of the images, pixels.
            gaze: natural or wide, as that of a folder.
            spread: turn heads evenly up to 60 degrees to either side, unlike those of a folder.
        """
        super().__init__(
            head, seed=seed, frames_per_clip=frames, size=size, wide_gaze=gaze == "wide"
        )
        self.spread = spread

    def plan(self, index: int) -> ClipPlan:
        """Draw all that chance decides about clip `index`."""
        plan = super().plan(index)
        if not self.spread:
            return plan
        rng = np.random.default_rng([self.seed, index, 1])
        yaw = rng.uniform(-1.0, 1.0, len(plan.frames)) * np.deg2rad(WIDE_YAW_DEG)
        angles = plan.frames.angles.copy()
        angles[:, 0] = yaw
        return replace(plan, frames=_turned(plan.frames, angles))

    def pairs(self, index: int) -> Iterator[FrontalPair]:
        """Yield the pairs of clip `index`, one a frame."""
        plan = self.plan(index)
        straight = _straight(plan)
        cover = hair_cover(self.head, self._regions, plan.person)
        before, after = self._place(plan, cover), self._place(straight, cover)
        turned = expose(self._render(plan, before, cover).image, plan.sensor)
        drawing = self._render(straight, after, cover)
        frontal = expose(drawing.image, straight.sensor)
        face = drawing.mask & _ellipse(self.size)
        hidden = face & self._hidden(plan, before, after)
        told = label_clip(plan, before, self.head.landmarks)
        marks = label_clip(straight, after, self.head.landmarks).landmarks
        for t in range(len(plan.frames)):
            yield FrontalPair(
                person=index,
                frame=t,
                yaw=float(told.yaw[t]),
                turned=turned[t].transpose(1, 2, 0),
                frontal=frontal[t].transpose(1, 2, 0),
                face=face[t],
                hidden=hidden[t],
                turned_marks=told.landmarks[t],
                frontal_marks=marks[t],
            )

    def _hidden(self, plan: ClipPlan, before: Placement, after: Placement) -> NDArray[np.bool_]:
        """Return which pixels of the frontal images the turned ones do not show. [T, S, S].

        Each vertex is painted by whether it is seen, and the frontal view is drawn with that paint
        under an even light. What the frontal view itself hardly shows (nostrils, the rims of the
        lids) is not called hidden: red is seen turned, green is seen from the front.
        """
        triangles = self.head.triangles[worn_triangles(self.head, plan.person)]
        two_sided = self._two_sided[worn_triangles(self.head, plan.person)]
        even = np.zeros((1, 12), dtype=np.float32)
        even[0, 6:9] = 1.0
        empty = np.zeros((1, self.size, self.size, 3), dtype=np.float32)
        found = np.zeros((len(plan.frames), self.size, self.size), dtype=bool)
        for t in range(len(plan.frames)):
            one, other = _frame(before, t), _frame(after, t)
            paint = np.zeros((len(self.head.part), 5), dtype=np.float32)
            paint[:, 0] = _seen_vertices(one, triangles)
            paint[:, 1] = _seen_vertices(other, triangles)
            drawn = render_frames(other, Surface(paint, triangles, two_sided), even, empty).image[0]
            found[t] = (drawn[..., 0] < 0.5) & (drawn[..., 1] > 0.5)
        return found


def _frame(placement: Placement, t: int) -> Placement:
    """Return one frame alone."""
    rows = slice(t, t + 1)
    return replace(
        placement,
        camera=placement.camera[rows],
        translation=placement.translation[rows],
        focal=placement.focal[rows],
    )


def _seen_vertices(placement: Placement, triangles: NDArray[np.int32]) -> NDArray[np.float32]:
    """Return 1 for vertices that the camera sees in the one frame, else 0. [V]."""
    camera = placement.camera[0]
    pixels = placement.project(placement.camera)[0]
    points = np.ascontiguousarray(np.concatenate([pixels, camera[:, 2:]], axis=1), np.float32)
    seen = np.empty(len(points), dtype=np.float32)
    visible_vertices(points, triangles, placement.size, TOLERANCE_CM, seen)
    normals = np.empty_like(camera)
    smooth_normals(camera, triangles, normals)
    towards = -(normals * camera).sum(axis=1) / np.linalg.norm(camera, axis=1)
    return seen * (towards > GRAZING)


def _straight(plan: ClipPlan) -> ClipPlan:
    """Return the plan with straight heads in the middle of the crop and a perfect sensor."""
    count = len(plan.frames)
    zero = np.zeros(count, dtype=np.float32)
    frames = replace(
        _turned(plan.frames, np.zeros_like(plan.frames.angles)),
        scale=zero + 1,
        shift=np.zeros((count, 2), dtype=np.float32),
        field_of_view=zero + np.float32(np.deg2rad(FIELD_OF_VIEW_DEG)),
    )
    sensor = Sensor(zero, zero, grey=plan.sensor.grey, noise_seed=plan.sensor.noise_seed)
    return replace(plan, frames=frames, sensor=sensor)


def _turned(frames: Frames, angles: NDArray[np.floating]) -> Frames:
    """Return the frames with other head angles; the eyes keep their turn in the head."""
    rotation = rotation_matrix(angles[:, 0], angles[:, 1], angles[:, 2]).astype(np.float32)
    gaze = -(rotation @ frames.eye_rotation)[:, :, 2]
    return replace(frames, rotation=rotation, angles=angles.astype(np.float32), gaze=gaze)


def _ellipse(size: int) -> NDArray[np.bool_]:
    down, across = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return (across / INNER_FACE[0]) ** 2 + (down / INNER_FACE[1]) ** 2 < 1
