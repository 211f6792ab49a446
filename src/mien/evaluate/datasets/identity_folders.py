"""Any folder of people, a folder each: pairs drawn by the seed, and who is who.

Folds share nobody. What is drawn depends on the seed and on the names of the images alone.
"""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, open_tree
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.pair_draw import draw_folds
from mien.evaluate.tasks.pairs import Pairs
from mien.evaluate.tasks.verification import verify

__all__ = ["LFW_PEOPLE", "read_people"]

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
WHOLE = (0.0, 0.0, 1.0, 1.0)
"""Where no face is detected the image is taken for a crop; those of LFW's people mostly are."""
_LOOKED_AT = 8
_PAIRS = 3  # stream of random numbers


def read_people(path: Path, rng: np.random.Generator) -> tuple[Pairs, list[str]]:
    """Return drawn pairs of people and all images of those who have several, and notes.

    Args:
        path: a folder or zip with a folder for each person, or a folder with one such zip.
        rng: draws.

    Raises:
        MienError: there are no such images, or too few people with several.
    """
    tree = _tree(path)
    names = [n for n in tree.names if "/" in n and n.lower().endswith(ENDINGS)]
    if not names:
        raise MienError(
            f"lfw-people: {tree} holds no image PERSON/IMAGE.jpg; put every person's images "
            "into a folder of that person"
        )
    whose = [name.rpartition("/")[0] for name in names]
    _, person, count = np.unique(whose, return_inverse=True, return_counts=True)
    person = person.reshape(-1).astype(np.int64)
    first, second, same, fold = draw_folds(person=person, rng=rng, protocol="lfw-people")
    wanted = np.union1d(np.flatnonzero(count[person] > 1), np.concatenate([first, second]))
    paths = tuple(names[int(row)] for row in wanted)
    pairs = Pairs(
        images=Images(paths, lambda i: tree.image(paths[i]), fallback=WHOLE),
        first=np.searchsorted(wanted, first),
        second=np.searchsorted(wanted, second),
        same=same,
        fold=fold,
        person=person[wanted],
    )
    several = int((count > 1).sum())
    return pairs, [f"{len(names)} images of {len(count)} people, of whom {several} have several"]


def _tree(path: Path) -> Tree:
    """Open the data set, or the only zip in its folder."""
    if path.is_dir():
        inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        zips = [entry for entry in inside if entry.suffix.lower() == ".zip"]
        if len(zips) == 1 and not any(entry.is_dir() for entry in inside):
            return open_tree(zips[0])
    return open_tree(path)


def _matches(path: Path) -> bool:
    """Return whether images are called PERSON/PERSON_0001.jpg and no list of pairs is there."""
    try:
        if path.is_dir() and any(path.glob("pair*.txt")):
            return False
        people = [entry for entry in path.iterdir() if entry.is_dir()] if path.is_dir() else []
        if people:
            some = sorted(people)[:_LOOKED_AT]
            names = [f"{p.name}/{file.name}" for p in some for file in islice(p.iterdir(), 1)]
        else:
            names = [n for n in _tree(path).names if n.lower().endswith(ENDINGS)][:_LOOKED_AT]
    except (MienError, OSError, ValueError):
        return False
    parts = [name.rsplit("/", 2)[-2:] for name in names if "/" in name]
    return bool(parts) and all(file.startswith(f"{person}_") for person, file in parts)


def _run(path: Path, context: EvalContext) -> Result:
    pairs, notes = read_people(path, context.rng(_PAIRS))
    return verify(pairs, context, notes=notes, identify=True)


LFW_PEOPLE = Protocol(
    name="lfw-people",
    factor="identity",
    title="People with a folder each: drawn pairs in folds of other people; rank-1",
    layout="DATA/PERSON/PERSON_0001.jpg (a folder or zip, or a folder with one zip)",
    source="your own images, or those of LFW (University of Massachusetts, Amherst)",
    matches=_matches,
    run=_run,
)
"""Pairs drawn by the seed from any people's images."""
