"""The true frontal view of a rendered person: the same clip rendered again with the head straight.

Person, expression, eye rotation in the head, light (camera frame), colours of the sensor and
background stay; the head pose, the crop's jitter, noise and blur are taken out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.synthetic import (
    LABELS_FILE,
    Clips,
    inner_face,
    read_clips,
    read_config,
)
from mien.evaluate.protocol import EvalContext, checksum
from mien.media.names import to_text
from mien.synth.accessories import worn_triangles
from mien.synth.background import Sensor, expose
from mien.synth.clip import ClipPlan, label_clip
from mien.synth.frame import Frames, rotation_matrix
from mien.synth.head_model import HeadModel, load_head_model
from mien.synth.kernels import smooth_normals, visible_vertices
from mien.synth.paint import hair_cover
from mien.synth.render import Surface, render_frames
from mien.synth.scene import Placement
from mien.synth.stream import Stream

__all__ = ["FRONTAL", "FrontalPair", "FrontalPerson", "FrontalSet"]

FIELD_OF_VIEW_DEG = 10.0
TOLERANCE_CM = 0.3
"""A vertex may lie so far behind the front and still be seen."""
GRAZING = 0.1
"""Cosine between normal and line of sight below which a surface is not seen, only touched."""
WIDE_YAW_DEG = 60.0
HEAD_FILES = ("head_model.npz", "ict_facekit.npz", "FaceXModel")
ARCFACE_FILE = "arcface.onnx"
MAX_IMAGES = 400
"""Images of a folder of clips that are looked at."""
PEOPLE, FRAMES, SIZE, SEED = 60, 5, 128, 4_000_037
"""Of the pairs that are rendered where there are no clips; added to the seed of the run."""
SAME_IMAGE = 8.0
"""A clip's image and its rendering differ by less than so many levels of 255 on average."""
LAYOUT = (
    "head_model.npz or ict_facekit.npz or FaceXModel/ (ICT-FaceKit, as for `mien synth`), and, if "
    "wanted, the folder of clips that `mien synth` rendered with it: labels.parquet, config.json, "
    "person_NNNNNN/ (the head model may then stand beside the folder); without clips people are "
    "rendered for the purpose, up to 60 degrees to either side. arcface.onnx, if there, measures "
    "identity"
)


@dataclass(frozen=True)
class FrontalPair:
    """A face as it was seen, and what it looks like from the front."""

    person: int
    """The clip's index."""
    frame: int
    yaw: float
    """Of the rotated head, radians."""
    rotated: NDArray[np.uint8]
    """RGB [S, S, 3]."""
    frontal: NDArray[np.uint8]
    """The truth. RGB [S, S, 3]."""
    face: NDArray[np.bool_]
    """Where the frontal image shows the face: an ellipse inside the head. [S, S]."""
    hidden: NDArray[np.bool_]
    """Which part of the face the rotated one does not show. [S, S]."""
    rotated_marks: NDArray[np.float32]
    """Eye left of the image, eye right of it, nose tip, mouth corners, pixels. [5, 2]."""
    frontal_marks: NDArray[np.float32]
    """The same in the frontal image. [5, 2]."""


FrontalPerson = tuple[list[FrontalPair], list[NDArray[np.uint8]]]
"""The pairs of one person, and the images of the rotated faces as they are in the data set."""


@dataclass(frozen=True)
class FrontalSet:
    """People with rotated faces and their true frontal images."""

    people: Iterator[FrontalPerson]
    """Rendered when asked for; can be gone through once."""
    checksum: str
    """12 hex digits of names and labels, or of what decides the rendering."""
    arcface: Path | None
    """A network that measures identity, in ONNX."""


class FrontalStream(Stream):
    """A stream of clips that renders each face twice: as planned, and from the front."""

    def __init__(
        self, head: HeadModel, *, seed: int, frames: int, size: int, gaze: str, wide_yaw: bool
    ) -> None:
        """Prepare a stream.

        Args:
            head: the linear head.
            seed: as that of a folder of `mien synth`.
            frames: of each person.
            size: side of the images, pixels.
            gaze: natural or wide, as that of a folder.
            wide_yaw: rotate heads evenly up to 60 degrees to either side, unlike those of a folder.
        """
        super().__init__(
            head, seed=seed, frames_per_clip=frames, size=size, wide_gaze=gaze == "wide"
        )
        self.wide_yaw = wide_yaw

    def plan(self, index: int) -> ClipPlan:
        """Sample the plan of clip `index`."""
        plan = super().plan(index)
        if not self.wide_yaw:
            return plan
        rng = np.random.default_rng([self.seed, index, 1])
        yaw = rng.uniform(-1.0, 1.0, len(plan.frames)) * np.deg2rad(WIDE_YAW_DEG)
        angles = plan.frames.angles.copy()
        angles[:, 0] = yaw
        return replace(plan, frames=_rotated(plan.frames, angles))

    def pairs(self, index: int) -> Iterator[FrontalPair]:
        """Yield the pairs of clip `index`, one a frame."""
        plan = self.plan(index)
        straight = _straight(plan)
        cover = hair_cover(self.head, self._regions, plan.person)
        before, after = self._place(plan, cover), self._place(straight, cover)
        rotated = expose(self._render(plan, before, cover).image, plan.sensor)
        straightened = self._render(straight, after, cover)
        frontal = expose(straightened.image, straight.sensor)
        face = straightened.mask & inner_face(self.size)
        hidden = face & self._hidden(plan, before, after)
        labels = label_clip(plan, before, self.head.landmarks)
        marks = label_clip(straight, after, self.head.landmarks).landmarks
        for t in range(len(plan.frames)):
            yield FrontalPair(
                person=index,
                frame=t,
                yaw=float(labels.yaw[t]),
                rotated=rotated[t].transpose(1, 2, 0),
                frontal=frontal[t].transpose(1, 2, 0),
                face=face[t],
                hidden=hidden[t],
                rotated_marks=labels.landmarks[t],
                frontal_marks=marks[t],
            )

    def _hidden(self, plan: ClipPlan, before: Placement, after: Placement) -> NDArray[np.bool_]:
        """Return which pixels of the frontal images the rotated ones do not show. [T, S, S].

        Each vertex is painted by whether it is seen; the frontal view is rendered with that paint
        under an even light. What the frontal view itself hardly shows (nostrils, the rims of the
        lids) is not called hidden: red is seen rotated, green is seen from the front.
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
            seen = render_frames(other, Surface(paint, triangles, two_sided), even, empty).image[0]
            found[t] = (seen[..., 0] < 0.5) & (seen[..., 1] > 0.5)
        return found


def read_frontal(path: Path, context: EvalContext) -> FrontalSet:
    """Read a head model, and the clips that were rendered with it where they are there.

    Args:
        path: a folder of a head model, or of clips with a head model in it or beside it.
        context: gives the seed.

    Raises:
        MienError: no head model, or clips that it did not render; or there is no model to render
            the views with.
    """
    context.rendering_model("frontal")  # without one it is of no use to load a head
    file = _head_file(path)
    if file is None:
        raise MienError(
            f"frontal: {to_text(path)} has no {' or '.join(HEAD_FILES)}, nor is one beside it; "
            "clone ICT-FaceKit (USC Institute for Creative Technologies) and copy its FaceXModel"
        )
    head = load_head_model(file)
    arcface = path / ARCFACE_FILE if (path / ARCFACE_FILE).is_file() else None
    if (path / LABELS_FILE).is_file():
        clips = read_clips(path, "frontal")
        config = read_config(clips.tree, "frontal")
        if config["head_model"] != head.fingerprint:
            raise MienError(
                f"frontal: {to_text(path)} was rendered with another head model than "
                f"{to_text(file)}; give the one that it was rendered with"
            )
        stream = FrontalStream(
            head,
            seed=int(config["seed"]),
            frames=int(config["frames"]),
            size=int(config["size"]),
            gaze=str(config.get("gaze", "natural")),
            wide_yaw=False,
        )
        return FrontalSet(_of_clips(stream, clips, context.rng(0)), clips.checksum, arcface)
    seed = SEED + context.seed
    stream = FrontalStream(head, seed=seed, frames=FRAMES, size=SIZE, gaze="natural", wide_yaw=True)
    data = checksum([head.fingerprint, seed, PEOPLE, FRAMES, SIZE])
    return FrontalSet(_rendered_ones(stream, PEOPLE), data, arcface)


def _head_file(path: Path) -> Path | None:
    """Return the head model in a folder or, of clips, beside it."""
    inside = [path / name for name in HEAD_FILES]
    beside = [path.parent / name for name in HEAD_FILES]
    beside += [path.parent / "ict-facekit" / name for name in HEAD_FILES]
    places = [*inside, *beside] if (path / LABELS_FILE).is_file() else inside
    return next((place for place in places if place.exists()), None)


def _is_frontal(path: Path) -> bool:
    try:
        return path.is_dir() and _head_file(path) is not None
    except OSError:
        return False


def _rendered_ones(stream: FrontalStream, people: int) -> Iterator[FrontalPerson]:
    for index in range(people):
        pairs = list(stream.pairs(index))
        yield pairs, [pair.rotated for pair in pairs]


def _of_clips(
    stream: FrontalStream, clips: Clips, rng: np.random.Generator
) -> Iterator[FrontalPerson]:
    """Yield people of a folder, sampled until there are images enough.

    Raises:
        MienError: the folder's images are not what the head model renders.
    """
    order = rng.permutation(np.unique(clips.person))
    people = order[: max(1, MAX_IMAGES // stream.frames_per_clip)]
    images, checked = clips.images(), False
    for person in sorted(int(p) for p in people):
        rows = np.flatnonzero(clips.person == person)
        frames = clips.table["frame"].to_numpy(np.int64)[rows]
        pairs = list(stream.pairs(person - 1))
        kept = [pairs[int(frame)] for frame in frames if frame < len(pairs)]
        rotated = [images.read(int(row)) for row in rows]
        if not checked:
            _check(kept, rotated, clips)
            checked = True
        yield kept, rotated


def _check(pairs: list[FrontalPair], rotated: list[NDArray[np.uint8]], clips: Clips) -> None:
    same = len(pairs) == len(rotated) and all(
        pair.rotated.shape == image.shape
        and np.abs(pair.rotated.astype(np.float32) - image).mean() < SAME_IMAGE
        for pair, image in zip(pairs, rotated, strict=True)
    )
    if not same:
        raise MienError(
            f"frontal: the images in {clips.tree} are not what this version of `mien synth` "
            "renders; render the folder again"
        )


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
        _rotated(plan.frames, np.zeros_like(plan.frames.angles)),
        scale=zero + 1,
        shift=np.zeros((count, 2), dtype=np.float32),
        field_of_view=zero + np.float32(np.deg2rad(FIELD_OF_VIEW_DEG)),
    )
    sensor = Sensor(zero, zero, grey=plan.sensor.grey, noise_seed=plan.sensor.noise_seed)
    return replace(plan, frames=frames, sensor=sensor)


def _rotated(frames: Frames, angles: NDArray[np.floating]) -> Frames:
    """Return the frames with other head angles; the eyes keep their rotation in the head."""
    rotation = rotation_matrix(angles[:, 0], angles[:, 1], angles[:, 2]).astype(np.float32)
    gaze = -(rotation @ frames.eye_rotation)[:, :, 2]
    return replace(frames, rotation=rotation, angles=angles.astype(np.float32), gaze=gaze)


FRONTAL = DataSet(
    title="the frontal view made of a rotated face against the true one, rendered people",
    layout=LAYOUT,
    source="ICT-FaceKit: USC Institute for Creative Technologies (MIT); clips: yourself, with "
    "mien synth; an ArcFace network in ONNX: insightface's model zoo (non-commercial research)",
    matches=_is_frontal,
    read=read_frontal,
)
"""Rotated faces of rendered people, and the same people from the front."""
