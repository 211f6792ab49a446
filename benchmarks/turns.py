"""Head yaw of photographs as the weights read it, against five landmarks on the mean head.

Run: python -m benchmarks.turns --faces faces.csv --head-model ict_facekit.npz [--weights FOLDER]

faces.csv: `path` of crops with room (benchmarks/photographs.py) and five landmarks. The mean head
is placed under them in weak perspective, which is itself off by some degrees in far turns. Of each
range of absolute yaw at most --number faces are drawn.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from benchmarks.photographs import (
    LANDMARKS,
    angles_of,
    encoded,
    read_landmarks,
    read_list,
    read_photographs,
    without_room,
)
from numpy.typing import NDArray

from mien.geometry.rotation import rotation_to_angles
from mien.model import load
from mien.synth.head_model import load_head_model
from mien.synth.photo_views import PhotoViews

RANGES = ((0, 15), (15, 30), (30, 45), (45, 90))
NEAR = 10.0
"""Degrees within which a yaw counts as right."""


def landmark_angles(head: PhotoViews, marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yaw, pitch, roll of the mean head under landmarks, degrees. [N, 3]."""
    rotation = np.stack([head.rotation(one) for one in marks])
    return np.rad2deg(torch.stack(rotation_to_angles(torch.from_numpy(rotation)), 1).numpy())


def main() -> None:
    """Print a row a range of yaw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--head-model", type=Path, required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--number", type=int, default=400)
    given = parser.parse_args()
    table = read_list(given.faces, tuple(f"{name}_x" for name in LANDMARKS))
    truth = landmark_angles(PhotoViews(load_head_model(given.head_model)), read_landmarks(table))
    size, rng = np.abs(truth[:, 0]), np.random.default_rng(0)
    ranges = [np.flatnonzero((size >= low) & (size < high)) for low, high in RANGES]
    chosen = [rng.permutation(rows)[: given.number] for rows in ranges]
    model = load(given.weights)
    print(
        "| yaw | faces | mean by landmarks | mean read | sign right and within 10 degrees | pitch |"
    )
    for (low, high), rows in zip(RANGES, chosen, strict=True):
        crops = without_room(read_photographs(given.faces.parent, table.iloc[rows]))
        found, true = angles_of(encoded(model, crops)), truth[rows]
        towards = found[:, 0] * np.sign(true[:, 0])
        right = (np.abs(found[:, 0] - true[:, 0]) <= NEAR) & (towards > 0)
        pitch = np.abs(found[:, 1] - true[:, 1]).mean()
        cells = f"{size[rows].mean():.1f} | {towards.mean():.1f} | {right.mean():.1%} | {pitch:.1f}"
        print(f"| {low} to {high} | {len(rows)} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
