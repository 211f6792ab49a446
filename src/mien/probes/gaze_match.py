"""The rows of a table of faces whose targets are known: what a calibration is fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.columns import EYES_FOUND, GAZE_CODE, POSE
from mien.errors import MienError
from mien.probes.face_rows import KEYS, rows_of_faces
from mien.probes.gaze_samples import FEWEST
from mien.probes.targets import Target

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NEEDED", "Matched", "match"]

NEEDED = (*KEYS, GAZE_CODE, EYES_FOUND, *POSE)
"""Columns of the table that are read."""


@dataclass(frozen=True)
class Matched:
    """Samples to fit to, in the targets' order; fields as `mien.probes.gaze_fit.fit` takes them."""

    codes: NDArray[np.float64]
    """[N, d]."""
    targets: NDArray[np.float64]
    """Unit vectors, camera frame. [N, 3]."""
    head_pose: NDArray[np.float64] | None
    """Yaw, pitch, roll, rad; None if the table has none, as of eye-region crops. [N, 3]."""
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
        targets: by `mien.probes.targets.read_targets`.

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
    rows = rows_of_faces(faces, targets, "targets")
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
