"""Celebrities in Frontal-Profile (Sengupta et al. 2016): 7000 pairs in ten folds of other people.

FP is a frontal image with one in profile, FF two frontal ones.
Protocol/Pair_list_F.txt numbers the frontal images from 1, `1 ../Data/Images/001/frontal/01.jpg`,
Pair_list_P.txt those in profile; Protocol/Split/FP/01/same.txt and diff.txt have a pair of numbers
a line, `1,3`: in FP the first is of list F and the second of list P.
"""

from __future__ import annotations

import posixpath
import re
from functools import partial
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.insightface_bin import pair_set
from mien.evaluate.datasets.pairs import ListedPair, Pairs, assemble
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.tree import Tree, open_tree

__all__ = ["CFP_FF", "CFP_FP"]

FRONTAL = "Protocol/Pair_list_F.txt"
PROFILE = "Protocol/Pair_list_P.txt"
PLACES = (FRONTAL, f"cfp-dataset/{FRONTAL}")
FALLBACK = (0.1, 0.1, 0.9, 0.9)
"""Images are cut about the face; detectors miss many a profile."""


def read_cfp(path: Path, *, kind: str, protocol: str) -> Pairs:
    """Return CFP's pairs of one kind.

    Args:
        path: the folder or zip with Data/ and Protocol/, or with cfp-dataset/.
        kind: FF or FP.
        protocol: named in errors.

    Raises:
        MienError: lists or images are missing or broken.
    """
    tree = open_tree(path)
    place = next((name for name in PLACES if tree.has(name)), None)
    if place is None:
        raise MienError(
            f"{protocol}: {tree}/{FRONTAL} is missing; give the folder cfp-dataset with Data/ and "
            "Protocol/ as its authors (University of Maryland and others) publish it"
        )
    root = tree.under(place.removesuffix(FRONTAL))
    first = _numbered(root, FRONTAL)
    second = first if kind == "FF" else _numbered(root, PROFILE)
    listed, fold = [], []
    for number, folder in enumerate(_splits(root, kind, protocol)):
        for name, same in (("same.txt", True), ("diff.txt", False)):
            rows = _split_rows(root, f"{folder}/{name}", first, second, same=same)
            listed += rows
            fold += [number] * len(rows)
    return assemble(
        root,
        listed,
        file_of={name: name for name in root.names},
        person_of=lambda name: name.split("/")[-3],
        fold=np.array(fold, dtype=np.int64),
        fallback=FALLBACK,
        protocol=protocol,
    )


def _numbered(root: Tree, place: str) -> dict[int, str]:
    """Return number => path of an image below the root."""
    out = {}
    for number, line in root.lines(place):
        words = line.split(maxsplit=1)
        if len(words) != 2 or not words[0].isdigit():
            raise MienError(f"{root}/{place}: line {number} is not `1 ../Data/Images/...jpg`")
        out[int(words[0])] = posixpath.normpath(f"Protocol/{words[1].strip()}")
    return out


def _splits(root: Tree, kind: str, protocol: str) -> list[str]:
    pattern = re.compile(rf"(Protocol/Split/{kind}/[^/]+)/same\.txt")
    found = [match[1] for name in root.names if (match := pattern.fullmatch(name))]
    if len(found) < 2:
        raise MienError(
            f"{protocol}: {root}/Protocol/Split/{kind} has {len(found)} folds (01/same.txt, "
            "01/diff.txt, ...); copy the folder Protocol again"
        )
    return found


def _split_rows(
    root: Tree, place: str, first: dict[int, str], second: dict[int, str], *, same: bool
) -> list[ListedPair]:
    out = []
    for number, line in root.lines(place):
        words = [word.strip() for word in line.split(",")]
        if len(words) != 2 or not all(word.isdigit() for word in words):
            raise MienError(f"{root}/{place}: line {number} is not two numbers, `1,3`")
        one, other = int(words[0]), int(words[1])
        if one not in first or other not in second:
            raise MienError(f"{root}/{place}: line {number} names an image that is in no list")
        out.append(ListedPair(first[one], second[other], same))
    return out


def _cfp(kind: str, title: str) -> DataSet[Pairs]:
    name = f"cfp-{kind.lower()}"
    return pair_set(
        name,
        title=f"CFP-{kind}: 7000 pairs of {title}, ten folds",
        layout=(
            "DATA/Protocol/Pair_list_F.txt, Pair_list_P.txt\n"
            f"DATA/Protocol/Split/{kind}/01/same.txt, diff.txt, ... 10/\n"
            "DATA/Data/Images/001/frontal/01.jpg, profile/01.jpg (DATA or DATA/cfp-dataset)"
        ),
        source=(
            "Celebrities in Frontal-Profile in the Wild (cfpw.io), University of Maryland and "
            "others (Sengupta et al. 2016); research use"
        ),
        packed=f"cfp_{kind.lower()}.bin",
        lists=PLACES,
        read=partial(read_cfp, kind=kind, protocol=name),
    )


CFP_FP = _cfp("FP", "a frontal image and one in profile")
CFP_FF = _cfp("FF", "frontal images")
