"""Head yaw of photographs as the weights read it, against five landmarks on the mean head.

Run: python -m benchmarks.turns --faces faces.csv --head-model ict_facekit.npz [--weights FOLDER]
     python -m benchmarks.turns --rendered people --head-model ict_facekit.npz

faces.csv: `path` of crops with room (benchmarks/photographs.py) and five landmarks. The mean head
is placed under them in weak perspective, which is itself off by some degrees in far turns. Of each
range of absolute yaw at most --number faces are drawn.

--rendered, a folder of `mien synth --turns wide`, says how far: YuNet's landmarks against the yaw
that is known. Weights that read every head exactly would have that share of a range within 10
degrees of the landmarks, and no more.
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
from PIL import Image

from mien.data.labels import read_labels
from mien.faces.detect import open_detector
from mien.geometry.rotation import rotation_to_angles
from mien.media.image import read
from mien.model import load
from mien.synth.head_model import load_head_model
from mien.synth.photo_views import PhotoViews

RANGES = ((0, 15), (15, 30), (30, 45), (45, 90))
SIDE, EDGE = 192, 48
"""Rendered images are scaled to SIDE, with so many pixels of their edge around them."""
NEAR = 10.0
"""Degrees within which a yaw counts as right."""


def landmark_angles(head: PhotoViews, marks: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yaw, pitch, roll of the mean head under landmarks, degrees. [N, 3]."""
    rotation = np.stack([head.rotation(one) for one in marks])
    return np.rad2deg(torch.stack(rotation_to_angles(torch.from_numpy(rotation)), 1).numpy())


def rendered_yaw(head: PhotoViews, folder: Path, number: int) -> NDArray[np.float64]:
    """Return the yaw by landmarks and the known one of rendered people, degrees. [N, 2].

    Images in which YuNet finds no face are left out.

    Args:
        head: the mean head.
        folder: of `mien synth`.
        number: of images that are drawn, at most.

    Raises:
        MienError: the folder has no labels, an image cannot be read, or YuNet's file is not found.
    """
    labels, find = read_labels(folder, {"yaw_rad": ()}), open_detector("yunet")
    chosen = np.random.default_rng(0).permutation(len(labels.files))[:number]
    found = []
    for row in chosen:
        image = Image.fromarray(read(labels.files[row])).resize((SIDE, SIDE))
        faces = find(np.pad(np.asarray(image), ((EDGE, EDGE), (EDGE, EDGE), (0, 0)), mode="edge"))
        if faces and faces[0].landmarks is not None:
            angles = landmark_angles(head, faces[0].landmarks[None].astype(np.float64))
            found.append((angles[0, 0], np.rad2deg(labels.columns["yaw_rad"][row])))
    return np.array(found).reshape(-1, 2)


def print_rendered(head: PhotoViews, folder: Path, number: int) -> None:
    """Print a row a range of yaw by landmarks."""
    marked, known = rendered_yaw(head, folder, number).T
    print("| yaw by landmarks | faces | mean | known yaw | landmarks within 10 degrees of it |")
    for low, high in RANGES:
        rows = (np.abs(marked) >= low) & (np.abs(marked) < high)
        if rows.any():
            mean, towards = np.abs(marked[rows]).mean(), known[rows] * np.sign(marked[rows])
            near = (np.abs(marked - known)[rows] <= NEAR).mean()
            cells = f"{rows.sum()} | {mean:.1f} | {towards.mean():.1f} | {near:.1%}"
            print(f"| {low} to {high} | {cells} |", flush=True)


def main() -> None:
    """Print a row a range of yaw."""
    parser = argparse.ArgumentParser(description=__doc__)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--faces", type=Path)
    source.add_argument("--rendered", type=Path, help="folder of `mien synth`: the landmarks alone")
    parser.add_argument("--head-model", type=Path, required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--number", type=int, default=400)
    given = parser.parse_args()
    head = PhotoViews(load_head_model(given.head_model))
    if given.rendered:
        print_rendered(head, given.rendered, 10 * given.number)
        return
    table = read_list(given.faces, tuple(f"{name}_x" for name in LANDMARKS))
    truth = landmark_angles(head, read_landmarks(table))
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
