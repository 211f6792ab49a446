"""Faces drawn by a seed and none left out: redrawn, turned, relit, with another's expression.

Run: python -m benchmarks.ten_faces --faces faces.csv --out docs/ten-faces.png [--weights FOLDER]

faces.csv: `path` of crops with room (benchmarks/photographs.py). A column a face. Rows:
photograph; redrawn from all its factors; canonical face from the front; turned to 40 degrees to
either side; lit from the left; neutral; with the expression of the face in the next column; depth,
shaded.
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import numpy as np
import torch
from benchmarks.photographs import read_list, read_photographs, without_room
from torch import Tensor

from mien.geometry.camera import surface_normals, unproject
from mien.geometry.rotation import angles_to_rotation
from mien.media.image import to_uint8, write_png
from mien.model import Model, load
from mien.pipeline.encode import to_batch
from mien.types import Light, Pose

NUMBER, SIDE, TURN_DEG = 10, 96, 40.0


def pose_of(yaw_deg: float) -> Pose:
    """Return a pose that is turned and nothing else."""
    yaw, zero = torch.tensor([math.radians(yaw_deg)]), torch.zeros(1)
    return Pose(angles_to_rotation(yaw, zero, zero), torch.zeros(1, 3))


def sheet(model: Model, images: Tensor) -> Tensor:
    """Return the rows of some faces. [3, rows SIDE, N SIDE]."""
    factors = model.encode(images)
    front, direction = pose_of(0), torch.nn.functional.normalize(torch.tensor([[-1, -0.4, -0.6]]))
    light = Light(torch.tensor([0.35]), torch.tensor([0.65]), direction)
    neighbour = torch.arange(len(images)).roll(-1)
    depth = model.render(factors, pose=front).canonical_depth
    normals = surface_normals(unproject(depth, model.config.fov_deg))
    shaded = (-0.7 * normals[:, 2:] - 0.35 * normals[:, :1] + 0.2).expand(-1, 3, -1, -1)
    rows = [
        images,
        model.render(factors).image,
        *(model.render(factors, pose=pose_of(yaw)).image for yaw in (0, -TURN_DEG, TURN_DEG)),
        model.render(factors, pose=front, light=light).image,
        model.render(factors.neutral(), pose=front).image,
        model.render(factors.with_expression(factors[neighbour]), pose=front).image,
        shaded,
    ]
    large = [torch.nn.functional.interpolate(row, SIDE, mode="bicubic") for row in rows]
    return torch.cat([torch.cat(list(row), dim=2) for row in large], dim=1).clamp(0, 1)


def main() -> None:
    """Draw the faces and show them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faces", type=Path, required=True)
    parser.add_argument("--weights", default=None)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    table = read_list(given.faces, ())
    rows = np.random.default_rng(given.seed).choice(len(table), NUMBER, replace=False)
    crops = without_room(read_photographs(given.faces.parent, table.iloc[rows]))
    model = load(given.weights)
    side = model.config.image_size
    images = torch.nn.functional.interpolate(
        to_batch(list(crops)) / 255, (side, side), mode="bilinear", antialias=True
    )
    write_png(given.out, to_uint8(sheet(model, images)), overwrite=True)
    print("\n".join(table["path"].iloc[rows]))


if __name__ == "__main__":
    main()
