"""What a set of samples must be before anything is learned from it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.geometry.gaze import gaze_angles

__all__ = ["FEWEST", "check_angles", "check_inputs", "target_angles", "target_groups"]

Array = NDArray[np.float64]

FEWEST = 9
"""Samples without which nothing is learned: a grid of three by three targets."""
_LEAST_SPREAD_DEG = 2.0
_LEAST_WIDTH_DEG = 1.0
_UNIT = 0.01
_PLACE_DEG = 0.1


def check_inputs(inputs: Array, names: Sequence[str]) -> None:
    """Refuse samples that are too few, not finite, or there twice.

    Args:
        inputs: code, then head pose if it is used. [N, f].
        names: of the rows, for what is said of them. [N].

    Raises:
        MienError: if so.
    """
    if len(inputs) < FEWEST:
        raise MienError(
            f"{len(inputs)} samples are too few to calibrate with: give {FEWEST} or more"
        )
    broken = np.flatnonzero(~np.isfinite(inputs).all(axis=1))
    if len(broken):
        raise MienError(
            f"{len(broken)} samples have no gaze code or no head pose, first {names[broken[0]]}: "
            "leave them out"
        )
    first: dict[bytes, int] = {}
    original = [first.setdefault(row.tobytes(), i) for i, row in enumerate(inputs)]
    again = [i for i, before in enumerate(original) if before != i]
    if again:
        raise MienError(
            f"{len(again)} samples have the very code of another, first {names[again[0]]} that of "
            f"{names[original[again[0]]]}: give every image once"
        )


def target_angles(targets: Array, names: Sequence[str]) -> Array:
    """Return yaw and pitch of the targets, rad. [N, 3] => [N, 2].

    Args:
        targets: unit vectors, camera frame. [N, 3].
        names: of the rows, for what is said of them. [N].

    Raises:
        MienError: if a target is not finite or no unit vector, or if most look away from the
            camera, which no face does whose eyes are seen.
    """
    lengths = np.linalg.norm(targets, axis=1)
    broken = np.flatnonzero(~(np.abs(lengths - 1) <= _UNIT))
    if len(broken):
        raise MienError(
            f"{len(broken)} targets are no unit vectors, first that of {names[broken[0]]} of "
            f"length {lengths[broken[0]]:.3g}: give directions of length 1"
        )
    away = int((targets[:, 2] > 0).sum())
    if away > len(targets) / 2:
        raise MienError(
            f"{away} of {len(targets)} targets look away from the camera: the frame is x right, "
            "y down, z away from the camera, so that people who are seen look towards negative z"
        )
    return np.stack(gaze_angles(targets), axis=1)


def check_angles(angles: Array) -> None:
    """Refuse targets that lie in one place or on one line.

    Args:
        angles: yaw and pitch, rad. [N, 2].

    Raises:
        MienError: if so; says which angle cannot be learned.
    """
    centred = np.rad2deg(angles - angles.mean(axis=0))
    spread = math.sqrt((centred**2).sum(axis=1).mean())
    if spread < _LEAST_SPREAD_DEG:
        raise MienError(
            f"the targets lie all in one place (spread {spread:.2g} degrees): let people look at "
            "places that are 10 degrees apart or more"
        )
    widths, axes = np.linalg.eigh(centred.T @ centred / len(centred))
    width = math.sqrt(max(widths[0], 0.0))
    if width >= _LEAST_WIDTH_DEG:
        return
    of_yaw, of_pitch = np.abs(axes[:, 0])
    if max(of_yaw, of_pitch) > 0.95:
        missing, way = ("yaw", "left and right") if of_yaw > of_pitch else ("pitch", "up and down")
        raise MienError(
            f"the targets lie on one line (width {width:.2g} degrees): {missing} cannot be "
            f"learned; add targets further {way}"
        )
    raise MienError(
        f"the targets lie on one slanted line (width {width:.2g} degrees): yaw and pitch cannot be "
        "told apart; add targets beside the line"
    )


def target_groups(angles: Array) -> NDArray[np.int64]:
    """Return a number for each place that is looked at, equal for equal places. [N].

    Args:
        angles: yaw and pitch, rad. [N, 2].
    """
    places = np.round(np.rad2deg(angles) / _PLACE_DEG)
    return np.unique(places, axis=0, return_inverse=True)[1].ravel().astype(np.int64)
