"""Pairs of images in folds: what every verification protocol reads its files into."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree
from mien.evaluate.protocol import Images

__all__ = ["FOLDS", "ListedPair", "Pairs", "assemble", "folds_by_order"]

FOLDS = 10


@dataclass(frozen=True)
class ListedPair:
    """A line (or two) of a list of pairs."""

    first: str
    """Name of an image as the list has it."""
    second: str
    """Name of the other."""
    same: bool
    """Whether it is one person."""


@dataclass(frozen=True)
class Pairs:
    """Images, and pairs of them."""

    images: Images
    """Every image once; some may be in no pair. N of them."""
    first: NDArray[np.int64]
    """Number of each pair's first image. [P]."""
    second: NDArray[np.int64]
    """Number of its second. [P]."""
    same: NDArray[np.bool_]
    """Whether it is one person. [P]."""
    fold: NDArray[np.int64]
    """0, 1, ... [P]."""
    person: NDArray[np.int64] | None = None
    """Number of the person in each image; None where the data do not say. [N]."""
    width: float | None = None
    """Of every image, pixels; wanted with crop "box", where boxes are mirrored by it."""

    def __post_init__(self) -> None:
        """Refuse what does not fit together."""
        if not len(self.first) == len(self.second) == len(self.same) == len(self.fold):
            raise ValueError("pairs have two images, a label and a fold each")
        if len(np.unique(self.fold)) < 2 or len(np.unique(self.same)) < 2:
            raise ValueError("two folds or more and both kinds of pairs are wanted")
        if self.person is not None and len(self.person) != len(self.images):
            raise ValueError("every image has a person")
        if self.images.crop == "box" and self.width is None:
            raise ValueError('crop "box" goes with the width of the images')

    def __len__(self) -> int:
        return len(self.first)

    @property
    def group(self) -> NDArray[np.int64] | None:
        """Return whose pair each is (the first image's person), or None. [P]."""
        return None if self.person is None else self.person[self.first]


def folds_by_order(*, same: NDArray[np.bool_], wanted: int, protocol: str) -> NDArray[np.int64]:
    """Return the fold of each pair of a list in which folds follow each other. [P].

    Equal stretches of the list are the folds where each holds both kinds of pairs; in a list that
    has all of one kind before the other, fold i is the i-th part of either kind.

    Args:
        same: whether it is one person, in the list's order. [P].
        wanted: number of folds; fewer where there are not as many pairs of either kind.
        protocol: named in errors.

    Raises:
        MienError: there are fewer than two pairs of one kind.
    """
    count = int(min(wanted, same.sum(), (~same).sum()))
    if count < 2:
        raise MienError(
            f"{protocol}: {int(same.sum())} pairs of one person and {int((~same).sum())} of two "
            "people are too few; two of each is the least"
        )
    stretch = np.arange(len(same)) * count // len(same)
    if all(0 < same[stretch == i].sum() < (stretch == i).sum() for i in range(count)):
        return stretch
    fold = np.empty(len(same), dtype=np.int64)
    for kind in (True, False):
        rows = np.flatnonzero(same == kind)
        fold[rows] = np.arange(len(rows)) * count // len(rows)
    return fold


def assemble(
    tree: Tree,
    listed: Sequence[ListedPair],
    *,
    file_of: Mapping[str, str],
    person_of: Callable[[str], str],
    fold: NDArray[np.int64],
    fallback: tuple[float, float, float, float] | None,
    protocol: str,
    more: Sequence[str] = (),
) -> Pairs:
    """Put the images of a list of pairs together.

    Args:
        tree: where the images are.
        listed: the pairs.
        file_of: an image's name in the list => its path in the tree.
        person_of: an image's name in the list => its person.
        fold: of each pair. [P].
        fallback: as in `Images`.
        protocol: named in errors.
        more: names of images that are wanted in addition.

    Raises:
        MienError: images are missing.
    """
    named = [name for pair in listed for name in (pair.first, pair.second)]
    missing = sorted({name for name in named if name not in file_of})
    if missing:
        raise MienError(
            f"{protocol}: {len(missing)} images of the pairs are not in {tree}, first "
            f"{missing[0]}; unpack the images there"
        )
    names = sorted({*named, *more})
    number = {name: i for i, name in enumerate(names)}
    paths = tuple(file_of[name] for name in names)
    people = np.unique([person_of(name) for name in names], return_inverse=True)[1]
    return Pairs(
        images=Images(paths, lambda i: tree.image(paths[i]), fallback=fallback),
        first=np.array([number[pair.first] for pair in listed], dtype=np.int64),
        second=np.array([number[pair.second] for pair in listed], dtype=np.int64),
        same=np.array([pair.same for pair in listed], dtype=bool),
        fold=fold,
        person=people.reshape(-1).astype(np.int64),
    )
