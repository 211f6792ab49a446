r"""Measure how alike faces of one person and of different people are; write it beside the weights.

Run: python tools/verification.py WEIGHTS --mean FACES --people PEOPLE --note "what they are" \
         [--code face_embedding] [--detector none] [--number 150] [--seed 0] [--dry-run]
         [--keep-thresholds]

verification.json gets the mean code and the thresholds of verification, similarities.json the
quantiles of each code's similarity. With --keep-thresholds verification.json stays as it is, and
its mean is taken for its code.

tools/people_folders.py makes both folders of an archive and its index.
FACES: a folder of images of many people, one a person. PEOPLE: a folder with a folder of images
for each person; of these, --number are drawn by --seed. Neither may hold people that the weights
were trained on with labels, nor those that the thresholds are tested on afterwards. All pairs
within a person are genuine, all pairs of two people impostors. A threshold at a false match rate
is the least similarity that no more impostor pairs than that reach; there is none below one
impostor pair in a hundred at that rate.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien import weights as weights_folder
from mien.errors import MienError
from mien.linear.verification import auc, roc
from mien.model import Model, load
from mien.pipeline.analyze import analyze
from mien.similarities import CODES, PairQuantiles, Similarities, quantiles_of
from mien.verification import CODES as COMPARED, Reference, Threshold

RATES = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
MIN_FALSE_MATCHES = 100
BATCH = 256
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")


def main() -> int:
    """Return 0 where a file was written or would be."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", type=Path)
    parser.add_argument("--mean", type=Path, required=True)
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--note", required=True, help="names the people, in a few words")
    parser.add_argument("--code", choices=COMPARED, default="face_embedding")
    parser.add_argument("--detector", default="none")
    parser.add_argument("--number", type=int, default=150)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--dry-run", action="store_true", help="print, write nothing")
    parser.add_argument(
        "--keep-thresholds", action="store_true", help="write similarities.json alone"
    )
    given = parser.parse_args()
    model = load(given.weights)
    model = Model(model.network, weights_id=weights_folder.weights_id(given.weights))
    many = images_in(given.mean)
    means = {
        code: rows.mean(axis=0).astype(np.float32).astype(np.float64)
        for code, rows in codes_of(many, model, given.detector).items()
    }
    if given.keep_thresholds:
        kept = Reference.read(given.weights)
        means[kept.code] = np.asarray(kept.mean, dtype=np.float64)
    people = draw(given.people, given.number, given.seed)
    files = [file for person in people for file in images_in(person)]
    owner = np.repeat(np.arange(len(people)), [len(images_in(person)) for person in people])
    pairs = {
        code: similarities(rows, owner, means[code])
        for code, rows in codes_of(files, model, given.detector).items()
    }
    genuine, impostor = pairs[given.code]
    measured_on = (
        f"{given.note}: {len(people)} people, {len(files):,} images, {len(genuine):,} genuine and "
        f"{len(impostor):,} impostor pairs; mean over {len(many):,} images"
    )
    say(measured_on)
    quantiles = Similarities(model.weights_id, measured_on, tuple(told(pairs, means)))
    found = thresholds(genuine, impostor)
    for one in () if given.keep_thresholds else found:
        rates = f"false {one.false_match_rate:.4%}, true {one.true_match_rate:.1%}"
        say(f"{one.similarity:.4f}: {rates}")
    if given.dry_run:
        return 0
    quantiles.save(given.weights)
    if not given.keep_thresholds:
        mean = means[given.code]
        Reference(model.weights_id, given.code, mean, found, measured_on).save(given.weights)
    return 0


def told(
    pairs: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    means: dict[str, NDArray[np.float64]],
) -> Iterator[PairQuantiles]:
    """Yield what is kept of each code's similarities, and say how well it tells people apart."""
    for code in CODES:
        if code in pairs:
            genuine, impostor = pairs[code]
            middle = f"medians {np.median(genuine):.3f} and {np.median(impostor):.3f}"
            say(f"{code}: area under the curve {area(genuine, impostor):.4f}, {middle}")
            yield quantiles_of(code, means[code], genuine, impostor)


def images_in(folder: Path) -> list[Path]:
    """Return the images of a folder, by name."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def draw(folder: Path, number: int, seed: int) -> list[Path]:
    """Return the folders of some people who have two images or more."""
    people = [p for p in sorted(folder.iterdir()) if p.is_dir() and len(images_in(p)) > 1]
    chosen = np.random.default_rng(seed).permutation(len(people))[:number]
    return [people[i] for i in sorted(chosen)]


def codes_of(files: Sequence[Path], model: Model, detector: str) -> dict[str, NDArray[np.float32]]:
    """Return all codes of the first face of each image. [N, D].

    Raises:
        MienError: an image shows no face.
    """
    found: dict[str, list[NDArray[np.float32]]] = {}
    for start in range(0, len(files), BATCH):
        batch = list(files[start : start + BATCH])
        faces = {face.image: face for face in analyze(batch, model=model, detector=detector)}
        for number, file in enumerate(batch):
            if number not in faces:
                raise MienError(f"no face is found in {file}; leave it out")
            for code in CODES:
                value = getattr(faces[number].factors, code)
                if value is not None:
                    found.setdefault(code, []).append(value.float().cpu().numpy())
    return {code: np.concatenate(rows) for code, rows in found.items()}


def similarities(
    codes: NDArray[np.float32], owner: NDArray[np.int_], mean: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the similarities of all genuine and of all impostor pairs."""
    moved = codes.astype(np.float64) - mean
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    first, second = np.triu_indices(len(moved), k=1)
    each = (moved @ moved.T)[first, second]
    same = owner[first] == owner[second]
    return each[same], each[~same]


def thresholds(
    genuine: NDArray[np.float64], impostor: NDArray[np.float64]
) -> tuple[Threshold, ...]:
    """Return the threshold at each rate for which there are enough impostor pairs."""
    falling = np.sort(impostor)[::-1]
    found = []
    for rate in RATES:
        allowed = int(rate * len(falling))
        if allowed >= MIN_FALSE_MATCHES:
            least = float(np.nextafter(falling[allowed], 2))
            found.append(Threshold(least, rate, float((genuine >= least).mean())))
    return tuple(found)


def area(genuine: NDArray[np.float64], impostor: NDArray[np.float64]) -> float:
    """Return the chance that a genuine pair is more alike than an impostor pair."""
    same = np.arange(len(genuine) + len(impostor)) < len(genuine)
    return auc(curve=roc(similarity=np.concatenate([genuine, impostor]), same=same))


def say(line: str) -> None:
    """Write a line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
