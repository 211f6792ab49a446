"""Labeled Faces in the Wild (Huang et al. 2007), View 2: 6000 pairs in ten folds of other people.

Images are 250 x 250; the face that Viola and Jones's detector found is in the middle, its box
enlarged by 2.2. The square that is taken where ours finds none is that box as our crops frame it.
"""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, open_tree
from mien.evaluate.datasets.insightface_bin import bin_in, holds_bin, read_pairs
from mien.evaluate.datasets.pair_lists import lfw_pairs, looks_like_lfw
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.pairs import Pairs, assemble
from mien.evaluate.tasks.verification import verify

__all__ = ["LFW", "MIDDLE", "lfw_images", "person_of", "read_lfw"]

_HALF = 1.05 / 2.2 / 2  # half a side of `faces.crop`'s square on a Haar box, share of the image
_RIGHT, _DOWN = -0.003 / 2.2, 0.006 / 2.2
MIDDLE = (
    0.5 + _RIGHT - _HALF,
    0.5 + _DOWN - _HALF,
    0.5 + _RIGHT + _HALF,
    0.5 + _DOWN + _HALF,
)
"""Where the face is in LFW's images: x1, y1, x2, y2 as shares of width and height."""

LIST = "pairs.txt"
BINS = ("lfw.bin",)
_IMAGE = re.compile(r"(?:(.*)/)?([^/]+)/(\2_\d{4})\.(?:jpe?g|png)", re.IGNORECASE)


def lfw_images(tree: Tree, *, protocol: str) -> tuple[dict[str, str], str]:
    """Find images called `PERSON/PERSON_0001.jpg` at any depth of a data set.

    Args:
        tree: the data set.
        protocol: named in errors.

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


def read_lfw(path: Path) -> tuple[Pairs, list[str]]:
    """Return LFW's pairs with all images of people who have several, and notes.

    Args:
        path: the folder or zip.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    if not tree.has(LIST):
        raise MienError(
            f"lfw: {tree}/{LIST} is missing; LFW's {LIST} of View 2 goes beside its images "
            "(University of Massachusetts, Amherst)"
        )
    listed, fold = lfw_pairs(tree.read_text(LIST), where=f"{tree}/{LIST}")
    images, place = lfw_images(tree, protocol="lfw")
    count = Counter(person_of(name) for name in images)
    pairs = assemble(
        tree,
        listed,
        file_of=images,
        person_of=person_of,
        fold=fold,
        fallback=MIDDLE,
        protocol="lfw",
        more=[name for name in images if count[person_of(name)] > 1],
    )
    return pairs, [f"Images of {place}/"] if place else []


def _matches(path: Path) -> bool:
    try:
        if holds_bin(path, BINS):
            return True
        tree = open_tree(path)
        return tree.has(LIST) and looks_like_lfw(tree.read_text(LIST))
    except (MienError, OSError, ValueError):
        return False


def _run(path: Path, context: EvalContext) -> Result:
    packed = bin_in(path, BINS, instead_of=(LIST,))
    if packed is not None:
        pairs, notes = read_pairs(packed, protocol="lfw")
        return verify(pairs, context, notes=notes)
    pairs, notes = read_lfw(path)
    return verify(pairs, context, notes=notes, identify=True)


LFW = Protocol(
    name="lfw",
    factor="identity",
    title="LFW View 2: 6000 pairs, ten folds; rank-1 among people with several images",
    layout=(
        "DATA/pairs.txt (View 2)\n"
        "DATA/[lfw/]PERSON/PERSON_0001.jpg (or lfw_funneled, lfw-deepfunneled)\n"
        "or DATA/lfw.bin (InsightFace's aligned 112 px images)"
    ),
    source=(
        "Labeled Faces in the Wild, University of Massachusetts, Amherst (Huang et al. 2007); "
        "research use"
    ),
    matches=_matches,
    run=_run,
)
"""LFW with pairs.txt, or InsightFace's lfw.bin."""
