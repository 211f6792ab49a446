"""Who is who by the face embedding: rank-1 and rank-5 identification, and clusters.

    python -m benchmarks.search_quality --people FOLDER [--people MORE.parquet]

FOLDER has a folder of face crops for each person; a table is one of such, embedded already. Each
image in turn is looked for among all others. Clusters' parameters are chosen on one half of the
people and scored on the other: the best B-cubed F1 of those with a purity of 0.8 or more. Without
that the best is one cluster of nearly all, which nobody can use.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import mien.search
from mien.columns import FACE_EMBEDDING
from mien.embedding.options import EmbedOptions
from mien.embedding.run import embed_to_parquet
from mien.linear.similarity import centred
from mien.model import Model, load
from mien.search.clusters import EPSILON, MIN_SAMPLES, MIN_SIZE, cluster_vectors
from mien.table.read import read_codes, read_columns
from mien.verification import Reference
from mien.weights import shipped_folder

__all__ = ["b_cubed", "main", "purity"]

_GRID = {
    "min_size": (2, 3, 5),
    "min_samples": (1, 2, 3),
    "epsilon": (0.0, 0.2, 0.3, 0.4),
}
_USUAL = {"min_size": MIN_SIZE, "min_samples": MIN_SAMPLES, "epsilon": EPSILON}
_PURE = 0.8

People = NDArray[np.int64]


def main() -> None:
    """Embed, look for each, cluster; print the scores of each folder."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--people", type=Path, action="append", required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    where = given.weights or shipped_folder()
    model = load(where)
    model = Model(model.network, weights_id=model.weights_id)
    mean = Reference.read(where).mean
    for folder in given.people:
        with tempfile.TemporaryDirectory() as name:
            table = folder
            if folder.is_dir():
                table = Path(name) / "faces.parquet"
                embed_to_parquet(folder, table, model=model, options=EmbedOptions(detector="none"))
            codes = read_codes(table, FACE_EMBEDDING)
            paths = read_columns(table, ["path"]).column("path").to_pylist()
            names = [path.split("/")[-2] for path in paths]
            person = np.unique(names, return_inverse=True)[1].astype(np.int64)
            halves = split(person, np.random.default_rng(given.seed))
            index = mien.search.build(table, Path(name) / "i.mien", weights=given.weights)
            show(folder.name, index, codes, centred(codes, mean), person, halves)


def split(person: People, rng: np.random.Generator) -> tuple[NDArray[np.bool_], ...]:
    """Return which images are of one half of the people, and which of the other."""
    numbers = rng.permutation(person.max() + 1)
    first = np.isin(person, numbers[: len(numbers) // 2])
    return first, ~first


def show(
    name: str,
    index: mien.search.Index,
    codes: NDArray[np.float32],
    unit: NDArray[np.float64],
    person: People,
    halves: tuple[NDArray[np.bool_], ...],
) -> None:
    """Print the scores of one set of people."""
    print(f"{name}: {len(person):,} images of {person.max() + 1:,} people")
    ranks = first_rank(index, codes, person)
    print(f"  among all {len(index):,}: rank-1 {(ranks == 1).mean():.1%}, ", end="")
    print(f"rank-5 {(ranks <= 5).mean():.1%} of {len(ranks):,} with another image")
    choose, report = (np.flatnonzero(half) for half in halves)
    scored = []
    for values in itertools.product(*_GRID.values()):
        options = dict(zip(_GRID, values, strict=True))
        labels = cluster_vectors(unit[choose], **options)
        pure = purity(labels, person[choose]) >= _PURE
        scored.append((pure, b_cubed(labels, person[choose])[2], options))
    best = max(scored, key=lambda one: one[:2])
    print(f"  clusters: F1 {best[1]:.3f} by {best[2]} on the half that chose, pure: {best[0]}")
    for title, options in (("chosen", best[2]), ("usual", _USUAL)):
        labels = cluster_vectors(unit[report], **options)
        precision, recall, f1 = b_cubed(labels, person[report])
        print(
            f"  {title} on the other half: B-cubed precision {precision:.3f}, recall {recall:.3f}, "
            f"F1 {f1:.3f}; purity {purity(labels, person[report]):.3f} of the "
            f"{(labels >= 0).mean():.1%} in {labels.max() + 1} clusters"
        )


def first_rank(
    index: mien.search.Index, codes: NDArray[np.float32], person: People
) -> NDArray[np.int64]:
    """Return the rank of the first other image of the same person; beyond 20: 21. [K]."""
    several = np.bincount(person)[person] > 1
    asked = np.flatnonzero(several)
    positions, _ = index.nearest(codes[asked], top=21)
    ranks = np.full(len(asked), 21)
    for number, (row, found) in enumerate(zip(asked, positions, strict=True)):
        same = np.flatnonzero(person[found[found != row]] == person[row])
        if len(same):
            ranks[number] = same[0] + 1
    return ranks


def b_cubed(labels: People, person: People) -> tuple[float, float, float]:
    """Return B-cubed precision, recall and F1; an image in no cluster is one by itself."""
    alone = labels < 0
    labels = np.where(alone, labels.max(initial=0) + 1 + np.arange(len(labels)), labels)
    groups = np.unique(labels, return_inverse=True)[1]
    pairs, which, counts = np.unique(
        np.stack([groups, person]), axis=1, return_inverse=True, return_counts=True
    )
    del pairs
    both = counts[which.reshape(-1)]
    precision = float((both / np.bincount(groups)[groups]).mean())
    recall = float((both / np.bincount(person)[person]).mean())
    return precision, recall, 2 * precision * recall / (precision + recall)


def purity(labels: People, person: People) -> float:
    """Return the fraction of clustered images that are of their cluster's most frequent person."""
    there = labels >= 0
    if not there.any():
        return 1.0
    most = [np.bincount(person[labels == one]).max() for one in np.unique(labels[there])]
    return float(np.sum(most) / there.sum())


if __name__ == "__main__":
    main()
