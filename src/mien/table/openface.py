"""A table under OpenFace's column names, for what both know: head pose and gaze.

OpenFace's axes are the table's (x right, y down, z away), and so are its frontal face and its
units, radians and seconds; what differs is how angles make a rotation (R = Rx Ry Rz) and that
frames count from 1. Source: its wiki, "Output Format", and `Euler2RotationMatrix` in its
`RotationHelpers.h`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial.transform import Rotation

from mien.columns import FACE_FOUND, POSE
from mien.errors import MienError
from mien.media.atomic import replacing
from mien.media.outputs import check_outputs
from mien.media.spreadsheet import safe_cell
from mien.table.read import read_table

__all__ = ["convert_to_openface", "openface_columns"]

_GAZE = ("gaze_x", "gaze_y", "gaze_z")
_POSE = ("pose_Rx", "pose_Ry", "pose_Rz")


def convert_to_openface(table: Path, out: Path, *, overwrite: bool) -> int:
    """Write a table as CSV under OpenFace's names, and return its number of rows.

    Raises:
        MienError: `out` is no CSV, may not be written, or the table cannot be read or has no pose.
    """
    if out.suffix.lower() != ".csv":
        raise MienError(f"{out}: OpenFace's columns are written as CSV; give a name that ends so")
    check_outputs([out], inputs=[table], overwrite=overwrite)
    frame = openface_columns(read_table(table).frame)
    with replacing(out, overwrite=overwrite) as unfinished:
        frame.to_csv(unfinished, index=False, lineterminator="\n")
    return len(frame)


def openface_columns(faces: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of faces under OpenFace's names.

    `path`, `frame` (from 1), `face_id`, `timestamp` (s), `confidence`, `success` (1: a face is
    there), `pose_Rx`, `pose_Ry`, `pose_Rz`, and where a calibration gave directions
    `gaze_angle_x` (+ towards image-right) and `gaze_angle_y` (+ down). Radians; empty where
    nothing is known. `face_id` is the track where there is one.

    Args:
        faces: a table's columns without codes.

    Raises:
        MienError: it has no head pose.
    """
    missing = [name for name in POSE if name not in faces]
    if missing:
        raise MienError(f"the table has no column {missing[0]}: there is no head pose to convert")
    found = faces[FACE_FOUND].to_numpy(dtype=bool)
    ids = faces["track_id"].fillna(faces["face_id"]) if "track_id" in faces else faces["face_id"]
    columns = {
        "path": [safe_cell(path) for path in faces["path"]],
        "frame": faces["frame"].to_numpy() + 1,
        "face_id": ids,
        "timestamp": faces["time_s"],
        "confidence": faces["det_score"],
        "success": found.astype(int),
    }
    angles = _numbers(faces, POSE)
    there = np.isfinite(angles).all(axis=1)
    turned = np.full((len(faces), 3), np.nan)
    if there.any():
        yaw, pitch, roll = angles[there].T
        rotation = Rotation.from_euler("YXZ", np.stack([yaw, -pitch, roll], axis=1))
        turned[there] = rotation.as_euler("XYZ")
    columns |= dict(zip(_POSE, turned.T, strict=True))
    if all(name in faces for name in _GAZE):
        x, y, z = _numbers(faces, _GAZE).T
        columns |= {"gaze_angle_x": np.arctan2(x, -z), "gaze_angle_y": np.arctan2(y, -z)}
    return pd.DataFrame(columns)


def _numbers(faces: pd.DataFrame, names: tuple[str, ...]) -> np.ndarray:
    return np.stack([faces[n].to_numpy(dtype=np.float64, na_value=np.nan) for n in names], axis=1)
