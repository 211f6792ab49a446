"""Lists of pairs as their authors wrote them => pairs of names; what is not so written is refused.

LFW's pairs.txt starts with the number of folds and of pairs of either kind in each; then, fold by
fold, `NAME 1 4` for one person's images 1 and 4, and `NAME 1 OTHER 2` for two people. SLLFW,
CALFW and CPLFW give each pair two lines, one an image; those of the latter two end in a number
that is 0 for two people, else the number of the fold (CALFW) or 1 (CPLFW).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.tasks.pairs import ListedPair

__all__ = ["lfw_pairs", "looks_like_lfw", "row_pairs", "two_line_pairs"]


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
            f"{where} has {len(lines) - 1} pairs where its first line says {folds} x {2 * each}; "
            "copy it again"
        )
    listed = [_lfw_pair(words, number, where) for number, words in enumerate(lines[1:], 2)]
    fold = np.arange(len(listed)) // (2 * each)
    for i in range(folds):
        if sum(pair.same for pair in listed[2 * each * i : 2 * each * (i + 1)]) != each:
            raise MienError(f"{where}: fold {i + 1} has not {each} pairs of one person; copy again")
    return listed, fold


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

    Args:
        text: of the list.
        where: the file, for errors.

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
