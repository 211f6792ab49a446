"""Where the eyes are and whether they are open, where `mien synth` has written it down."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mien.data.labels import has_labels, read_labels

__all__ = ["EyeLabel", "lids_open", "read_eye_labels"]

Numbers = np.ndarray[Any, np.dtype[np.float32]]

_LIDS = ("eyeBlink_L", "eyeBlink_R")
# What lifts the lids that the first pair shuts: of frightened and surprised faces they stay open.
_WIDE = ("eyeWide_L", "eyeWide_R")
# Weight of the lids' shape above which an eye is shut; below the lower one it is open.
_SHUT, _HALF_SHUT = 0.75, 0.45


@dataclass(frozen=True)
class EyeLabel:
    """What is known of the eyes of one image; no gaze."""

    eyes: Numbers
    """x, y of the eye left of the image, then right of it; pixels from centre 0, 0. [2, 2]."""
    open: float
    """1 = open, 0 = both shut, NaN = between."""


def lids_open(weights: Numbers, names: Sequence[str]) -> Numbers:
    """Return 1 for open eyes, 0 where both are shut, NaN between. [T].

    Args:
        weights: of the expression shapes. [T, E].
        names: of the shapes; NaN for a head without lids. Where it has shapes of wide eyes, what
            they lift is taken off.
    """
    if any(name not in names for name in _LIDS):
        return np.full(len(weights), np.nan, dtype=np.float32)
    columns = list(names)
    lids = weights[:, [columns.index(name) for name in _LIDS]]
    lifted = np.zeros_like(lids)
    if all(name in columns for name in _WIDE):
        lifted = weights[:, [columns.index(name) for name in _WIDE]]
    shut = (lids - lifted).min(axis=1) > _SHUT
    is_open = lids.min(axis=1) < _HALF_SHUT
    state = np.where(shut, 0.0, np.where(is_open, 1.0, np.nan))
    return state.astype(np.float32)


def read_eye_labels(folders: Iterable[Path]) -> dict[Path, EyeLabel]:
    """Return the labels of the eyes in the folders of `mien synth`, by the image's file.

    Args:
        folders: places of sources; those without labels are passed over.

    Raises:
        MienError: a table of labels cannot be read.
    """
    labels: dict[Path, EyeLabel] = {}
    for folder in folders:
        if has_labels(folder):
            labels |= _of_folder(folder)
    return labels


def _of_folder(folder: Path) -> dict[Path, EyeLabel]:
    table = read_labels(folder, {"landmarks": (5, 2), "expression_weights": (-1,)})
    opened = lids_open(table.columns["expression_weights"], table.shape_names)
    eyes = table.columns["landmarks"][:, :2]
    return {
        file: EyeLabel(places, float(shown))
        for file, places, shown in zip(table.files, eyes, opened, strict=True)
    }
