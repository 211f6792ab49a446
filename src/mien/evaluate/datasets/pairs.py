"""Pairs of images in folds: what every verification set is read into, and its authors' lists.

LFW's pairs.txt starts with the number of folds and of pairs of either kind in each; then, fold by
fold, `NAME 1 4` for one person's images 1 and 4, and `NAME 1 OTHER 2` for two people. SLLFW,
CALFW and CPLFW give each pair two lines, one an image; those of the latter two end in a number
that is 0 for two people, else the number of the fold (CALFW) or 1 (CPLFW). What is not so written
is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.tree import Tree
from mien.evaluate.protocol import Images
from mien.linear.verification import FoldedPairs

__all__ = [
    "FOLDS",
    "ListedPair",
    "Pairs",
    "assemble",
    "folds_by_order",
    "lfw_pairs",
    "lfw_text",
    "looks_like_lfw",
    "row_pairs",
    "two_line_pairs",
]

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


@dataclass(frozen=True, kw_only=True)
class Pairs(FoldedPairs):
    """Images, and pairs of them."""

    images: Images
    """Every image once; some may be in no pair. N of them."""
    person: NDArray[np.int64] | None = None
    """Number of the person in each image; None where the data do not say. [N]."""
    width: float | None = None
    """Of every image, pixels; wanted with crop "box", where boxes are mirrored by it."""
    identify: bool = False
    """Whether there are images enough to look for the nearest among all people (rank-1)."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the data were read."""

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
    fallback: tuple[float, float, float, float] | None,
    protocol: str,
    fold: NDArray[np.int64] | None = None,
    more: Sequence[str] = (),
) -> Pairs:
    """Put the images of a list of pairs together.

    Args:
        tree: where the images are.
        listed: the pairs.
        file_of: an image's name in the list => its path in the tree.
        person_of: an image's name in the list => its person.
        fallback: as in `Images`.
        protocol: named in errors.
        fold: of each pair; ten, by the list's order, if not given. [P].
        more: names of images that are wanted in addition, for rank-1.

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
    place = {name: i for i, name in enumerate(names)}
    paths = [file_of[name] for name in names]
    same = np.array([pair.same for pair in listed], dtype=bool)
    people = np.unique([person_of(name) for name in names], return_inverse=True)[1]
    return Pairs(
        images=tree.images(paths, fallback=fallback),
        first=np.array([place[pair.first] for pair in listed], dtype=np.int64),
        second=np.array([place[pair.second] for pair in listed], dtype=np.int64),
        same=same,
        fold=folds_by_order(same=same, wanted=FOLDS, protocol=protocol) if fold is None else fold,
        person=people.reshape(-1).astype(np.int64),
        identify=bool(more),
    )


def looks_like_lfw(text: str) -> bool:
    """Return whether a text begins as View 2's pairs.txt does."""
    lines = text[:400].splitlines()
    header = lines[0].split() if lines else []
    row = lines[1].split() if len(lines) > 1 else []
    return len(header) == 2 and all(word.isdigit() for word in header) and len(row) in (3, 4)


def lfw_pairs(text: str, *, where: str) -> tuple[list[ListedPair], NDArray[np.int64]]:
    """Return the pairs of LFW's View 2, images called `NAME/NAME_0001`, and their folds.

    Args:
        text: of pairs.txt.
        where: the file, for errors.

    Raises:
        MienError: it is not such a list, is cut short, or is of View 1.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    if not lines or len(lines[0]) != 2 or not all(word.isdigit() for word in lines[0]):
        raise MienError(
            f"{where} does not begin with the numbers of folds and pairs (10 300): give LFW's "
            "pairs.txt of View 2"
        )
    folds, each = map(int, lines[0])
    if len(lines) - 1 != folds * 2 * each or folds < 2 or not each:
        raise MienError(
            f"{where} has {len(lines) - 1} pairs where its first line has {folds} x {2 * each}; "
            "copy it again"
        )
    listed = [_lfw_pair(words, number, where) for number, words in enumerate(lines[1:], 2)]
    fold = np.arange(len(listed)) // (2 * each)
    for i in range(folds):
        if sum(pair.same for pair in listed[2 * each * i : 2 * each * (i + 1)]) != each:
            raise MienError(f"{where}: fold {i + 1} has not {each} pairs of one person; copy again")
    return listed, fold


def lfw_text(rows: Sequence[Sequence[str]]) -> str:
    """Return View 2's list as pairs.txt has it, of the mirror's csv, whose rows are in its order.

    Args:
        rows: cells, the titles first: NAME,1,4, of one person and NAME,1,OTHER,2 of two.
    """
    cells = [[cell.strip() for cell in row if cell.strip()] for row in rows[1:]]
    each = len(cells) // (2 * FOLDS)
    return "\n".join([f"{FOLDS} {each}", *("\t".join(row) for row in cells)])


def two_line_pairs(text: str, *, where: str, labelled: bool) -> list[ListedPair]:
    """Return the pairs of a list with one line an image, in the file's order.

    Args:
        text: of the list.
        where: the file, for errors.
        labelled: whether lines are `NAME NUMBER`, NUMBER 0 for two people; else one person's
            images are those of one folder.

    Raises:
        MienError: it is not such a list.
    """
    lines = [line.split() for line in text.splitlines() if line.strip()]
    form = "`IMAGE NUMBER`" if labelled else "`PERSON/IMAGE`"
    wrong = [i for i, words in enumerate(lines, 1) if len(words) != (2 if labelled else 1)]
    if wrong:
        raise MienError(f"{where}: line {wrong[0]} is not {form}; copy the list again")
    if not lines or len(lines) % 2:
        raise MienError(f"{where} has {len(lines)} lines, not two for every pair; copy it again")
    listed = []
    for number, (one, other) in enumerate(zip(lines[::2], lines[1::2], strict=True)):
        if labelled and one[1] != other[1]:
            raise MienError(
                f"{where}: lines {2 * number + 1} and {2 * number + 2} are a pair and differ in "
                "their number; copy the list again"
            )
        same = _is_same(one[1], where) if labelled else _folder(one) == _folder(other)
        listed.append(ListedPair(one[0], other[0], same))
    return listed


def row_pairs(text: str, *, where: str) -> list[ListedPair]:
    """Return the pairs of a list of `IMAGE IMAGE LABEL`, label 1 for one person, else 0 or -1.

    Raises:
        MienError: it is not such a list.
    """
    listed = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or words[2] not in ("1", "0", "-1"):
            raise MienError(f"{where}: line {number} is not `IMAGE IMAGE LABEL` (1, 0 or -1)")
        listed.append(ListedPair(words[0], words[1], words[2] == "1"))
    return listed


def _lfw_pair(words: list[str], number: int, where: str) -> ListedPair:
    numbers = words[1:] if len(words) == 3 else words[1::2]
    if len(words) not in (3, 4) or not all(word.isdigit() for word in numbers):
        raise MienError(f"{where}: line {number} is neither `NAME 1 4` nor `NAME 1 OTHER 2`")
    people = (words[0], words[0] if len(words) == 3 else words[2])
    one, other = (f"{p}/{p}_{int(n):04d}" for p, n in zip(people, numbers, strict=True))
    return ListedPair(one, other, len(words) == 3)


def _is_same(word: str, where: str) -> bool:
    if not word.isdigit():
        raise MienError(f"{where}: {word} is not the number of a fold, nor 0 or 1")
    return int(word) > 0


def _folder(words: list[str]) -> str:
    return words[0].rpartition("/")[0]
