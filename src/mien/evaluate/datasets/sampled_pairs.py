"""People's images without a list of pairs: pairs sampled by the seed, in cross-subject folds.

Any folder of people, a folder each. What is sampled depends on the seed and on the names of the
images alone.

AgeDB (Moschoglou et al. 2017): people at ages 30 years apart and more. AgeDB-30's own pairs are in
general use as InsightFace's agedb_30.bin, or that file unpacked: agedb_30_pair.txt, `IMAGE IMAGE
LABEL` a line in ten folds one after the other, and the folder agedb30_align_112. The data set
itself names images `0_MariaCallas_35_f.jpg`: number, person, age, sex; from these, pairs are
sampled anew after AgeDB-30's recipe: `agedb`, whose numbers are not AgeDB-30's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.insightface_bin import SIDE, aligned, pair_set
from mien.evaluate.datasets.pairs import FOLDS, Pairs, assemble, row_pairs
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.tree import open_one_zip, open_tree

__all__ = ["AGEDB", "AGEDB30", "LFW_PEOPLE"]

Rows = NDArray[np.int64]

EACH = 300
"""Pairs of either kind in a fold, at most."""
PER_PERSON = 10
"""Pairs of one person with himself, at most: nobody with many images decides a fold."""
_TRIES = 200
GAP = 30
"""Years between a pair's two images, at least."""
LIST = "agedb_30_pair.txt"
FOLDER = "agedb30_align_112"
PACKED = "agedb_30.bin"
NAME = re.compile(r"\d+_(.+)_(\d+)_[mf]\.jpe?g", re.IGNORECASE)
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
WHOLE = (0.0, 0.0, 1.0, 1.0)
"""Where no face is detected the image is taken for a crop; those of LFW's people mostly are."""
_LOOKED_AT = 8
_PAIRS = 3  # stream of random numbers


def sample_folds(
    *,
    person: Rows,
    allowed: Callable[[Rows, Rows], NDArray[np.bool_]] | None = None,
    rng: np.random.Generator,
    protocol: str,
) -> tuple[Rows, Rows, NDArray[np.bool_], Rows]:
    """Return pairs of one person and as many of two, in ten cross-subject folds.

    Args:
        person: of each image. [N].
        allowed: whether pairs of images may be sampled; all may if not given.
        rng: samples them.
        protocol: named in errors.

    Returns:
        First images, second images, whether it is one person, fold. Each [P]. There are fewer
        folds where fewer people have pairs.

    Raises:
        MienError: fewer than four people have two images that make a pair.
    """
    rows_of = {int(who): np.flatnonzero(person == who) for who in np.unique(person)}
    own = {who: _own_pairs(rows, allowed, rng) for who, rows in rows_of.items()}
    several = [who for who, pairs in own.items() if len(pairs)]
    if len(several) < 4:
        raise MienError(
            f"{protocol}: {len(several)} people have two images that make a pair; four is the least"
        )
    alone = [who for who, pairs in own.items() if not len(pairs)]
    count = min(FOLDS, len(several) // 2)
    dealt = np.concatenate([rng.permutation(several), rng.permutation(alone).astype(np.int64)])
    parts = []
    for fold in range(count):
        people = dealt[fold::count]
        same = np.concatenate([own[int(who)] for who in people if len(own[int(who)])])
        same = rng.permutation(same)[:EACH]
        two = _two_people([rows_of[int(who)] for who in people], len(same), allowed, rng)
        pairs = np.concatenate([same, two])
        kind = np.arange(len(pairs)) < len(same)
        parts.append((pairs[:, 0], pairs[:, 1], kind, np.full(len(pairs), fold)))
    first, second, same, fold = (np.concatenate(part) for part in zip(*parts, strict=True))
    if same.all():
        raise MienError(f"{protocol}: no two people's images make a pair")
    return first, second, same.astype(bool), fold


def read_agedb30(path: Path) -> Pairs:
    """Return the pairs of an unpacked agedb_30.bin.

    Raises:
        MienError: the list or images are missing or broken.
    """
    tree = open_tree(path)
    if not tree.has(LIST):
        raise MienError(
            f"agedb30: neither {tree}/{PACKED} nor {tree}/{LIST} is there; InsightFace gives out "
            "the .bin with its training sets (for AgeDB's own images see agedb)"
        )
    listed = row_pairs(tree.read_text(LIST), where=f"{tree}/{LIST}")
    pairs = assemble(
        tree,
        listed,
        file_of={name.removeprefix(f"{FOLDER}/"): name for name in tree.names},
        person_of=lambda name: name,
        fallback=None,
        protocol="agedb30",
    )
    images = aligned(pairs.images.names, pairs.images.read)
    notes = ("Aligned images: intervals take pairs as independent",)
    return replace(pairs, images=images, width=SIDE, person=None, notes=notes)


def read_agedb(path: Path, rng: np.random.Generator) -> Pairs:
    """Return pairs sampled from AgeDB's own images.

    Raises:
        MienError: there are no such images, or too few pairs.
    """
    tree = open_tree(path)
    named = [(name, match[1], int(match[2])) for name, match in tree.named(NAME)]
    if not named:
        raise MienError(
            f"agedb: {tree} holds no image called like 0_MariaCallas_35_f.jpg; AgeDB's authors "
            "(Imperial College London) give its password on request"
        )
    age = np.array([years for _, _, years in named])
    person = np.unique([who for _, who, _ in named], return_inverse=True)[1].reshape(-1)
    first, second, same, fold = sample_folds(
        person=person.astype(np.int64),
        allowed=lambda a, b: np.abs(age[a] - age[b]) >= GAP,
        rng=rng,
        protocol="agedb",
    )
    used, index = np.unique(np.concatenate([first, second]), return_inverse=True)
    paths = [named[int(row)][0] for row in used]
    index = index.reshape(2, -1).astype(np.int64)
    return Pairs(
        images=tree.images(paths),
        first=index[0],
        second=index[1],
        same=same,
        fold=fold,
        person=person[used].astype(np.int64),
        notes=(f"Pairs sampled from {len(named)} images: not those of AgeDB-30",),
    )


def read_people(path: Path, rng: np.random.Generator) -> Pairs:
    """Return sampled pairs of people and all images of those who have several.

    Args:
        path: a folder or zip with a folder for each person, or a folder with one such zip.
        rng: samples them.

    Raises:
        MienError: there are no such images, or too few people with several.
    """
    tree = open_one_zip(path)
    names = [n for n in tree.names if "/" in n and n.lower().endswith(ENDINGS)]
    if not names:
        raise MienError(
            f"lfw-people: {tree} holds no image PERSON/IMAGE.jpg; put every person's images "
            "into a folder of that person"
        )
    whose = [name.rpartition("/")[0] for name in names]
    _, person, count = np.unique(whose, return_inverse=True, return_counts=True)
    person = person.reshape(-1).astype(np.int64)
    first, second, same, fold = sample_folds(person=person, rng=rng, protocol="lfw-people")
    wanted = np.union1d(np.flatnonzero(count[person] > 1), np.concatenate([first, second]))
    paths = [names[int(row)] for row in wanted]
    several = int((count > 1).sum())
    return Pairs(
        images=tree.images(paths, fallback=WHOLE),
        first=np.searchsorted(wanted, first),
        second=np.searchsorted(wanted, second),
        same=same,
        fold=fold,
        person=person[wanted],
        identify=True,
        notes=(f"{len(names)} images of {len(count)} people, of whom {several} have several",),
    )


def _own_pairs(
    rows: Rows,
    allowed: Callable[[Rows, Rows], NDArray[np.bool_]] | None,
    rng: np.random.Generator,
) -> Rows:
    """Return some pairs of one person's images. [K, 2]."""
    one, other = np.triu_indices(len(rows), 1)
    pairs = np.stack([rows[one], rows[other]], axis=1)
    if allowed is not None:
        pairs = pairs[allowed(pairs[:, 0], pairs[:, 1])]
    return rng.permutation(pairs)[:PER_PERSON]


def _two_people(
    rows: list[Rows],
    wanted: int,
    allowed: Callable[[Rows, Rows], NDArray[np.bool_]] | None,
    rng: np.random.Generator,
) -> Rows:
    """Return pairs of two people's images, every one once, people equally often. [K, 2]."""
    sampled: dict[tuple[int, int], None] = {}
    for _ in range(_TRIES * wanted):
        if len(sampled) == wanted:
            break
        p, q = rng.choice(len(rows), 2, replace=False)
        a, b = sorted((int(rng.choice(rows[p])), int(rng.choice(rows[q]))))
        if allowed is None or allowed(np.array([a]), np.array([b]))[0]:
            sampled[a, b] = None
    return np.array(list(sampled), dtype=np.int64).reshape(-1, 2)


def _is_agedb(path: Path) -> bool:
    try:
        if not path.is_dir():
            return bool(open_tree(path).named(NAME))
        places = (path, path / "AgeDB")
        return any(next(place.glob("0_*_*_[mf].jpg"), None) is not None for place in places)
    except (MienError, OSError, ValueError):
        return False


def _is_people(path: Path) -> bool:
    """Return whether images are called PERSON/PERSON_0001.jpg and no list of pairs is there."""
    try:
        if path.is_dir() and (any(path.glob("pair*.txt")) or (path / "pairs.csv").is_file()):
            return False
        people = [entry for entry in path.iterdir() if entry.is_dir()] if path.is_dir() else []
        if people:
            some = sorted(people)[:_LOOKED_AT]
            names = [f"{p.name}/{file.name}" for p in some for file in islice(p.iterdir(), 1)]
        else:
            names = [n for n in open_one_zip(path).names if n.lower().endswith(ENDINGS)][
                :_LOOKED_AT
            ]
    except (MienError, OSError, ValueError):
        return False
    parts = [name.rsplit("/", 2)[-2:] for name in names if "/" in name]
    return bool(parts) and all(file.startswith(f"{person}_") for person, file in parts)


AGEDB30 = pair_set(
    "agedb30",
    title="AgeDB-30: 6000 pairs, ages 30 years apart, ten folds",
    layout=f"DATA/{LIST} and DATA/{FOLDER}/ (the .bin, unpacked)",
    source=(
        "AgeDB, Imperial College London (Moschoglou et al. 2017), as packed by the InsightFace "
        "project; research use"
    ),
    packed=PACKED,
    lists=(LIST,),
    read=read_agedb30,
)
"""AgeDB-30's pairs."""

AGEDB = DataSet(
    title="AgeDB: sampled pairs at ages 30 years apart or more, cross-subject folds",
    layout="DATA/[AgeDB/]0_MariaCallas_35_f.jpg (number, person, age, sex)",
    source="AgeDB, Imperial College London (Moschoglou et al. 2017); research use",
    matches=_is_agedb,
    read=lambda path, context: read_agedb(path, context.rng(_PAIRS)),
)
"""Pairs sampled from AgeDB's images by the seed."""

LFW_PEOPLE = DataSet(
    title="People with a folder each: sampled pairs in cross-subject folds; rank-1",
    layout="DATA/PERSON/PERSON_0001.jpg (a folder or zip, or a folder with one zip)",
    source="your own images, or those of LFW (University of Massachusetts, Amherst)",
    matches=_is_people,
    read=lambda path, context: read_people(path, context.rng(_PAIRS)),
)
"""Pairs sampled by the seed from any people's images."""
