"""What a set of labelled faces must be before anything is learned from it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.probes.match import Matched

__all__ = ["FEWEST", "KINDS", "Samples", "samples_of"]

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

KINDS = ("auto", "class", "number")
FEWEST = 8
"""Labels without which nothing is learned."""
_MOST_LEVELS = 12
"""So many different whole numbers, or fewer, are taken for classes."""


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
        number = np.unique(self.groups, return_inverse=True)[1].reshape(-1)
        if number.max(initial=0) == 0:
            number = np.arange(len(self))
        means = np.bincount(number, self.labels) / np.bincount(number)
        shuffled = rng.permutation(len(means))
        ordered = shuffled[np.argsort(means[shuffled], kind="stable")]
        part = np.empty(len(means), dtype=np.int64)
        part[ordered] = np.arange(len(means)) % min(count, len(means))
        return part[number]


def samples_of(matched: Matched, kind: str = "auto") -> Samples:
    """Return what can be learned from, or refuse it.

    Args:
        matched: by `mien.probes.match.match`.
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
        lost = matched.without_codes
        why = f", because the table has no codes of {len(lost)}, first {lost[0]}" if lost else ""
        raise MienError(
            f"{len(texts)} labels are too few to probe with{why}: give {FEWEST} or more"
        )
    broken = np.flatnonzero(~np.isfinite(matched.codes).all(axis=1))
    if len(broken):
        raise MienError(
            f"{len(broken)} samples have no codes, first {matched.names[broken[0]]}: leave them out"
        )
    values = [_number(text) for text in texts]
    if kind == "number" or (kind == "auto" and _are_numbers(values)):
        labels, classes = _numbers(matched, values), ()
    else:
        labels, classes = _classes(matched)
    groups, by = _groups(matched)
    return Samples(matched.codes, labels, classes, groups, by)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _are_numbers(values: list[float | None]) -> bool:
    there = [value for value in values if value is not None]
    if len(there) < len(values):
        return False
    finite = [value for value in there if math.isfinite(value)]
    # A label that is "nan" is a number that is missing: it is refused as such.
    return len(set(finite)) > _MOST_LEVELS or any(value % 1 for value in finite)


def _numbers(matched: Matched, values: list[float | None]) -> Array:
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


def _classes(matched: Matched) -> tuple[Whole, tuple[str, ...]]:
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
    value = _number(text)
    return (value if value is not None and math.isfinite(value) else math.inf), text


def _groups(matched: Matched) -> tuple[Whole, str]:
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
    first: dict[bytes, int] = {}
    above = list(range(int(groups.max()) + 1))

    def top(group: int) -> int:
        while above[group] != group:
            group = above[group]
        return group

    for group, row in zip(groups.tolist(), codes, strict=True):
        one, other = top(group), top(first.setdefault(row.tobytes(), group))
        above[max(one, other)] = min(one, other)
    return np.array([top(group) for group in groups.tolist()], dtype=np.int64)
