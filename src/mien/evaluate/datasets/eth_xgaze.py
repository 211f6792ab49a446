"""ETH-XGaze (Zhang et al., ECCV 2020), the normalised faces: its training people in five folds.

The labels of the official test people are not public. train/subjectNNNN.h5 holds face_patch
[N, S, S, 3] (BGR, S 224 or 448), face_gaze [N, 2] and face_head_pose [N, 2], both (pitch, yaw).

Signs. The authors' normalisation code writes face_gaze as asin(-y), atan2(-x, -z) of the gaze
rotated (not scaled) into the virtual camera, and face_head_pose as asin(y), atan2(x, z) of the
head's z axis there: both are ours, in the frame of the image that is shown. They are not in the
frame of the camera that took it; who mixes them with labels of raw images is off by the rotation
between the two.

The virtual camera's image is 140 mm wide about a point between the eyes' and the nostrils'
centres; the face crop that the model sees is 162 mm wide there: the border goes on a little.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import first_name
from mien.evaluate.datasets.sets import DataSet, GazeSet, evenly
from mien.evaluate.protocol import Images
from mien.geometry.gaze import gaze_vector
from mien.linear.folds import folds_of_people

if TYPE_CHECKING:
    import h5py

__all__ = ["ETH_XGAZE"]

FILE = re.compile(r"subject(\d+)\.h5")
FOLDS, MAX_PER_PERSON = 5, 500
FACE_FRACTION = 162 / 140
"""Side of the face crop, as a fraction of the image's."""


@dataclass(frozen=True)
class _Subject:
    path: Path
    number: int
    rows: NDArray[np.int64]
    side: int
    gaze: NDArray[np.float64]
    head: NDArray[np.float64]


def read_eth_xgaze(path: Path, *, max_per_person: int = MAX_PER_PERSON) -> GazeSet:
    """Read the labels; images are read out of the files when they are asked for.

    Args:
        path: the folder that holds train/subject0000.h5, or train itself.
        max_per_person: images of each person, evenly spaced over the file.

    Raises:
        MienError: h5py is not installed, or a file is missing or damaged.
    """
    folder = path / "train" if (path / "train").is_dir() else path
    files = sorted(p for p in folder.glob("*.h5") if FILE.fullmatch(p.name))
    if not files:
        raise MienError(
            f"{path} holds no train/subject0000.h5; give the unpacked folder of the normalised "
            "faces (xgaze_224)"
        )
    people = [_read(file, max_per_person) for file in files]
    where = [(subject, int(row)) for subject in people for row in subject.rows]
    names = tuple(f"train/{subject.path.stem}/{row:06}" for subject, row in where)

    def read(place: int) -> NDArray[np.uint8]:
        subject, row = where[place]
        with _opened(subject.path) as file:
            return _patch(subject.path, file, row)

    person = np.concatenate([np.full(len(p.rows), p.number, dtype=np.int64) for p in people])
    return GazeSet(
        images=Images(
            names, read, crop="box", boxes=_boxes([subject.side for subject, _ in where])
        ),
        person=person,
        gaze=np.concatenate([subject.gaze for subject in people]),
        folds=folds_of_people(person, FOLDS),
        head=np.concatenate([subject.head for subject in people]),
        notes=(f"at most {max_per_person} images of each person, evenly spaced",),
    )


def _boxes(sides: list[int]) -> NDArray[np.float64]:
    """Return the squares that the model is to see. x1, y1, x2, y2 in pixels [N, 4]."""
    side = np.array(sides, dtype=np.float64)
    margin = side * (FACE_FRACTION - 1) / 2
    return np.stack([-margin, -margin, side + margin, side + margin], axis=1)


def _read(path: Path, most: int) -> _Subject:
    match = FILE.fullmatch(path.name)
    number = int(match[1]) if match else 0
    with _opened(path) as file:
        for key, last in (("face_patch", (3,)), ("face_gaze", (2,)), ("face_head_pose", (2,))):
            if key not in file or _shape(file, key)[-1:] != last:
                raise MienError(
                    f"{path} holds no {key}; give the training files, which are labelled"
                )
        count, side = _shape(file, "face_patch")[:2]
        rows = evenly(count, most)
        gaze, head = (_angles(path, file, key)[rows] for key in ("face_gaze", "face_head_pose"))
    # Stored as pitch, yaw; here yaw comes first.
    return _Subject(path, number, rows, side, gaze_vector(gaze[:, 1], gaze[:, 0]), head[:, ::-1])


def _angles(path: Path, file: h5py.File, key: str) -> NDArray[np.float64]:
    values = np.asarray(_dataset(file, key)[:], dtype=np.float64)
    if len(values) != _shape(file, "face_patch")[0] or not np.isfinite(values).all():
        raise MienError(f"{path}: {key} has not one label an image; copy the data set again")
    return values


def _patch(path: Path, file: h5py.File, row: int) -> NDArray[np.uint8]:
    try:
        pixels = np.asarray(_dataset(file, "face_patch")[row], dtype=np.uint8)
    except OSError as error:
        raise MienError(f"{path}: image {row} is damaged; copy the data set again") from error
    return np.ascontiguousarray(pixels[:, :, ::-1])


def _shape(file: h5py.File, key: str) -> tuple[int, ...]:
    return tuple(_dataset(file, key).shape)


def _dataset(file: h5py.File, key: str) -> Any:
    return file[key]


def _opened(path: Path) -> h5py.File:
    try:
        import h5py
    except ImportError as error:
        raise MienError(f"{path} is an HDF5 file; to read it: pip install 'mien[eval]'") from error
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise MienError(f"{path} cannot be read as HDF5; copy the data set again") from error


def _matches(path: Path) -> bool:
    return path.is_dir() and first_name(path, FILE, depth=1) is not None


ETH_XGAZE = DataSet(
    title="ETH-XGaze, its training people: angular error by number of samples, 5 folds of people",
    layout="train/subject0000.h5 and so on, unpacked, 224 or 448 px (xgaze_224, xgaze_448)",
    source="ETH Zurich, Advanced Interactive Technologies Lab, on request; CC BY-NC-SA 4.0",
    matches=_matches,
    read=lambda path, _: read_eth_xgaze(path),
)
