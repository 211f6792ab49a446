"""The numbers of docs/results.md, from rendered people never seen and from FER-2013.

Run:
    mien synth --head-model HEAD --identities 300 --frames 14 --size 96 --seed 900001 --out heldout
    python -m benchmarks.results --heldout heldout --fer2013 train.zip val.zip [--weights FOLDER]

Labels are read here and nowhere in training. Probes choose their regularisation inside their
training part. Images of FER-2013's validation set that stand, to the pixel, in its training set
are left out of the probe's training.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import tempfile
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from benchmarks.fer2013 import fer2013_scores
from PIL import Image

import mien
from mien.evaluate.groups import group_errors
from mien.evaluate.rendered import direct_scores, factor_matrix, frontal_depth, read_truth
from mien.model import Model, load


def drawing_errors(model: Model, paths: list[Path]) -> tuple[np.ndarray, np.ndarray]:
    """Return each drawing's absolute errors where the face is drawn, summed, and how many. [N]."""
    totals, counts = [], []
    for start in range(0, len(paths), 256):
        images = crops(paths[start : start + 256], model.config.image_size)
        drawn = model.render(model.encode(images))
        totals.append(((drawn.image - images).abs() * drawn.mask).sum(dim=(1, 2, 3)).numpy())
        counts.append(3 * drawn.mask.sum(dim=(1, 2, 3)).numpy())
    return np.concatenate(totals), np.concatenate(counts)


def reconstruction_error(model: Model, paths: list[Path]) -> float:
    """Return the mean absolute error of reconstructions where the face is drawn."""
    totals, counts = drawing_errors(model, paths)
    return float(totals.sum(dtype=np.float64) / counts.sum(dtype=np.float64))


def crops(paths: list[Path], size: int) -> torch.Tensor:
    """Return images in [0, 1]. [B, 3, size, size]."""
    pixels = [
        np.asarray(Image.open(p).convert("RGB").resize((size, size), Image.Resampling.BICUBIC))
        for p in paths
    ]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


def depths(model: Model, paths: list[Path]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return canonical depth, the same carried into the image by the pose, and where it is drawn.

    Each [N, H, W]; the last is boolean.
    """
    canonical, carried, drawn = [], [], []
    for start in range(0, len(paths), 256):
        images = crops(paths[start : start + 256], model.config.image_size)
        rendering = model.render(model.encode(images))
        canonical.append(rendering.canonical_depth[:, 0].numpy())
        carried.append(rendering.depth[:, 0].numpy())
        drawn.append(rendering.mask[:, 0].numpy() > 0)
    return np.concatenate(canonical), np.concatenate(carried), np.concatenate(drawn)


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack a zip of class folders."""
    with zipfile.ZipFile(archive) as zipped:
        zipped.extractall(folder)
    return folder


def without_twins(train: pd.DataFrame, train_folder: Path, validation_folder: Path) -> pd.DataFrame:
    """Leave out training images whose pixels stand in the validation set."""

    def pixels(path: Path) -> str:
        return hashlib.sha256(np.asarray(Image.open(path)).tobytes()).hexdigest()

    known = {pixels(path) for path in sorted(validation_folder.rglob("*.jpg"))}
    kept = [pixels(train_folder / path) not in known for path in train["path"]]
    twins = len(kept) - sum(kept)
    print(f"FER-2013: {twins} training images are also in the validation set; left out")
    return train.loc[kept]


def rendered(model: Model, folder: Path) -> dict[str, object]:
    """Return every number on rendered people."""
    table = mien.embed([folder], model=model, detector="none", features=True)
    truth = read_truth(folder, table)
    paths = [folder / path for path in truth.labels["path"]]
    scores: dict[str, object] = dict(direct_scores(truth, np.random.default_rng(0)))
    canonical, carried, drawn = depths(model, paths)
    unmoved = frontal_depth(folder, truth, canonical)
    depth = frontal_depth(folder, truth, carried, drawn=drawn)
    scores["frontal depth correlation, canonical grid as it is"] = float(unmoved.mean())
    scores["frontal depth correlation, carried into the image"] = float(depth.mean())
    scores["frontal depth images"] = len(depth)
    scores["mean absolute error"] = reconstruction_error(model, paths)
    groups = group_errors(truth, rng=np.random.default_rng(1))
    scores["groups"] = {name: asdict(error) for name, error in groups.items()}
    print(pd.DataFrame(scores["groups"]).T.round(3).to_string())
    matrix = factor_matrix(truth)
    print(matrix.round(3).to_string())
    scores["probes"] = matrix.round(4).to_dict("index")
    return scores


def fer2013(model: Model, train_zip: Path, validation_zip: Path) -> dict[str, object]:
    """Return every number on FER-2013."""
    with tempfile.TemporaryDirectory() as place:
        train_folder = unpack(train_zip, Path(place) / "train")
        validation_folder = unpack(validation_zip, Path(place) / "validation")
        train = mien.embed([train_folder], model=model, detector="none", features=True)
        train = without_twins(train, train_folder, validation_folder)
        validation = mien.embed([validation_folder], model=model, detector="none", features=True)
        scores: dict[str, object] = dict(fer2013_scores(train, validation))
        error = reconstruction_error(model, sorted(validation_folder.rglob("*.jpg")))
        scores["mean absolute error"] = error
    return scores


def main() -> None:
    """Measure what is given, print it and write it as JSON."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--heldout", type=Path)
    parser.add_argument("--fer2013", type=Path, nargs=2, metavar=("TRAIN", "VALIDATION"))
    parser.add_argument("--weights", default=None)
    parser.add_argument("--out", type=Path, default=Path("results.json"))
    given = parser.parse_args()
    model = load(given.weights)
    results: dict[str, object] = {"weights": model.weights_id}
    if given.heldout:
        results["rendered"] = rendered(model, given.heldout)
    if given.fer2013:
        results["fer2013"] = fer2013(model, *given.fer2013)
    text = json.dumps(results, indent=1)
    given.out.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
