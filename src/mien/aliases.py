"""Old names that are still read, never written: of options, table columns, tensors and files."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TypeVar

__all__ = ["COLUMNS", "FILES", "OPTIONS", "TENSORS", "current_options", "current_tensors"]

Value = TypeVar("Value")

OPTIONS: Mapping[str, str] = {
    "likeness_dim": "face_embedding_dim",
    "finder": "localizer",
    "strip_share": "eye_crop_share",
}
"""Options of models and of training runs: old name => name."""

COLUMNS: Mapping[str, str] = {"likeness": "face_embedding"}
"""Columns of a table of faces: old name => name."""

TENSORS: Mapping[str, str] = {
    "likeness.": "face_embedding.",
    "gaze.finder.": "gaze.localizer.",
}
"""Beginnings of tensors' names in a file of weights: old => new. The shipped file has old ones, so
that its checksum, which tables name, stays what it was."""

FILES: Mapping[str, str] = {"images.b2": "pictures.b2", "cache.json": "pack.json"}
"""Files of a folder of weights, or of cached crops: name => old name."""


def current_options(options: Mapping[str, Value], where: object) -> dict[str, Value]:
    """Return options under their present names; say so where an old one was met.

    Args:
        options: by name, as read from a file or a command line.
        where: the file, named in the warning.
    """
    for old in options.keys() & OPTIONS.keys():
        warnings.warn(
            f"{where}: {old} is now called {OPTIONS[old]}", DeprecationWarning, stacklevel=2
        )
    return {OPTIONS.get(name, name): value for name, value in options.items()}


def current_tensors(tensors: Mapping[str, Value]) -> dict[str, Value]:
    """Return tensors under the present names of the modules that they belong to."""
    found = {}
    for name, tensor in tensors.items():
        old = next((start for start in TENSORS if name.startswith(start)), None)
        found[name if old is None else TENSORS[old] + name.removeprefix(old)] = tensor
    return found
