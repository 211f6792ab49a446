"""Known failures as an image: rendered people on whom the factors are worst.

Run:
    mien synth --head-model HEAD --identities 300 --frames 14 --size 96 --seed 900001 --out heldout
    python -m benchmarks.failures --heldout heldout --out docs/failures.png

Three groups of columns: where the head's yaw is furthest from the truth, where the light is,
and where the rendered face differs most from the image; at most one image of a person in each.
Rows: the image, the face rendered from all its factors, the same from the front.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from benchmarks.rendered import read_truth
from benchmarks.results import crops, rendering_errors
from numpy.typing import NDArray
from torch import Tensor

import mien
from mien.media.image import write_png
from mien.model import Model, load
from mien.types import Pose

ACROSS = 5
"""Images of each kind of failure."""
GAP = 8
"""White pixels between the kinds."""
SIZE = 128


def worst(error: NDArray[np.floating], person: NDArray[np.int64]) -> list[int]:
    """Return the rows with the largest errors, no person twice."""
    rows: list[int] = []
    for row in np.argsort(-error, kind="stable"):
        if person[row] not in person[rows]:
            rows.append(int(row))
        if len(rows) == ACROSS:
            break
    return rows


def errors(model: Model, folder: Path) -> tuple[list[Path], NDArray[np.int64], list[NDArray]]:
    """Return the images, who is on each, and three errors of each: yaw, light, rendering."""
    table = mien.embed([folder], model=model, detector="none")
    truth = read_truth(folder, table)
    paths = [folder / path for path in truth.labels["path"]]
    yaw = np.abs(truth.predicted["yaw_rad"].to_numpy() - truth.labels["yaw_rad"].to_numpy())
    axes = [f"light_{axis}" for axis in "xy"]
    light = np.linalg.norm(truth.predicted[axes].to_numpy() - truth.labels[axes].to_numpy(), axis=1)
    totals, counts = rendering_errors(model, paths)
    return paths, truth.person, [yaw, light, totals / counts]


def sheet(model: Model, paths: list[Path]) -> Tensor:
    """Return the three rows of some images. [3, 3 SIZE, len(paths) SIZE]."""
    images = crops(paths, model.config.image_size)
    factors = model.encode(images)
    front = Pose(torch.eye(3)[None], torch.zeros(1, 3))
    rows = (images, model.render(factors).image, model.render(factors, pose=front).image)
    large = [torch.nn.functional.interpolate(row, SIZE, mode="bicubic") for row in rows]
    return torch.cat([torch.cat(list(row), dim=2) for row in large], dim=1).clamp(0, 1)


def main() -> None:
    """Find the failures and show them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--heldout", type=Path, required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    model = load(given.weights)
    paths, person, found = errors(model, given.heldout)
    parts = []
    for error in found:
        rows = worst(error, person)
        print(" ".join(f"{error[row]:.2f}" for row in rows))
        parts += [sheet(model, [paths[row] for row in rows]), torch.ones(3, 3 * SIZE, GAP)]
    pixels = (torch.cat(parts[:-1], dim=2) * 255).byte().permute(1, 2, 0).numpy()
    write_png(given.out, pixels, overwrite=True)


if __name__ == "__main__":
    main()
