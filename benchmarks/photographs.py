"""Photographs of faces with what is known about them: crops with room around the face, and a CSV.

The crops are squares whose middle, two thirds of the side, is what `mien embed` would cut. The CSV
lies beside them; `path` names a crop, further columns as each script says.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.rotation import rotation_to_angles
from mien.media.image import read
from mien.model import Model
from mien.pipeline.encode import to_batch
from mien.types import Factors

__all__ = [
    "INSIDE",
    "LANDMARKS",
    "angles_of",
    "encoded",
    "read_landmarks",
    "read_list",
    "read_photographs",
    "without_room",
]

INSIDE = 2 / 3
"""Side of the face crop within a crop with room."""
LANDMARKS = ("eye_r", "eye_l", "nose", "mouth_r", "mouth_l")
"""Columns NAME_x and NAME_y, pixels: the person's right eye, which is left in the image, and so on;
in a detector's usual order."""

Pixels = NDArray[np.uint8]


def read_list(path: Path, columns: tuple[str, ...]) -> pd.DataFrame:
    """Return the CSV of some photographs.

    Raises:
        MienError: a column is missing.
    """
    found = pd.read_csv(path)
    missing = [name for name in ("path", *columns) if name not in found]
    if missing:
        raise MienError(f"{path} has no column {missing[0]}")
    return found


def read_landmarks(table: pd.DataFrame) -> NDArray[np.float64]:
    """Return five landmarks, pixels. [N, 5, 2]."""
    columns = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    return table[columns].to_numpy(np.float64).reshape(-1, 5, 2)


def read_photographs(folder: Path, table: pd.DataFrame) -> Pixels:
    """Return crops of one size. uint8 [N, P, P, 3].

    Raises:
        MienError: an image cannot be read.
    """
    return np.stack([read(folder / path) for path in table["path"]])


def without_room(crops: Pixels) -> Pixels:
    """Return what `mien embed` would cut. [N, S, S, 3]."""
    side = crops.shape[1]
    edge = round(side * (1 - INSIDE) / 2)
    return crops[:, edge : side - edge, edge : side - edge]


def encoded(model: Model, crops: Pixels) -> Factors:
    """Return the factors of crops."""
    parts = np.array_split(crops, max(1, len(crops) // 256))
    return Factors.cat([model.encode(to_batch(list(part))) for part in parts])


def angles_of(factors: Factors) -> NDArray[np.float64]:
    """Return yaw, pitch, roll of the heads, degrees. [N, 3]."""
    angles = torch.stack(rotation_to_angles(factors.pose.rotation), dim=1)
    return np.rad2deg(angles.double().numpy())
