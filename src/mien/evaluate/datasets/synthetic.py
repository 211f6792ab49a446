"""A folder of `mien synth`: its images, and every label that the factors are held against."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import MAX_NUMBER, holds
from mien.evaluate.datasets.sets import DataSet
from mien.evaluate.datasets.tree import Tree, open_tree
from mien.evaluate.protocol import Images, checksum
from mien.geometry.gaze import gaze_angles

__all__ = ["FACTORS", "LABELS_FILE", "Clips", "Label", "inner_face", "read_clips", "read_config"]

Array = NDArray[np.floating]

LABELS_FILE = "labels.parquet"
CONFIG_FILE = "config.json"
INNER_FACE = (0.7, 0.85)
"""Half axes of the ellipse that is called the face, as fractions of half the crop: inside the
outline of cheeks and chin, without hair and ears."""
COEFFICIENTS = 5
"""So many of the head model's identity coefficients are labels: the first move the most."""
MIN_RELIT = 20
"""People whose light changes; with fewer all count."""
_MOST = {"frames": 10_000, "size": 4096, "seed": 2**63}
_NUMBERS = {
    **dict.fromkeys(("person", "frame", "yaw_rad", "pitch_rad", "roll_rad"), ()),
    **dict.fromkeys(("gaze_x", "gaze_y", "gaze_z", "light_x", "light_y", "light_z"), ()),
    **dict.fromkeys(("light_ambient", "light_diffuse"), ()),
    "rotation": (9,),
}
_NEEDED = ("path", *_NUMBERS, "identity", "expression", "landmarks")


@dataclass(frozen=True)
class Label:
    """One thing that is known of every image."""

    name: str
    factor: str
    """Which factor it is part of: identity, expression, gaze, pose or light."""
    kind: Literal["class", "number"]
    values: NDArray[Any]
    """Class numbers, int64, or numbers, float64. [N]."""


@dataclass(frozen=True)
class Clips:
    """Rendered people, one clip each."""

    tree: Tree
    table: pd.DataFrame
    """The labels as `mien synth` writes them; one row an image."""

    def __len__(self) -> int:
        return len(self.table)

    @property
    def person(self) -> NDArray[np.int64]:
        """Who it is. [N]."""
        return self.table["person"].to_numpy(np.int64)

    @property
    def expression(self) -> NDArray[np.int64]:
        """Return the class of each image, in the names' order. [N]."""
        return np.unique(self.table["expression"], return_inverse=True)[1].astype(np.int64)

    def column(self, name: str) -> Array:
        """Return a column of numbers. [N], or [N, D] where it holds lists."""
        values = self.table[name].to_numpy()
        return np.asarray(list(values) if values.dtype == object else values, dtype=np.float64)

    @property
    def light(self) -> Array:
        """Return unit vectors to the light, camera frame. [N, 3]."""
        return np.stack([self.column(f"light_{axis}") for axis in "xyz"], axis=1)

    def relit(self) -> NDArray[np.bool_]:
        """Return which rows are of people whose light changes; all, where those are few. [N].

        Where a clip's light is steady, whatever predicts light predicts the person.
        """
        lights = np.concatenate([self.light, self.column("light_ambient")[:, None]], axis=1)
        who = np.unique(self.person, return_inverse=True)[1]
        range_of = np.array([np.ptp(lights[who == p], axis=0).max() for p in range(who.max() + 1)])
        changes = range_of > 1e-4
        return changes[who] if changes.sum() >= MIN_RELIT else np.ones(len(self), dtype=bool)

    def images(self) -> Images:
        """Return the images, which are face crops already."""
        names = tuple(str(name) for name in self.table["path"])
        return Images(names, lambda row: self.tree.image(names[row]), crop="face")

    @property
    def checksum(self) -> str:
        """12 hex digits of names and labels."""
        columns = ("path", "person", "expression", "yaw_rad", "pitch_rad", "light_x", "gaze_x")
        rows = zip(*(self.table[name] for name in columns), strict=True)
        return checksum(",".join(str(value) for value in row) for row in rows)

    def labels(self) -> tuple[Label, ...]:
        """Return what is probed for: shape of the head, expression, eyes, head pose, light.

        The gaze is taken in the head's frame (gaze_head = Rᵀ gaze), so that it is the eyes' own
        rotation, whatever the head's.
        """
        rotation = self.column("rotation").reshape(-1, 3, 3)
        gaze = np.stack([self.column(f"gaze_{axis}") for axis in "xyz"], axis=1)
        yaw, pitch = gaze_angles(np.einsum("nji,nj->ni", rotation, gaze))
        shape = self.column("identity")[:, :COEFFICIENTS]
        found = [
            Label(f"head shape {i + 1}", "identity", "number", shape[:, i])
            for i in range(shape.shape[1])
        ]
        found.append(Label("expression", "expression", "class", self.expression))
        found.append(Label("eye yaw", "gaze", "number", np.asarray(yaw, np.float64)))
        found.append(Label("eye pitch", "gaze", "number", np.asarray(pitch, np.float64)))
        for name in ("yaw", "pitch", "roll"):
            found.append(Label(f"head {name}", "pose", "number", self.column(f"{name}_rad")))
        for name in ("x", "y", "ambient", "diffuse"):
            found.append(Label(f"light {name}", "light", "number", self.column(f"light_{name}")))
        return tuple(found)


def read_clips(path: Path, protocol: str) -> Clips:
    """Read a folder of `mien synth`, or a zip of one.

    Raises:
        MienError: it is none, or was interrupted, or its table is damaged.
    """
    tree = _root(open_tree(path))
    if not tree.has(LABELS_FILE):
        raise MienError(
            f"{protocol}: {tree}/{LABELS_FILE} is missing; give a folder that `mien synth` "
            "has finished"
        )
    try:
        table = pq.read_table(pa.BufferReader(tree.read_bytes(LABELS_FILE)))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MienError(
            f"{protocol}: {tree}/{LABELS_FILE} cannot be read; render the folder again"
        ) from error
    missing = [name for name in _NEEDED if name not in table.column_names]
    if missing:
        raise MienError(
            f"{protocol}: {tree}/{LABELS_FILE} has no {', '.join(missing)}; "
            "it was not written by `mien synth`"
        )
    clips = Clips(tree, table.to_pandas())
    for name, length in _NUMBERS.items():
        try:
            values = clips.column(name)
        except (TypeError, ValueError) as error:
            raise MienError(f"{protocol}: {tree}/{LABELS_FILE}: {name} is no number") from error
        if values.shape[1:] != length or not (np.abs(values) <= MAX_NUMBER).all():
            raise MienError(
                f"{protocol}: {tree}/{LABELS_FILE}: {name} is NaN, beyond reason, or not of shape "
                f"{list(length)}; render the folder again"
            )
    return clips


def _root(tree: Tree) -> Tree:
    """Return where the table is: at the top, or below the one leading folder of a zip."""
    tops = {name.partition("/")[0] for name in tree.names} if not tree.has(LABELS_FILE) else set()
    below = tree.under(tops.pop()) if len(tops) == 1 else tree
    return below if below.has(LABELS_FILE) else tree


def read_config(tree: Tree, protocol: str) -> dict[str, Any]:
    """Return what a folder of `mien synth` was asked to hold.

    Raises:
        MienError: config.json is missing or damaged.
    """
    try:
        config = json.loads(tree.read_text(CONFIG_FILE))
        needed = ("frames", "size", "seed", "head_model")
        whole = isinstance(config, dict) and all(name in config for name in needed)
        if whole and all(
            type(config[name]) is int and 0 <= config[name] < most for name, most in _MOST.items()
        ):
            return config
    except (RecursionError, ValueError):
        pass
    raise MienError(f"{protocol}: {tree}/{CONFIG_FILE} is damaged; render the folder again")


def inner_face(size: int) -> NDArray[np.bool_]:
    """Return the ellipse of `INNER_FACE` in a square crop. [S, S]."""
    down, across = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    return np.asarray((across / INNER_FACE[0]) ** 2 + (down / INNER_FACE[1]) ** 2 < 1)


FACTORS = DataSet(
    title="leakage between factors, disentanglement and expression transfer, rendered people",
    layout=(
        "labels.parquet, config.json and person_NNNNNN/frame_NNN.png (or .jpg): a folder that "
        "`mien synth` has written, of people never seen in training; or a zip of it"
    ),
    source="yourself: mien synth --head-model ICT-FaceKit --identities 300 --frames 8 --size 224 "
    "--seed 900001 (ICT-FaceKit: USC Institute for Creative Technologies, MIT)",
    matches=lambda path: holds(path, LABELS_FILE, CONFIG_FILE),
    read=lambda path, _: read_clips(path, "factors"),
)
"""Rendered people, whose every factor is known."""
