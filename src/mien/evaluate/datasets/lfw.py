"""Labeled Faces in the Wild (Huang et al. 2007) and three sets of pairs made of its people.

LFW, View 2: 6000 pairs in ten folds that share nobody; the list is pairs.txt. Images are 250 x
250; the face that Viola and Jones's detector found is in the middle, its box enlarged by 2.2. The
square that is taken where ours finds none is that box as our crops frame it.

SLLFW (Deng et al. 2017): LFW's pairs of one person, and pairs of people who look alike.
pair_SLLFW.txt has two lines a pair, `PERSON/PERSON_0001.jpg`; ten folds follow each other, in each
300 pairs of one person and then 300 of two.

CPLFW and CALFW (Zheng et al.): LFW's people under unlike head poses, and at unlike ages; a list of
two lines a pair, `IMAGE NUMBER`, NUMBER 0 for two people, and images in one flat folder. In CALFW's
the 3000 pairs of one person come first, numbered by their fold 1 to 10, then the 3000 of two people
without a fold: the i-th tenth of these is taken for fold i.

Each may stand there as one file of InsightFace's instead.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mien.errors import MienError
from mien.evaluate.datasets.insightface_bin import pair_set
from mien.evaluate.datasets.pairs import (
    ListedPair,
    Pairs,
    assemble,
    lfw_pairs,
    lfw_text,
    looks_like_lfw,
    two_line_pairs,
)
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.tree import Tree, open_tree

__all__ = ["CALFW", "CPLFW", "LFW", "SLLFW", "person_of"]

_HALF = 1.05 / 2.2 / 2  # half a side of `faces.crop`'s square on a Haar box, fraction of the image
_RIGHT, _DOWN = -0.003 / 2.2, 0.006 / 2.2
MIDDLE = (
    0.5 + _RIGHT - _HALF,
    0.5 + _DOWN - _HALF,
    0.5 + _RIGHT + _HALF,
    0.5 + _DOWN + _HALF,
)
"""Where the face is in LFW's images: x1, y1, x2, y2 as fractions of width and height."""

LFW_LIST, SLLFW_LIST = "pairs.txt", "pair_SLLFW.txt"
LFW_CSV = "pairs.csv"
"""Of the mirror on Kaggle: name,imagenum1,imagenum2, with a fourth column where two people are."""
# Of CPLFW and CALFW: images as they are, then as the authors aligned them.
FOLDERS = ("images", "aligned images")
_BEIJING = "Beijing University of Posts and Telecommunications"
_IMAGE = re.compile(r"(?:(.*)/)?([^/]+)/(\2_\d{4})\.(?:jpe?g|png)", re.IGNORECASE)
_NUMBER = re.compile(r"_\d+(\.[A-Za-z]+)?$")


def read_lfw(path: Path) -> Pairs:
    """Return LFW's pairs with all images of people who have several, from a folder or zip.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    place = _lfw_list(tree)
    if place is None:
        raise MienError(
            f"lfw: {tree}/{LFW_LIST} is missing; LFW's {LFW_LIST} of View 2 goes beside its images "
            "(University of Massachusetts, Amherst)"
        )
    text = tree.read_text(place)
    if place.endswith(".csv"):
        text = lfw_text([row for _, row in tree.rows(place)])
    listed, fold = lfw_pairs(text, where=f"{tree}/{place}")
    images = lfw_images(tree, protocol="lfw")
    count = Counter(map(person_of, images[0]))
    more = [name for name in images[0] if count[person_of(name)] > 1]
    return _assembled(tree, listed, images, protocol="lfw", fold=fold, more=more)


def read_sllfw(path: Path) -> Pairs:
    """Return SLLFW's pairs, from a folder or zip with the list and LFW's images.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    text, where = _list(
        tree,
        SLLFW_LIST,
        f"sllfw: {tree}/{SLLFW_LIST} is missing; obtain it from the authors of SLLFW ({_BEIJING}) "
        "and put it beside LFW's images",
    )
    rows = two_line_pairs(text, where=where, labelled=False)
    listed = [ListedPair(_stem(row.first), _stem(row.second), row.same) for row in rows]
    return _assembled(tree, listed, lfw_images(tree, protocol="sllfw"), protocol="sllfw")


def read_cross(path: Path, *, protocol: str) -> Pairs:
    """Return the pairs of CPLFW or CALFW.

    Args:
        path: the folder or zip.
        protocol: cplfw or calfw.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree, listing = open_tree(path), _cross_list(protocol)
    place = next((name for name in tree.names if name.rpartition("/")[2] == listing), listing)
    text, where = _list(
        tree,
        place,
        f"{protocol}: {tree}/{listing} is missing; it comes with the images from the authors "
        f"({_BEIJING})",
    )
    listed = two_line_pairs(text, where=where, labelled=True)
    images = _cross_images(tree, {pair.first for pair in listed})
    return _assembled(tree, listed, images, protocol=protocol, whose=partial(_NUMBER.sub, ""))


def _assembled(
    tree: Tree,
    listed: list[ListedPair],
    images: tuple[dict[str, str], str],
    *,
    protocol: str,
    whose: Callable[[str], str] | None = None,
    **more: Any,
) -> Pairs:
    """Put pairs together of images in one folder, as `lfw_images` finds them."""
    file_of, place = images
    pairs = assemble(
        tree,
        listed,
        file_of=file_of,
        person_of=whose or person_of,
        fallback=MIDDLE,
        protocol=protocol,
        **more,
    )
    return replace(pairs, notes=(f"Images of {place}/",) if place else ())


def _list(tree: Tree, name: str, missing: str) -> tuple[str, str]:
    """Return a list's text, and where it is."""
    if not tree.has(name):
        raise MienError(missing)
    return tree.read_text(name), f"{tree}/{name}"


def lfw_images(tree: Tree, *, protocol: str) -> tuple[dict[str, str], str]:
    """Find images called `PERSON/PERSON_0001.jpg` at any depth of a data set.

    Returns:
        `PERSON/PERSON_0001` => the path in the tree, and the folder that they are in ("" for the
        data set itself); of several copies (lfw, lfw_funneled) the first by name with the most
        images.

    Raises:
        MienError: there is none.
    """
    found: dict[str, dict[str, str]] = {}
    for name in tree.names:
        match = _IMAGE.fullmatch(name)
        if match is not None:
            above, person, stem = match.groups()
            found.setdefault(above or "", {})[f"{person}/{stem}"] = name
    if not found:
        raise MienError(
            f"{protocol}: {tree} holds no image called PERSON/PERSON_0001.jpg; unpack LFW's "
            "lfw.tgz there"
        )
    place = max(sorted(found), key=lambda above: len(found[above]))
    return found[place], place


def person_of(name: str) -> str:
    """Return the person in an image called `PERSON/PERSON_0001`."""
    return name.rpartition("/")[0]


def _cross_images(tree: Tree, wanted: set[str]) -> tuple[dict[str, str], str]:
    """Return file name => path, for the folder that holds most of the wanted images."""
    found: dict[str, dict[str, str]] = {}
    for name in tree.names:
        folder, _, file = name.rpartition("/")
        if file in wanted or file.lower().endswith(".jpg"):
            found.setdefault(folder, {})[file] = name

    def worth(folder: str) -> tuple[int, int]:
        last = folder.rpartition("/")[2]
        known = FOLDERS.index(last) if last in FOLDERS else len(FOLDERS)
        return len(wanted & found[folder].keys()), -known

    best = max(sorted(found), key=worth, default="")
    return found.get(best, {}), best


def _stem(name: str) -> str:
    """PERSON/PERSON_0001.jpg => PERSON/PERSON_0001."""
    return name.rpartition(".")[0] if name.lower().endswith((".jpg", ".jpeg", ".png")) else name


def _cross_list(protocol: str) -> str:
    return f"pairs_{protocol.upper()}.txt"


def _lfw_list(tree: Tree) -> str | None:
    """Return the path of View 2's list, as given out or as the Kaggle mirror has it."""
    tops = ("", *(f"{name}/" for name in ("lfw", "archive", "lfw-dataset")))
    places = (f"{top}{name}" for name in (LFW_LIST, LFW_CSV) for top in tops)
    return next((place for place in places if tree.has(place)), None)


def _is_lfw(path: Path) -> bool:
    try:
        tree = open_tree(path)
        place = _lfw_list(tree)
        if place is None:
            return False
        return place.endswith(".csv") or looks_like_lfw(tree.read_text(place))
    except (MienError, OSError, ValueError):
        return False


def _cross_lfw(name: str, *, title: str, image: str, source: str) -> DataSet[Pairs]:
    """Return CPLFW or CALFW; `image` is what an image is called."""
    listing = _cross_list(name)
    return pair_set(
        name,
        title=title,
        layout=f"DATA/{listing}\nDATA/images/{image} (or `aligned images`)",
        source=f"{source}, {_BEIJING}; research use",
        packed=f"{name}.bin",
        lists=(listing, f"{name}/{listing}"),
        read=partial(read_cross, protocol=name),
    )


LFW = pair_set(
    "lfw",
    title="LFW View 2: 6000 pairs, ten folds; rank-1 among people with several images",
    layout=(
        "DATA/pairs.txt (View 2)\n"
        "DATA/[lfw/]PERSON/PERSON_0001.jpg (or lfw_funneled, lfw-deepfunneled)\n"
        "or DATA/pairs.csv and DATA/lfw-deepfunneled/lfw-deepfunneled/ (the mirror on Kaggle)"
    ),
    source=(
        "Labeled Faces in the Wild, University of Massachusetts, Amherst (Huang et al. 2007); "
        "research use"
    ),
    packed="lfw.bin",
    lists=(LFW_LIST, LFW_CSV),
    matches=_is_lfw,
    read=read_lfw,
)
SLLFW = pair_set(
    "sllfw",
    title="SLLFW: 6000 pairs of LFW, the two people of a pair look alike",
    layout="DATA/pair_SLLFW.txt\nDATA/[lfw/]PERSON/PERSON_0001.jpg (LFW's images)",
    source=(
        f"the list: SLLFW (FGLFW), {_BEIJING} (Deng et al. 2017); the images: LFW, University of "
        "Massachusetts, Amherst; research use"
    ),
    packed="sllfw.bin",
    lists=(SLLFW_LIST,),
    read=read_sllfw,
)
CPLFW = _cross_lfw(
    "cplfw",
    title="CPLFW: 6000 pairs under unlike head poses, ten folds",
    image="PERSON_1.jpg",
    source="Cross-Pose LFW (Zheng and Deng 2018)",
)
CALFW = _cross_lfw(
    "calfw",
    title="CALFW: 6000 pairs at unlike ages, ten folds",
    image="PERSON_0001.jpg",
    source="Cross-Age LFW (Zheng et al. 2017)",
)
