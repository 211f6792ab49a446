"""Rows of a table under py-feat's column names, for what both know: where a face is, its pose.

py-feat's angles are radians about the table's axes (x right, y down, z away): R = Rz(-Roll)
Ry(Yaw) Rx(-Pitch). Source: `forward` of its `Detectorv1` and `Detectorv2` and
`rotvec_to_euler_angles`, version 2.1.5. Its columns of gaze are left out: docs/conventions.md.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mien.columns import FACE_FOUND
from mien.table.pose_angles import numbers, pose_angles

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PYFEAT", "PyFeatColumns"]

_BOX = ("x1", "y1", "x2", "y2")
_RECT = ("FaceRectX", "FaceRectY", "FaceRectWidth", "FaceRectHeight")
_POSE = ("Pitch", "Roll", "Yaw")
PYFEAT = pa.schema(
    [
        ("input", pa.string()),
        ("frame", pa.int64()),
        ("approx_time", pa.string()),
        *((name, pa.float32()) for name in (*_RECT, "FaceScore")),
        *((name, pa.float64()) for name in _POSE),
    ]
)


class PyFeatColumns:
    """Gives rows py-feat's names, a part of a table at a time, images numbered over all parts."""

    def __init__(self) -> None:
        self._image: Hashable = None
        self._number = -1

    def __call__(self, faces: pd.DataFrame) -> pd.DataFrame:
        """Return the next rows of a table of faces under py-feat's names.

        `input`, `frame` (of an image its number among the images, from 0), `approx_time` (of a
        video, minutes:seconds), `FaceRectX`, `FaceRectY`, `FaceRectWidth`, `FaceRectHeight`
        (pixels), `FaceScore` (0 without a face), `Pitch` (+ up), `Roll` (+ the head leans to the
        person's right), `Yaw` (+ the face turns to the person's right). Radians; empty where
        nothing is known.

        Args:
            faces: a table's columns without codes.
        """
        found = faces[FACE_FOUND].to_numpy(dtype=bool)
        left, top, right, bottom = numbers(faces, _BOX).T
        score = numbers(faces, ("det_score",))[:, 0]
        turned = pose_angles(faces, "xyz").T
        times = faces["time_s"].to_numpy(dtype=np.float64, na_value=np.nan)
        columns = {
            "input": faces["path"].to_numpy(),
            "frame": self._frames(faces, np.isnan(times)),
            "approx_time": [_minutes(time) for time in times],
            **dict(zip(_RECT, (left, top, right - left, bottom - top), strict=True)),
            "FaceScore": np.where(found, score, 0.0),
            **dict(zip(_POSE, (-turned[0], -turned[2], turned[1]), strict=True)),
        }
        import pandas as pd  # only where these columns are asked for

        return pd.DataFrame(columns)

    def _frames(self, faces: pd.DataFrame, still: np.ndarray) -> list[int]:
        frames = faces["frame"].to_numpy().tolist()
        for row in np.flatnonzero(still):
            path = faces["path"].iloc[row]
            if path != self._image:
                self._image, self._number = path, self._number + 1
            frames[row] = self._number
        return frames


def _minutes(seconds: float) -> str | None:
    """Return 01:05 for 65.9 seconds; None where there is no time."""
    if not np.isfinite(seconds):
        return None
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes:02d}:{rest:02d}"
