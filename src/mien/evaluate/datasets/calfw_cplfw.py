"""CPLFW and CALFW: LFW's people under unlike head poses, and at unlike ages; 6000 pairs each.

A list of two lines a pair, and images in one flat folder; or one file of InsightFace's.

Both lists give `IMAGE NUMBER`, twice for every pair: NUMBER 0 for two people. In CALFW's the
3000 pairs of one person come first, numbered by their fold 1 to 10, then the 3000 of two people
without a fold: the i-th tenth of these is taken for fold i.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, holds, open_tree
from mien.evaluate.datasets.insightface_bin import bin_or, holds_bin
from mien.evaluate.datasets.lfw import MIDDLE
from mien.evaluate.datasets.pair_lists import two_line_pairs
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.pairs import FOLDS, Pairs, assemble, folds_by_order
from mien.evaluate.tasks.verification import verify

__all__ = ["CALFW", "CPLFW", "read_cross"]

# As they are, then as the authors aligned them.
FOLDERS = ("images", "aligned images")
_NUMBER = re.compile(r"_\d+(\.[A-Za-z]+)?$")


def read_cross(
    path: Path, *, listing: str, protocol: str, fallback: tuple[float, float, float, float]
) -> tuple[Pairs, list[str]]:
    """Return the pairs of CPLFW or CALFW, and notes.

    Args:
        path: the folder or zip.
        listing: name of the list of pairs.
        protocol: named in errors.
        fallback: as in `Images`.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    place = next((name for name in tree.names if name.rpartition("/")[2] == listing), None)
    if place is None:
        raise MienError(
            f"{protocol}: {tree}/{listing} is missing; it comes with the images from the authors "
            "(Beijing University of Posts and Telecommunications)"
        )
    listed = two_line_pairs(tree.read_text(place), where=f"{tree}/{place}", labelled=True)
    same = np.array([pair.same for pair in listed], dtype=bool)
    images, folder = _images(tree, {pair.first for pair in listed})
    pairs = assemble(
        tree,
        listed,
        file_of=images,
        person_of=lambda name: _NUMBER.sub("", name),
        fold=folds_by_order(same=same, wanted=FOLDS, protocol=protocol),
        fallback=fallback,
        protocol=protocol,
    )
    return pairs, [f"Images of {folder}/"] if folder else []


def _images(tree: Tree, wanted: set[str]) -> tuple[dict[str, str], str]:
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


def _cross_lfw(name: str, *, title: str, image: str, source: str) -> Protocol:
    """Return the protocol of one of the two.

    Args:
        name: cplfw or calfw.
        title: of the protocol.
        image: what an image is called.
        source: who gives the data out.
    """
    listing, bins = f"pairs_{name.upper()}.txt", (f"{name}.bin",)
    below = f"{name}/{listing}"

    def matches(path: Path) -> bool:
        return holds(path, listing) or holds(path, below) or holds_bin(path, bins)

    def run(path: Path, context: EvalContext) -> Result:
        pairs, notes = bin_or(
            path,
            bins,
            instead_of=(listing, below),
            protocol=name,
            read=lambda: read_cross(path, listing=listing, protocol=name, fallback=MIDDLE),
        )
        return verify(pairs, context, notes=notes)

    return Protocol(
        name=name,
        factor="identity",
        title=title,
        layout=(
            f"DATA/{listing}\n"
            f"DATA/images/{image} (or `aligned images`)\n"
            f"or DATA/{name}.bin (InsightFace's aligned 112 px images)"
        ),
        source=f"{source}; research use",
        matches=matches,
        run=run,
    )


_SENDER = "Beijing University of Posts and Telecommunications"
CPLFW = _cross_lfw(
    "cplfw",
    title="CPLFW: 6000 pairs under unlike head poses, ten folds",
    image="PERSON_1.jpg",
    source=f"Cross-Pose LFW, {_SENDER} (Zheng and Deng 2018)",
)
CALFW = _cross_lfw(
    "calfw",
    title="CALFW: 6000 pairs at unlike ages, ten folds",
    image="PERSON_0001.jpg",
    source=f"Cross-Age LFW, {_SENDER} (Zheng et al. 2017)",
)
