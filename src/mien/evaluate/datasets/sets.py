"""What readers make of files: images with labels and a split, ready to be scored by a task.

No metric and nothing fitted: that is in mien.evaluate.tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.protocol import EvalContext, Images, checksum

__all__ = [
    "ActionUnitSet",
    "DataSet",
    "ExpressionSet",
    "GazeSet",
    "LabelledSet",
    "LightSet",
    "PoseSet",
    "ShapeSet",
    "ValenceArousalSet",
    "evenly",
    "sample_per_class",
]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]
Set = TypeVar("Set", covariant=True)


@dataclass(frozen=True)
class DataSet(Generic[Set]):
    """A data set as its authors publish it: how it is recognised, and how it is read."""

    title: str
    """What is measured on it, in a line."""
    layout: str
    """The files that are wanted, below the data set's folder."""
    source: str
    """Where a person obtains them."""
    matches: Callable[[Path], bool]
    """Whether a folder or zip is this data set; cheap, never raises."""
    read: Callable[[Path, EvalContext], Set]
    """Folder or zip => labels, split, and images that are read when asked for. The context gives
    the seed, and the size at which a model renders. Raises MienError that names exactly what is
    missing."""


@dataclass(frozen=True)
class LabelledSet:
    """Images with a class each, and the folds in which they train and test."""

    images: Images
    labels: Rows
    """Places in `classes`. [N]."""
    classes: tuple[str, ...]
    folds: tuple[tuple[Rows, Rows], ...]
    """Training rows and test rows; one pair where the split is fixed. No row is tested twice."""
    groups: Rows | None = None
    """Of whom or of which clip an image is; kept together wherever rows are sampled. [N]."""
    balanced: bool = False
    """Whether every class weighs the same in training, whatever the number of its images."""
    variant: str = ""
    """Added to every score's name, as ", 7 classes"; tells several label sets apart."""
    main: tuple[str, ...] = ("accuracy",)
    """Names of the metrics that the data set is known for."""
    subsets: Mapping[str, Rows] = field(default_factory=dict)
    """Name => rows; those of them that are tested are scored for themselves, too."""

    def __post_init__(self) -> None:
        """Refuse what no probe can be fitted to."""
        for train, test in self.folds:
            if not len(train) or not len(test):
                raise MienError(
                    f"there are {len(train)} images to learn from and {len(test)} to test on; "
                    "the data set is not complete: copy it again"
                )
            if len(np.unique(self.labels[train])) < 2:
                raise MienError("the training images show one class only; copy the set again")

    @property
    def tested(self) -> Rows:
        """The rows that are tested, fold after fold. [M]."""
        return np.concatenate([test for _, test in self.folds])

    def absent(self) -> list[str]:
        """Return a note for each part, training or test, in which classes are missing."""
        parts = {"training": np.concatenate([train for train, _ in self.folds])}
        parts["test"] = self.tested
        notes = []
        for part, rows in parts.items():
            there = set(self.labels[rows].tolist())
            lacking = [name for place, name in enumerate(self.classes) if place not in there]
            if lacking:
                notes.append(f"no {part} image shows {', '.join(lacking)}{self.variant}")
        return notes


@dataclass(frozen=True)
class _SplitSet:
    """Images with several numbers each, in a training and a test part."""

    images: Images
    names: tuple[str, ...]
    """Of the numbers: valence, arousal; or AU1, AU2."""
    values: NDArray[Any]
    """Of rows that are in neither part anything. [N, K]."""
    train: Rows
    test: Rows
    groups: Rows | None = None
    """Clips. [N]."""

    @property
    def checksum(self) -> str:
        """12 hex digits of the parts, the names and the numbers."""
        return checksum(
            f"{part} {self.images.names[int(row)]} {self.values[row].tolist()}"
            for part, rows in (("train", self.train), ("test", self.test))
            for row in rows
        )


class ValenceArousalSet(_SplitSet):
    """Images with numbers from -1 to 1 instead of classes."""


class ActionUnitSet(_SplitSet):
    """Images with action units that are seen (1) or not (0)."""


@dataclass(frozen=True)
class ExpressionSet:
    """One data set of expressions: the same images under one or several kinds of labels."""

    images: Images
    labels: tuple[LabelledSet | ValenceArousalSet | ActionUnitSet, ...]
    notes: tuple[str, ...] = ()
    """What a reader must know of how the data were read, and what of them is not used."""


@dataclass(frozen=True, kw_only=True)
class _Known:
    """Images of people of which numbers are known; rows are in the order of the images."""

    images: Images
    person: Rows
    """Who it is; where nobody knows what keeps people apart, as the recording or the row. [N]."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the data were read."""

    def __len__(self) -> int:
        return len(self.person)

    def _checksum(self, values: Array) -> str:
        """Return 12 hex digits of the names and labels. [N, 3]."""
        rows = zip(self.images.names, self.person, values, strict=True)
        return checksum(f"{n} {p} {x:.5f} {y:.5f} {z:.5f}" for n, p, (x, y, z) in rows)


@dataclass(frozen=True, kw_only=True)
class GazeSet(_Known):
    """Images with known gaze.

    Directions are unit vectors in the frame of a camera that looks at the face: x to image-right,
    y down, z away; who looks into it has (0, 0, -1).
    """

    gaze: Array
    """[N, 3]."""
    folds: tuple[tuple[Rows, Rows], ...]
    """Training rows, test rows; nobody is in both."""
    head: Array | None = None
    """The head's true angles, as many as are known: yaw, then pitch; same frame. Radians [N, A]."""
    parts: Mapping[str, NDArray[np.bool_]] = field(default_factory=dict)
    """Rows whose error is reported apart: name => mask [N]."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        count = len(self.images)
        if self.person.shape != (count,) or self.gaze.shape != (count, 3):
            raise ValueError("every image has a person and a gaze")
        if not np.allclose(np.linalg.norm(self.gaze, axis=1), 1, atol=1e-5):
            raise ValueError("gaze is given by unit vectors")

    @property
    def checksum(self) -> str:
        """12 hex digits of the names and labels."""
        return self._checksum(self.gaze)

    def source_rows(self) -> Rows:
        """Return the rows that another set's test is fitted on: all, or the one training part."""
        return self.folds[0][0] if len(self.folds) == 1 else np.arange(len(self))

    def target_rows(self) -> Rows:
        """Return the rows that a fit to another set is tested on: all, or the one test part."""
        return self.folds[0][1] if len(self.folds) == 1 else np.arange(len(self))


@dataclass(frozen=True, kw_only=True)
class PoseSet(_Known):
    """Images with known head pose."""

    angles: Array
    """True yaw, pitch, roll in the benchmarks' order of rotations. Radians [N, 3]."""
    sight: Array | None = None
    """True rotation as seen along the line to the head; None where that is not known.
    [N, 3, 3]."""

    @property
    def checksum(self) -> str:
        """12 hex digits of the names and labels."""
        return self._checksum(self.angles)


@dataclass(frozen=True, kw_only=True)
class LightSet(_Known):
    """Images under one known lamp each."""

    direction: Array
    """Unit vector to the lamp, camera frame. [N, 3]."""
    pose: Rows
    """The set's number of the head pose. [N]."""

    @property
    def checksum(self) -> str:
        """12 hex digits of the names and labels."""
        return self._checksum(self.direction)


@dataclass(frozen=True)
class ShapeSet:
    """The true depth of images, at the size at which the model renders."""

    names: tuple[str, ...]
    read: Callable[[int], NDArray[np.uint8]]
    """Number of an image => RGB [H, W, 3]."""
    depth: Array
    """z before the model's camera, the face about 1 away; 0 where nothing is known. [N, S, S]."""
    mask: NDArray[np.bool_]
    """Where the true face is. [N, S, S]."""
    group: Rows
    """Who it is; the row's own number where nobody knows. [N]."""
    yaw: Array | None
    """True head yaw, radians; None where that is not known. [N]."""
    data: str
    """The checksum of names and labels."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.names)


def evenly(total: int, most: int) -> Rows:
    """Return at most `most` of `total` rows, evenly spaced, the first among them."""
    if total <= most:
        return np.arange(total)
    return np.linspace(0, total, most, endpoint=False).astype(np.int64)


def sample_per_class(*, labels: Rows, count: int, rng: np.random.Generator) -> Rows:
    """Return so many rows of each class, or all of a class that has fewer; sorted."""
    sampled = [rng.permutation(np.flatnonzero(labels == k))[:count] for k in np.unique(labels)]
    return np.sort(np.concatenate(sampled))
