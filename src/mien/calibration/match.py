"""The rows of a table of faces whose targets are known: what a calibration is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.calibration.samples import FEWEST
from mien.calibration.targets import KEYS, Target
from mien.errors import MienError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDED", "Matched", "match"]

POSE = ("yaw_rad", "pitch_rad", "roll_rad")
NEEDED = (*KEYS, "gaze_code", "eyes_found", *POSE)
"""Columns of the table that are read."""


@dataclass(frozen=True)
class Matched:
    """Samples to fit to, in the targets' order; fields as `mien.calibration.fit.fit` takes them."""

    codes: NDArray[np.float64]
    """[N, d]."""
    targets: NDArray[np.float64]
    """Unit vectors, camera frame. [N, 3]."""
    head_pose: NDArray[np.float64] | None
    """Yaw, pitch, roll, rad; None if the table has none, as of eye strips. [N, 3]."""
    people: list[str] | None
    """[N]."""
    names: list[str]
    """Of the faces. [N]."""
    model_id: str
    """Of the weights that made the codes; "" if the table does not say."""
    without_eyes: list[str]
    """Names of the targets that are left out because no eyes, or no face, were found."""


def match(faces: pd.DataFrame, targets: Sequence[Target]) -> Matched:
    """Find the face of every target.

    Args:
        faces: what `mien.embed` returns, or a table of faces with its codes: at least `NEEDED`;
            `attrs["model_id"]` names the weights.
        targets: by `mien.calibration.targets.read_targets`.

    Raises:
        MienError: if a column is missing, a target has no row or several, or too few are left
            when those without eyes are left out.
    """
    missing = [name for name in NEEDED if name not in faces]
    if missing:
        raise MienError(
            f"the table has no column {missing[0]}: embed again, with weights that have a gaze "
            "branch"
        )
    rows = _rows(faces, targets)
    codes = faces["gaze_code"].tolist()
    seen = faces["eyes_found"].isin([True]).to_numpy()  # null, too, is no
    kept = [i for i, row in enumerate(rows) if seen[row] and codes[row] is not None]
    there = set(kept)
    lost = [target.name for i, target in enumerate(targets) if i not in there]
    if len(kept) < FEWEST:
        without = f", because {len(lost)} show no eyes, first {lost[0]}" if lost else ""
        raise MienError(
            f"{len(kept)} samples are too few to calibrate with{without}: give {FEWEST} or more"
        )
    taken = faces.iloc[[rows[i] for i in kept]]
    chosen = [targets[i] for i in kept]
    people = [target.person for target in chosen if target.person is not None]
    pose = taken[list(POSE)].to_numpy(dtype=np.float64)
    return Matched(
        codes=np.stack(taken["gaze_code"].tolist()).astype(np.float64),
        targets=np.array([target.direction for target in chosen]),
        head_pose=None if np.isnan(pose).all() else pose,
        people=people or None,
        names=[target.name for target in chosen],
        model_id=str(faces.attrs.get("model_id", "")),
        without_eyes=lost,
    )


def _rows(faces: pd.DataFrame, targets: Sequence[Target]) -> list[int]:
    """Return the number of each target's row."""
    rows_of: dict[str, list[int]] = {}
    for number, path in enumerate(faces["path"]):
        rows_of.setdefault(path, []).append(number)
    frames, ids = faces["frame"].to_numpy(), faces["face_id"].isna().to_numpy()
    face_ids = faces["face_id"].fillna(-1).to_numpy()

    def matches(row: int, target: Target) -> bool:
        # Where no face is found there is no face_id: the row says that there are no eyes.
        return target.frame in (None, frames[row]) and (
            ids[row] or target.face_id in (None, face_ids[row])
        )

    found = [[r for r in rows_of.get(t.path, []) if matches(r, t)] for t in targets]
    unmatched = [t.name for t, rows in zip(targets, found, strict=True) if not rows]
    if unmatched:
        example = f", where the first path is {faces['path'].iloc[0]}" if len(faces) else ""
        raise MienError(
            f"{len(unmatched)} targets have no row in the table{example}; first {unmatched[0]}: "
            "name the faces as its columns path, frame and face_id do"
        )
    several = [t.name for t, rows in zip(targets, found, strict=True) if len(rows) > 1]
    if several:
        raise MienError(
            f"{len(several)} targets have several rows in the table, first {several[0]}: "
            "say which by the columns frame and face_id"
        )
    return [rows[0] for rows in found]
