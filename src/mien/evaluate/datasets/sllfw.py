"""Similar-looking LFW (Deng et al. 2017): LFW's pairs of one person, and pairs of look-alikes.

pair_SLLFW.txt has two lines a pair, `PERSON/PERSON_0001.jpg`; ten folds follow each other, in each
300 pairs of one person and then 300 of two.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import holds, open_tree
from mien.evaluate.datasets.insightface_bin import bin_or, holds_bin
from mien.evaluate.datasets.lfw import MIDDLE, lfw_images, person_of
from mien.evaluate.datasets.pair_lists import two_line_pairs
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.pairs import FOLDS, ListedPair, Pairs, assemble, folds_by_order
from mien.evaluate.tasks.verification import verify

__all__ = ["SLLFW", "read_sllfw"]

LIST = "pair_SLLFW.txt"
BINS = ("sllfw.bin",)


def read_sllfw(path: Path) -> tuple[Pairs, list[str]]:
    """Return SLLFW's pairs and notes.

    Args:
        path: the folder or zip with the list and LFW's images.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    if not tree.has(LIST):
        raise MienError(
            f"sllfw: {tree}/{LIST} is missing; obtain it from the authors of SLLFW (Beijing "
            "University of Posts and Telecommunications) and put it beside LFW's images"
        )
    rows = two_line_pairs(tree.read_text(LIST), where=f"{tree}/{LIST}", labelled=False)
    listed = [ListedPair(_stem(row.first), _stem(row.second), row.same) for row in rows]
    same = np.array([pair.same for pair in listed], dtype=bool)
    images, place = lfw_images(tree, protocol="sllfw")
    pairs = assemble(
        tree,
        listed,
        file_of=images,
        person_of=person_of,
        fold=folds_by_order(same=same, wanted=FOLDS, protocol="sllfw"),
        fallback=MIDDLE,
        protocol="sllfw",
    )
    return pairs, [f"Images of {place}/"] if place else []


def _stem(name: str) -> str:
    """PERSON/PERSON_0001.jpg => PERSON/PERSON_0001."""
    return name.rpartition(".")[0] if name.lower().endswith((".jpg", ".jpeg", ".png")) else name


def _matches(path: Path) -> bool:
    return holds(path, LIST) or holds_bin(path, BINS)


def _run(path: Path, context: EvalContext) -> Result:
    pairs, notes = bin_or(
        path, BINS, instead_of=(LIST,), protocol="sllfw", read=lambda: read_sllfw(path)
    )
    return verify(pairs, context, notes=notes)


SLLFW = Protocol(
    name="sllfw",
    factor="identity",
    title="SLLFW: 6000 pairs of LFW, the two people of a pair look alike",
    layout=(
        "DATA/pair_SLLFW.txt\nDATA/[lfw/]PERSON/PERSON_0001.jpg (LFW's images)\nor DATA/sllfw.bin"
    ),
    source=(
        "the list: SLLFW (FGLFW), Beijing University of Posts and Telecommunications (Deng et al. "
        "2017); the images: LFW, University of Massachusetts, Amherst; research use"
    ),
    matches=_matches,
    run=_run,
)
"""SLLFW's list with LFW's images."""
