"""AgeDB (Moschoglou et al. 2017): people at ages 30 years apart and more.

AgeDB-30's own pairs are in general use as InsightFace's agedb_30.bin, or that file unpacked:
agedb_30_pair.txt, `IMAGE IMAGE LABEL` a line in ten folds one after the other, and the folder
agedb30_align_112. The data set itself names images `0_MariaCallas_35_f.jpg`: number, person, age,
sex; from these, pairs are drawn anew after AgeDB-30's recipe: `agedb`, whose numbers are not
AgeDB-30's.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import holds, open_tree
from mien.evaluate.datasets.insightface_bin import SIDE, aligned, bin_or, holds_bin
from mien.evaluate.datasets.pair_lists import row_pairs
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.pair_draw import draw_folds
from mien.evaluate.tasks.pairs import FOLDS, Pairs, assemble, folds_by_order
from mien.evaluate.tasks.verification import verify

__all__ = ["AGEDB", "AGEDB30", "GAP", "read_agedb", "read_agedb30"]

GAP = 30
"""Years between a pair's two images, at least."""
LIST = "agedb_30_pair.txt"
FOLDER = "agedb30_align_112"
BINS = ("agedb_30.bin",)
NAME = re.compile(r"\d+_(.+)_(\d+)_[mf]\.jpe?g", re.IGNORECASE)
_PAIRS = 3  # stream of random numbers


def read_agedb30(path: Path) -> tuple[Pairs, list[str]]:
    """Return the pairs of an unpacked agedb_30.bin, and notes.

    Args:
        path: the folder or zip with the list and the images.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    if not tree.has(LIST):
        raise MienError(
            f"agedb30: neither {tree}/{BINS[0]} nor {tree}/{LIST} is there; InsightFace gives out "
            "the .bin with its training sets (for AgeDB's own images see agedb)"
        )
    listed = row_pairs(tree.read_text(LIST), where=f"{tree}/{LIST}")
    same = np.array([pair.same for pair in listed], dtype=bool)
    pairs = assemble(
        tree,
        listed,
        file_of={name.removeprefix(f"{FOLDER}/"): name for name in tree.names},
        person_of=lambda name: name,
        fold=folds_by_order(same=same, wanted=FOLDS, protocol="agedb30"),
        fallback=None,
        protocol="agedb30",
    )
    images = aligned(pairs.images.names, pairs.images.read)
    notes = ["Aligned images: intervals take pairs as independent"]
    return replace(pairs, images=images, width=SIDE, person=None), notes


def read_agedb(path: Path, rng: np.random.Generator) -> tuple[Pairs, list[str]]:
    """Return pairs drawn from AgeDB's own images, and notes.

    Args:
        path: the folder or zip.
        rng: draws.

    Raises:
        MienError: there are no such images, or too few pairs.
    """
    tree = open_tree(path)
    found = [(name, NAME.fullmatch(name.rpartition("/")[2])) for name in tree.names]
    named = [(name, match[1], int(match[2])) for name, match in found if match]
    if not named:
        raise MienError(
            f"agedb: {tree} holds no image called like 0_MariaCallas_35_f.jpg; AgeDB's authors "
            "(Imperial College London) give its password on request"
        )
    age = np.array([years for _, _, years in named])
    person = np.unique([who for _, who, _ in named], return_inverse=True)[1].reshape(-1)
    first, second, same, fold = draw_folds(
        person=person.astype(np.int64),
        allowed=lambda a, b: np.abs(age[a] - age[b]) >= GAP,
        rng=rng,
        protocol="agedb",
    )
    used, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    paths = tuple(named[int(row)][0] for row in used)
    index = index.reshape(2, -1).astype(np.int64)
    pairs = Pairs(
        images=Images(paths, lambda i: tree.image(paths[i])),
        first=index[0],
        second=index[1],
        same=same,
        fold=fold,
        person=person[used].astype(np.int64),
    )
    return pairs, [f"Pairs drawn from {len(named)} images: not those of AgeDB-30"]


def _matches30(path: Path) -> bool:
    return holds(path, LIST) or holds_bin(path, BINS)


def _matches(path: Path) -> bool:
    try:
        if not path.is_dir():
            return any(NAME.fullmatch(name.rpartition("/")[2]) for name in open_tree(path).names)
        places = (path, path / "AgeDB")
        return any(next(place.glob("0_*_*_[mf].jpg"), None) is not None for place in places)
    except (MienError, OSError, ValueError):
        return False


def _run30(path: Path, context: EvalContext) -> Result:
    pairs, notes = bin_or(
        path, BINS, instead_of=(LIST,), protocol="agedb30", read=lambda: read_agedb30(path)
    )
    return verify(pairs, context, notes=notes)


def _run(path: Path, context: EvalContext) -> Result:
    pairs, notes = read_agedb(path, context.rng(_PAIRS))
    return verify(pairs, context, notes=notes)


AGEDB30 = Protocol(
    name="agedb30",
    factor="identity",
    title="AgeDB-30: 6000 pairs, ages 30 years apart, ten folds",
    layout=(
        "DATA/agedb_30.bin (InsightFace's aligned 112 px images)\n"
        "or DATA/agedb_30_pair.txt and DATA/agedb30_align_112/ (the same, unpacked)"
    ),
    source=(
        "AgeDB, Imperial College London (Moschoglou et al. 2017), as packed by the InsightFace "
        "project; research use"
    ),
    matches=_matches30,
    run=_run30,
)
"""AgeDB-30's pairs."""

AGEDB = Protocol(
    name="agedb",
    factor="identity",
    title="AgeDB: drawn pairs at ages 30 years apart or more, folds of other people",
    layout="DATA/[AgeDB/]0_MariaCallas_35_f.jpg (number, person, age, sex)",
    source="AgeDB, Imperial College London (Moschoglou et al. 2017); research use",
    matches=_matches,
    run=_run,
)
"""Pairs drawn from AgeDB's images by the seed."""
