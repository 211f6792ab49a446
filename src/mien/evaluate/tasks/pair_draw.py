"""Draw pairs in folds from images of known people, where a data set has no list of its own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.tasks.pairs import FOLDS

__all__ = ["EACH", "PER_PERSON", "draw_folds"]

Rows = NDArray[np.int64]

EACH = 300
"""Pairs of either kind in a fold, at most."""
PER_PERSON = 10
"""Pairs of one person with himself, at most: nobody with many images decides a fold."""
_TRIES = 200


def draw_folds(
    *,
    person: Rows,
    allowed: Callable[[Rows, Rows], NDArray[np.bool_]] | None = None,
    rng: np.random.Generator,
    protocol: str,
) -> tuple[Rows, Rows, NDArray[np.bool_], Rows]:
    """Return pairs of one person and as many of two, in ten folds that share nobody.

    Args:
        person: of each image. [N].
        allowed: whether pairs of images may be drawn; all may if not given.
        rng: draws.
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
    drawn: dict[tuple[int, int], None] = {}
    for _ in range(_TRIES * wanted):
        if len(drawn) == wanted:
            break
        p, q = rng.choice(len(rows), 2, replace=False)
        a, b = sorted((int(rng.choice(rows[p])), int(rng.choice(rows[q]))))
        if allowed is None or allowed(np.array([a]), np.array([b]))[0]:
            drawn[a, b] = None
    return np.array(list(drawn), dtype=np.int64).reshape(-1, 2)
