"""What `mien synth` has written down of its images: rotations, expressions, columns in general."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.sources import LABELS_FILE
from mien.errors import MienError

__all__ = [
    "LabelTable",
    "expression_strength",
    "has_labels",
    "read_expression_weights",
    "read_labels",
    "read_rotations",
    "without_gaze",
]

Values = np.ndarray[Any, np.dtype[np.float32]]

_WEIGHTS = "expression_weights"
_GAZE_SHAPES = "eyeLook"  # set by where the eyes look


def has_labels(folder: Path) -> bool:
    """Return whether a folder is one of `mien synth`."""
    return (folder / LABELS_FILE).is_file()


@dataclass(frozen=True)
class LabelTable:
    """Columns of a folder's labels, a row an image."""

    files: list[Path]
    """The images."""
    columns: dict[str, Values]
    """float32, of the shapes that were asked for. [N, ...]."""
    units: dict[str, str]
    """What `mien synth` says of each column."""

    @property
    def shape_names(self) -> list[str]:
        """Return the names of the expression shapes, whose weights must have been asked for."""
        return self.units[_WEIGHTS].rpartition(": ")[2].split()


def read_labels(folder: Path, shapes: Mapping[str, tuple[int, ...]]) -> LabelTable:
    """Return columns of a folder's labels.

    Args:
        folder: of `mien synth`.
        shapes: name of a column => shape of one row; -1: of any length.

    Raises:
        MienError: they cannot be read, are not of `mien synth`, or of other shapes.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / LABELS_FILE
    try:
        table = pq.read_table(path, columns=["path", *shapes])
        columns = {
            name: np.array(table[name].to_pylist(), dtype=np.float32).reshape(len(table), *shape)
            for name, shape in shapes.items()
        }
        found = {name: table.schema.field(name).metadata or {} for name in shapes}
        files = [folder / name for name in table["path"].to_pylist()]
    except (OSError, KeyError, TypeError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise MienError(f"{path} is no table of `mien synth` ({reason}); render it anew") from error
    return LabelTable(files, columns, {n: x.get(b"unit", b"").decode() for n, x in found.items()})


def read_rotations(folders: Iterable[Path]) -> dict[Path, Values]:
    """Return the heads' rotations, head -> camera frame [3, 3], by the image's file.

    Args:
        folders: places of sources; those without labels are passed over.

    Raises:
        MienError: a table of labels cannot be read.
    """
    found: dict[Path, Values] = {}
    for folder in filter(has_labels, folders):
        table = read_labels(folder, {"rotation": (3, 3)})
        found |= zip(table.files, table.columns["rotation"], strict=True)
    return found


def read_expression_weights(folders: Iterable[Path]) -> dict[Path, Values]:
    """Return the weights of the expression shapes, [E], by the image's file; as read_rotations.

    Shapes that turn the eyes are left out.
    """
    found: dict[Path, Values] = {}
    for folder in filter(has_labels, folders):
        table = read_labels(folder, {_WEIGHTS: (-1,)})
        weights = without_gaze(table.columns[_WEIGHTS], table.shape_names)
        found |= zip(table.files, weights, strict=True)
    return found


def without_gaze(weights: Values, names: Sequence[str]) -> Values:
    """Return the weights but for those that turn the eyes. [T, E] -> [T, E'].

    Args:
        weights: of the expression shapes. [T, E].
        names: of the shapes.
    """
    return weights[:, [not name.startswith(_GAZE_SHAPES) for name in names]]


def expression_strength(weights: Values) -> Values:
    """Return how strong expressions are, 0 = none: the length of `without_gaze` [T, E']. [T]."""
    return np.linalg.norm(weights, axis=1)
