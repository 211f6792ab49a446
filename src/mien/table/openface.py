"""Rows of a table under OpenFace's column names, for what both know: head pose and gaze.

OpenFace's axes are the table's (x right, y down, z away), and so are its frontal face and its
units, radians and seconds; what differs is how angles make a rotation (R = Rx Ry Rz) and that
frames count from 1. Source: its wiki, "Output Format", and `Euler2RotationMatrix` in its
`RotationHelpers.h`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from mien.columns import FACE_FOUND
from mien.table.pose_angles import GAZE, numbers, pose_angles

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["GAZE_FIELDS", "OPENFACE", "openface_columns"]

_POSE = ("pose_Rx", "pose_Ry", "pose_Rz")
_GAZE = ("gaze_angle_x", "gaze_angle_y")
OPENFACE = pa.schema(
    [
        ("path", pa.string()),
        ("frame", pa.int64()),
        ("face_id", pa.int32()),
        ("timestamp", pa.float64()),
        ("confidence", pa.float32()),
        ("success", pa.int8()),
        *((name, pa.float64()) for name in _POSE),
    ]
)
GAZE_FIELDS = tuple(pa.field(name, pa.float64()) for name in _GAZE)
"""Also there where the table has directions of gaze."""


def openface_columns(faces: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of faces under OpenFace's names.

    `path`, `frame` (from 1), `face_id`, `timestamp` (s), `confidence`, `success` (1: a face is
    there), `pose_Rx`, `pose_Ry`, `pose_Rz`, and where a calibration gave directions
    `gaze_angle_x` (+ towards image-right) and `gaze_angle_y` (+ down). Radians; empty where
    nothing is known. `face_id` is the track where there is one.

    Args:
        faces: a table's columns without codes.
    """
    found = faces[FACE_FOUND].to_numpy(dtype=bool)
    ids = faces["track_id"].fillna(faces["face_id"]) if "track_id" in faces else faces["face_id"]
    columns = {
        "path": faces["path"].to_numpy(),
        "frame": faces["frame"].to_numpy() + 1,
        "face_id": ids.to_numpy(),
        "timestamp": faces["time_s"].to_numpy(),
        "confidence": faces["det_score"].to_numpy(),
        "success": found.astype(np.int8),
    }
    columns |= dict(zip(_POSE, pose_angles(faces, "XYZ").T, strict=True))
    if all(name in faces for name in GAZE):
        x, y, z = numbers(faces, GAZE).T
        columns |= dict(zip(_GAZE, (np.arctan2(x, -z), np.arctan2(y, -z)), strict=True))
    import pandas as pd  # only where these columns are asked for

    return pd.DataFrame(columns)
