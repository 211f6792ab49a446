"""Samples to learn from: what they must be, and which of them are left out together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from mien.errors import MienError
from mien.geometry.gaze import gaze_angles
from mien.linear.folds import group_parts
from mien.probes.face_rows import number_of
from mien.probes.match import FEWEST_GAZE, MatchedLabels

__all__ = [
    "FEWEST",
    "KINDS",
    "GazeSamples",
    "Samples",
    "check_angles",
    "check_inputs",
    "samples_of",
    "target_angles",
    "target_groups",
]

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

KINDS = ("auto", "class", "number")
FEWEST = 8
"""Labels without which nothing is learned."""
_MOST_LEVELS = 12
"""So many different whole numbers, or fewer, are taken for classes."""
_LEAST_STD_DEG = 2.0
_LEAST_WIDTH_DEG = 1.0
_UNIT = 0.01
_PLACE_DEG = 0.1


@dataclass(frozen=True)
class Samples:
    """What a probe is made of."""

    codes: Array
    """[N, F]."""
    labels: NDArray[Any]
    """Numbers of classes, int64; or the numbers to be learned, float64. [N]."""
    classes: tuple[str, ...]
    """Names of the classes; () for numbers."""
    groups: Whole
    """What is left out together has one number. [N]."""
    by: str
    """What such a group is: "people", "files" or "faces"."""

    def __len__(self) -> int:
        return len(self.codes)

    @property
    def numbers(self) -> bool:
        """Return whether numbers are to be learned, and not classes."""
        return not self.classes

    def take(self, rows: Whole) -> Samples:
        """Return some of the samples."""
        return replace(
            self, codes=self.codes[rows], labels=self.labels[rows], groups=self.groups[rows]
        )

    def parts(self, count: int, rng: np.random.Generator) -> Whole:
        """Return which part each sample is in, groups whole, labels spread evenly. [N].

        Args:
            count: of parts; fewer if there are fewer groups. One group alone is divided.
            rng: shuffles.
        """
        return group_parts(labels=self.labels, groups=self.groups, count=count, rng=rng)


def samples_of(matched: MatchedLabels, kind: str = "auto") -> Samples:
    """Return what can be learned from, or refuse it.

    Args:
        matched: by `mien.probes.match.match_labels`.
        kind: class; number; auto: number where every label is one and they are more than twelve
            different ones, or not whole.

    Raises:
        MienError: if labels are too few, all the same, or one is no number where numbers are
            wanted; if a class has one label only, all labels are of one person, or a sample has no
            codes.
    """
    if kind not in KINDS:
        raise MienError(f"there is no kind {kind}; give one of {', '.join(KINDS)}")
    texts = matched.texts
    if len(texts) < FEWEST:
        codeless = matched.without_codes
        why = (
            f", because the table has no codes of {len(codeless)}, first {codeless[0]}"
            if codeless
            else ""
        )
        raise MienError(
            f"{len(texts)} labels are too few to probe with{why}: give {FEWEST} or more"
        )
    broken = np.flatnonzero(~np.isfinite(matched.codes).all(axis=1))
    if len(broken):
        raise MienError(
            f"{len(broken)} samples have no codes, first {matched.names[broken[0]]}: leave them out"
        )
    values = [number_of(text) for text in texts]
    if kind == "number" or (kind == "auto" and _are_numbers(values)):
        labels, classes = _numbers(matched, values), ()
    else:
        labels, classes = _classes(matched)
    groups, by = _groups(matched)
    return Samples(matched.codes, labels, classes, groups, by)


def _are_numbers(values: list[float | None]) -> bool:
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return False
    finite = [value for value in there if math.isfinite(value)]
    # A label that is "nan" is a number that is missing: it is refused as such.
    return len(set(finite)) > _MOST_LEVELS or any(value % 1 for value in finite)


def _numbers(matched: MatchedLabels, values: list[float | None]) -> Array:
    broken = [i for i, v in enumerate(values) if v is None or not math.isfinite(v)]
    if broken:
        raise MienError(
            f"{len(broken)} labels of {matched.label} are no finite numbers, first "
            f"{matched.texts[broken[0]]!r} of {matched.names[broken[0]]}: leave them empty, or "
            "give --kind class"
        )
    numbers = np.array(values, dtype=np.float64)
    if numbers.min() == numbers.max():
        raise MienError(
            f"all {len(numbers)} labels of {matched.label} are {numbers[0]:g}: give faces with "
            "other numbers too"
        )
    return numbers


def _classes(matched: MatchedLabels) -> tuple[Whole, tuple[str, ...]]:
    texts = np.array(matched.texts, dtype=object)
    names = sorted(set(matched.texts), key=_order)
    if len(names) == 1:
        raise MienError(
            f"all {len(texts)} labels of {matched.label} are {names[0]!r}: give faces of another "
            "class too"
        )
    labels = np.array([names.index(text) for text in texts], dtype=np.int64)
    single = [names[i] for i in np.flatnonzero(np.bincount(labels) == 1)]
    if single:
        raise MienError(
            f"{len(single)} classes of {matched.label} have one label only, first {single[0]!r}: "
            "give each two or more, or leave it out (--kind number if they are numbers)"
        )
    return labels, tuple(names)


def _order(text: str) -> tuple[float, str]:
    """Return what classes are sorted by: 2 before 10, words behind numbers."""
    value = number_of(text)
    return (value if value is not None and math.isfinite(value) else math.inf), text


def _groups(matched: MatchedLabels) -> tuple[Whole, str]:
    """Return what is to be left out together: a number for each sample [N], and its name.

    People where they are known; else what is of one file, because frames of one video are nearly
    the same sample; else single faces. The same image twice is in one group.
    """
    if matched.people is not None:
        people = np.unique(np.array(matched.people), return_inverse=True)[1].reshape(-1)
        if not people.any():
            raise MienError(
                f"all labels are of one person, {matched.people[0]}: whether others are understood "
                "cannot be measured; give faces of more people, or leave the column out"
            )
        return people.astype(np.int64), "people"
    count = len(matched.files)
    files = np.unique(np.array(matched.files), return_inverse=True)[1].reshape(-1)
    by = "files" if 0 < files.max() < count - 1 else "faces"
    groups = (files if by == "files" else np.arange(count)).astype(np.int64)
    return _joined(groups, matched.codes), by


def _joined(groups: Whole, codes: Array) -> Whole:
    """Return groups of which those with one and the same sample are made one. [N]."""
    number = np.unique(codes, axis=0, return_inverse=True)[1].reshape(-1)
    sample = groups.max() + 1 + number  # groups and samples are the nodes of one graph
    size = int(sample.max()) + 1
    shared = coo_array((np.ones(len(groups)), (groups, sample)), shape=(size, size))
    return connected_components(shared, directed=False)[1][groups].astype(np.int64)


@dataclass(frozen=True)
class GazeSamples:
    """What a calibration is made of."""

    inputs: Array
    """Code, then head pose if it is used. [N, f]."""
    angles: Array
    """Yaw and pitch of the targets, rad. [N, 2]."""
    people: NDArray[np.str_] | None
    """Who it is. [N]."""
    code_dim: int

    def __len__(self) -> int:
        return len(self.inputs)

    def take(self, rows: Whole) -> GazeSamples:
        """Return some of the samples."""
        people = None if self.people is None else self.people[rows]
        return GazeSamples(self.inputs[rows], self.angles[rows], people, self.code_dim)

    def groups(self, *, by_people: bool) -> tuple[Whole, str]:
        """Return which samples are to be left out together, and the name of such a group.

        People where they are asked for and there are two; else what is looked at, because frames
        of one look at one target are nearly the same sample; else single samples.

        Returns:
            A number for each sample [N]; "people", "targets" or "samples".
        """
        if by_people and self.people is not None and len(set(self.people)) > 1:
            return np.unique(self.people, return_inverse=True)[1].astype(np.int64), "people"
        places = target_groups(self.angles)
        # A few random targets may fall together; then samples do not come in places.
        if 1 < len(set(places)) <= len(self) / 2:
            return places, "targets"
        return np.arange(len(self)), "samples"


def check_inputs(inputs: Array, names: Sequence[str]) -> None:
    """Refuse samples that are too few, not finite, or there twice.

    Args:
        inputs: code, then head pose if it is used. [N, f].
        names: of the rows, for messages. [N].

    Raises:
        MienError: if so.
    """
    if len(inputs) < FEWEST_GAZE:
        raise MienError(
            f"{len(inputs)} samples are too few to calibrate with: give {FEWEST_GAZE} or more"
        )
    broken = np.flatnonzero(~np.isfinite(inputs).all(axis=1))
    if len(broken):
        raise MienError(
            f"{len(broken)} samples have no gaze code or no head pose, first {names[broken[0]]}: "
            "leave them out"
        )
    first: dict[bytes, int] = {}
    original = [first.setdefault(row.tobytes(), i) for i, row in enumerate(inputs)]
    again = [i for i, before in enumerate(original) if before != i]
    if again:
        raise MienError(
            f"{len(again)} samples have the very code of another, first {names[again[0]]} that of "
            f"{names[original[again[0]]]}: give every image once"
        )


def target_angles(targets: Array, names: Sequence[str]) -> Array:
    """Return yaw and pitch of the targets, rad. [N, 3] => [N, 2].

    Args:
        targets: unit vectors, camera frame. [N, 3].
        names: of the rows, for messages. [N].

    Raises:
        MienError: if a target is not finite or no unit vector, or if most look away from the
            camera, which no face does whose eyes are seen.
    """
    lengths = np.linalg.norm(targets, axis=1)
    broken = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT))
    if len(broken):
        raise MienError(
            f"{len(broken)} targets are no unit vectors, first that of {names[broken[0]]} of "
            f"length {lengths[broken[0]]:.3g}: give directions of length 1"
        )
    away = int((targets[:, 2] > 0).sum())
    if away > len(targets) / 2:
        raise MienError(
            f"{away} of {len(targets)} targets look away from the camera: the frame is x right, "
            "y down, z away from the camera, so that people who are seen look towards negative z"
        )
    return np.stack(gaze_angles(targets), axis=1)


def check_angles(angles: Array) -> None:
    """Refuse targets that lie in one place or on one line.

    Args:
        angles: yaw and pitch, rad. [N, 2].

    Raises:
        MienError: if so, naming the angle that cannot be learned.
    """
    centred = np.rad2deg(angles - angles.mean(axis=0))
    std = math.sqrt((centred**2).sum(axis=1).mean())
    if std < _LEAST_STD_DEG:
        raise MienError(
            f"the targets lie all in one place (standard deviation {std:.2g} degrees): let people "
            "look at places that are 10 degrees apart or more"
        )
    widths, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    width = math.sqrt(max(widths[0], 0.0))
    if width >= _LEAST_WIDTH_DEG:
        return
    of_yaw, of_pitch = np.abs(axes[:, 0])
    if max(of_yaw, of_pitch) > 0.95:
        missing, way = ("yaw", "left and right") if of_yaw > of_pitch else ("pitch", "up and down")
        raise MienError(
            f"the targets lie on one line (width {width:.2g} degrees): {missing} cannot be "
            f"learned; add targets further {way}"
        )
    raise MienError(
        f"the targets lie on one slanted line (width {width:.2g} degrees): yaw and pitch cannot be "
        "told apart; add targets beside the line"
    )


def target_groups(angles: Array) -> NDArray[np.int64]:
    """Return a number for each place that is looked at, equal for equal places. [N].

    Args:
        angles: yaw and pitch, rad. [N, 2].
    """
    places = np.round(np.rad2deg(angles) / _PLACE_DEG)
    return np.unique(places, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
