"""What `mien synth` has written down about its images: heads' rotations, and columns in general."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.sources import LABELS_FILE
from mien.errors import MienError

__all__ = ["has_labels", "read_labels", "read_rotations"]

Rotation = np.ndarray[Any, np.dtype[np.float32]]


def has_labels(folder: Path) -> bool:
    """Return whether a folder is one of `mien synth`."""
    return (folder / LABELS_FILE).is_file()


def read_labels(folder: Path, columns: Sequence[str]) -> Any:
    """Return columns of a folder's labels as a pyarrow.Table, the images' `path` first.

    Raises:
        MienError: they cannot be read, are not of `mien synth`, or not of the right lengths.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / LABELS_FILE
    try:
        table = pq.read_table(path, columns=["path", *columns])
        for name in columns:
            if not pa.types.is_fixed_size_list(table.schema.field(name).type):
                raise ValueError(f"{name} is no vector")
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        reason = str(error).splitlines()[0]
        raise MienError(f"{path} is no table of `mien synth` ({reason}); render it anew") from error
    return table


def read_rotations(folders: Iterable[Path]) -> dict[Path, Rotation]:
    """Return the heads' rotations, head -> camera frame [3, 3], by the image's file.

    Args:
        folders: places of sources; those without labels are passed over.

    Raises:
        MienError: a table of labels cannot be read.
    """
    found: dict[Path, Rotation] = {}
    for folder in filter(has_labels, folders):
        table = read_labels(folder, ("rotation",))
        rotations = np.array(table["rotation"].to_pylist(), dtype=np.float32).reshape(-1, 3, 3)
        names = table["path"].to_pylist()
        found |= {folder / name: each for name, each in zip(names, rotations, strict=True)}
    return found
