"""Accuracy after labelling what `mien probe --suggest` names, and after labelling at random.

Run:
    mien embed train --detector none --out train.parquet     (images in folders by class)
    mien embed validation --detector none --out validation.parquet
    python -m benchmarks.suggest train.parquet validation.parquet --out suggest.json

Both start from the same labels, sampled at random, two of every class at least; then each round
labels as many faces again, either those that are suggested or others at random. After every round
a probe is learned of all labels and tested on the validation table. Every seed gives other first
labels; the pool is the training table, or --pool of its rows, sampled with the seed.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.media.atomic import replacing
from mien.probes.fit import learn_classes
from mien.probes.match import DEFAULT, MatchedLabels
from mien.probes.probe import HeldOut, Probe
from mien.probes.samples import samples_of
from mien.probes.suggest import suggest
from mien.table.read import read_table

Rows = NDArray[np.int64]

NOT_MEASURED = HeldOut(0.0, 0.0, 0.0, 0.0, "faces", (), None)


@dataclass(frozen=True)
class Faces:
    """Codes with the class of each."""

    codes: NDArray[np.float32]
    """[N, F]."""
    labels: NDArray[np.str_]
    """Name of the folder that the image is in. [N]."""

    def __getitem__(self, rows: Rows) -> Faces:
        return Faces(self.codes[rows], self.labels[rows])


def read_faces(path: Path) -> Faces:
    """Read a table of images in folders by class; rows without a face are left out."""
    table = read_table(path)
    found = table.frame["face_found"].to_numpy(bool)
    codes = np.concatenate([table.codes(name) for name in DEFAULT], axis=1)
    labels = table.frame["path"].str.split("/").str[-2].to_numpy(str)
    return Faces(codes[found], labels[found])


def first_labels(labels: NDArray[np.str_], count: int, rng: np.random.Generator) -> Rows:
    """Return so many rows, two of every class among them: a probe needs as many."""
    order = rng.permutation(len(labels))
    two = np.concatenate([order[labels[order] == name][:2] for name in np.unique(labels)])
    rest = order[~np.isin(order, two)]
    return np.concatenate([two, rest])[: max(count, len(two))]


def learn(pool: Faces, labelled: Rows, rng: np.random.Generator) -> tuple[Probe, MatchedLabels]:
    """Return a probe of the labelled faces, without its score, and what it was learned from."""
    others = np.setdiff1d(np.arange(len(pool.labels)), labelled)
    names = tuple(f"{row}" for row in labelled)
    width = pool.codes.shape[1] // len(DEFAULT)
    matched = MatchedLabels(
        label="class",
        columns=tuple((name, width) for name in DEFAULT),
        codes=pool.codes[labelled].astype(np.float64),
        texts=tuple(pool.labels[labelled]),
        people=None,
        files=names,
        names=names,
        model_id="",
        without_codes=(),
        others=others,
        other_codes=pool.codes[others],
    )
    samples = samples_of(matched, "class")
    function = learn_classes(samples, rng)
    columns, count = matched.columns, len(labelled)
    probe = Probe("class", columns, samples.classes, "", count, function, NOT_MEASURED, ())
    return probe, matched


def curve(
    pool: Faces, test: Faces, start: Rows, *, seed: int, rounds: int, at_random: bool
) -> list[float]:
    """Return the accuracy after every round, the first before any."""
    rng = np.random.default_rng([seed, 1])
    labelled, accuracies = start, []
    for _ in range(rounds + 1):
        probe, matched = learn(pool, labelled, rng)
        predicted = probe.predict_codes(test.codes).values
        accuracies.append(float((predicted == test.labels).mean()))
        if at_random:
            more = rng.choice(matched.others, len(start), replace=False)
        else:
            more, _ = suggest(probe, matched, len(start))
        labelled = np.concatenate([labelled, more])
    return accuracies


def main() -> None:
    """Measure both and write every accuracy as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("train", type=Path)
    parser.add_argument("test", type=Path)
    parser.add_argument("--start", type=int, default=50, help="labels at first and in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--pool", type=int, default=6000)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("suggest.json"))
    parser.add_argument("--overwrite", action="store_true")
    given = parser.parse_args()
    train, test = read_faces(given.train), read_faces(given.test)
    curves: dict[str, list[list[float]]] = {"suggested": [], "at random": []}
    for seed in range(given.seeds):
        rng = np.random.default_rng([seed, 0])
        pool = train[rng.permutation(len(train.labels))[: given.pool]]
        start = first_labels(pool.labels, given.start, rng)
        for name, found in curves.items():
            found.append(
                curve(
                    pool,
                    test,
                    start,
                    seed=seed,
                    rounds=given.rounds,
                    at_random=name == "at random",
                )
            )
            print(f"seed {seed}, {name}: {' '.join(f'{100 * a:.1f}' for a in found[-1])}")
    labels = [given.start * (n + 1) for n in range(given.rounds + 1)]
    with replacing(given.out, overwrite=given.overwrite) as unfinished:
        unfinished.write_text(json.dumps({"labels": labels, **curves}, indent=1) + "\n")
    for name, found in curves.items():
        mean, std = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        shown = (f"{100 * m:.1f} ± {100 * s:.1f}" for m, s in zip(mean, std, strict=True))
        print(f"{name}: {' | '.join(shown)}")


if __name__ == "__main__":
    main()
