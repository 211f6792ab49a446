"""People in a folder: images and their truth, person by person, so that a run can resume."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.media.atomic import write_text
from mien.media.bounded import read_json
from mien.synth.expression import EXPRESSIONS
from mien.synth.frame import Frames

__all__ = ["LABELS", "labels_of_frames", "write_people"]

LABELS, SETTINGS = "labels.parquet", "config.json"
JPEG_QUALITY = 95

Pixels = NDArray[np.uint8]
Clip = Callable[[int], tuple[Pixels, Frames]]
"""Number of a person, from 0 => images [T, S, S, 3] and their truth."""


def labels_of_frames(number: int, frames: Frames) -> pd.DataFrame:
    """Return the truth about a person's images, one row each, named as `mien synth` names it.

    Args:
        number: of the person, from 0.
        frames: the plan of the images.
    """
    columns: dict[str, Any] = {
        "path": [f"person_{number + 1:06d}/frame_{t:03d}.jpg" for t in range(len(frames))],
        "person": number + 1,
        "expression": [EXPRESSIONS[e] for e in frames.expression],
        "light_ambient": frames.ambient,
        "light_diffuse": frames.diffuse,
    }
    for place, name in enumerate(("yaw_rad", "pitch_rad", "roll_rad")):
        columns[name] = frames.angles[:, place]
    for name, vectors in (("gaze", frames.gaze), ("light", frames.light)):
        columns |= {f"{name}_{axis}": vectors[:, k] for k, axis in enumerate("xyz")}
    return pd.DataFrame(columns)


def write_people(folder: Path, people: int, clip: Clip, settings: dict[str, Any]) -> pd.DataFrame:
    """Write people's images and return the truth; those that are there already are kept.

    Args:
        folder: where to; made if it is not there.
        people: how many.
        clip: renders one.
        settings: all that decides the images.

    Raises:
        MienError: the folder holds other things, or people of other settings.
    """
    _claim(folder, settings)
    for number in range(people):
        target = folder / f"person_{number + 1:06d}"
        if target.is_dir():
            continue
        images, frames = clip(number)
        labels = labels_of_frames(number, frames)
        unfinished = folder / ".unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        for image, path in zip(images, labels["path"], strict=True):
            Image.fromarray(image).save(unfinished / Path(path).name, quality=JPEG_QUALITY)
        labels.to_parquet(unfinished / LABELS)
        # A person is there whole or not at all.
        unfinished.rename(target)
    parts = [
        pd.read_parquet(folder / f"person_{number + 1:06d}" / LABELS) for number in range(people)
    ]
    labels = pd.concat(parts, ignore_index=True)
    labels.to_parquet(folder / LABELS)
    return labels


def _claim(folder: Path, settings: dict[str, Any]) -> None:
    path = folder / SETTINGS
    if folder.exists() and not folder.is_dir():
        raise MienError(f"{folder} is a file; give a folder")
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        if any(folder.iterdir()):
            raise MienError(f"{folder} is not empty and holds no {SETTINGS}; give a new folder")
        write_text(path, json.dumps(settings, indent=1) + "\n")
    elif read_json(path, advice="give a new folder") != settings:
        raise MienError(f"{folder} holds people of other settings; give a new folder")
