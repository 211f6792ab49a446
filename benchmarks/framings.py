"""How the factors hold when the face is framed differently: five framings.

Run: python -m benchmarks.framings [--faces people.csv] [--head-model ict_facekit.npz] [--weights W]

people.csv: `path` of crops with room (benchmarks/photographs.py) and `person`. With --head-model,
150 people are rendered, never trained on, seven expressions each.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
import torch
from benchmarks.photographs import INSIDE, angles_of, encoded, read_list, read_photographs
from benchmarks.treatments import area
from numpy.typing import NDArray

from mien.linear.cross_subject import out_of_fold
from mien.model import Model, load
from mien.synth.frame import Framing
from mien.synth.head_model import load_head_model
from mien.synth.stream import Stream

PEOPLE, EXPRESSIONS, SEED, ROOM = 150, 7, 800001, 144
FRAMINGS = {
    "as mien embed cuts": (1.0, 0.0, 0.0),
    "a quarter wider": (1.25, 0.0, 0.0),
    "a fifth closer": (0.8, 0.0, 0.0),
    "moved by 12 % of its side both ways": (1.0, 0.12, 0.0),
    "rolled by 15 degrees": (1.0, 0.0, 15.0),
}
"""Side relative to the usual one, shift as a fraction of it, roll in degrees."""

Pixels = NDArray[np.uint8]


def framed(crops: Pixels, side: float, shift: float, roll: float) -> Pixels:
    """Return crops with room as another detector might have cut them. uint8 [N, S, S, 3]."""
    room, size = crops.shape[1], round(crops.shape[1] * INSIDE)
    middle = (room - 1) / 2 + shift * size
    matrix = cv2.getRotationMatrix2D((middle, middle), roll, 1 / side)
    matrix[:, 2] += (size - 1) / 2 - middle
    smooth = cv2.INTER_AREA if side > 1 else cv2.INTER_LINEAR
    return np.stack([cv2.warpAffine(crop, matrix, (size, size), flags=smooth) for crop in crops])


def photographs(model: Model, faces: Path) -> None:
    """Print how well people are told apart, and how alike a framing is to the first."""
    table = read_list(faces, ("person",))
    crops, person = read_photographs(faces.parent, table), table["person"].to_numpy()
    print("| framing | AUC of face_embedding | of identity | median cosine to the first framing |")
    first: NDArray[np.float32] | None = None
    for name, how in FRAMINGS.items():
        found = encoded(model, framed(crops, *how))
        unit = {
            code: torch.nn.functional.normalize(getattr(found, code), dim=1).numpy()
            for code in ("face_embedding", "identity")
        }
        first = unit["face_embedding"] if first is None else first
        alike = np.median((unit["face_embedding"] * first).sum(axis=1))
        areas = [area(of, person) for of in unit.values()]
        print(f"| {name} | {areas[0]:.3f} | {areas[1]:.3f} | {alike:.3f} |", flush=True)


def rendered(model: Model, head: Path) -> None:
    """Print errors of the factors of rendered people, whose truth is known."""
    stream = Stream(
        load_head_model(head),
        seed=SEED,
        frames_per_clip=EXPRESSIONS,
        size=ROOM,
        balanced=True,
        framing=Framing(crop_scale=1 / INSIDE),
    )
    clips, plans = [], [stream.plan(i) for i in range(PEOPLE)]
    for plan in plans:
        clips.append(stream.render(plan).images.transpose(0, 2, 3, 1))
    crops, person = np.concatenate(clips), np.repeat(np.arange(PEOPLE), EXPRESSIONS)
    angles = np.rad2deg(np.concatenate([plan.frames.angles for plan in plans]))
    expression = np.concatenate([plan.frames.expression for plan in plans])
    print("| framing | yaw, degrees | pitch | AUC of identity | expression |")
    for name, how in FRAMINGS.items():
        found = encoded(model, framed(crops, *how))
        error = np.abs(angles_of(found) - angles).mean(axis=0)
        unit = torch.nn.functional.normalize(found.identity, dim=1).numpy()
        probe = out_of_fold(
            codes=found.expression.numpy(), labels={"expression": expression}, person=person
        )
        right = (probe["expression"] == expression).mean()
        cells = f"{error[0]:.1f} | {error[1]:.1f} | {area(unit, person):.3f} | {right:.1%}"
        print(f"| {name} | {cells} |", flush=True)


def main() -> None:
    """Print a table of photographs, of rendered people, or both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--head-model", type=Path)
    parser.add_argument("--weights", default=None)
    given = parser.parse_args()
    model = load(given.weights)
    if given.faces:
        photographs(model, given.faces)
    if given.head_model:
        rendered(model, given.head_model)


if __name__ == "__main__":
    main()
