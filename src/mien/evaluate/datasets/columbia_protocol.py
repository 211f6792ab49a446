"""Columbia Gaze, few-shot over folds of people: the whole photographs, and eye crops of them."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.columbia import LEAST_ASPECT, NAME, read_columbia
from mien.evaluate.datasets.files import open_tree
from mien.evaluate.datasets.layout import first_name
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.gaze import score_within
from mien.evaluate.tasks.gaze_set import GazeSet

__all__ = ["COLUMBIA", "COLUMBIA_EYE_CROPS", "columbia_eye_crops", "columbia_faces"]

FACE_FOLDS, EYE_CROP_FOLDS = 5, 4
SOURCE = (
    "Columbia University, Computer Vision Laboratory (CAVE), Columbia Gaze Data Set; "
    "for non-commercial research"
)


def columbia_faces(path: Path) -> GazeSet:
    """Read whole photographs; five folds of people, as the papers that use the whole set.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _read(path, eye_crops=False)


def columbia_eye_crops(path: Path) -> GazeSet:
    """Read eye-region crops that show both eyes; four folds of people, those of docs/results.md.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _read(path, eye_crops=True)


def _read(path: Path, *, eye_crops: bool) -> GazeSet:
    data = read_columbia(path)
    tree = open_tree(path)
    images = Images(
        data.names,
        lambda row: tree.image(data.names[row]),
        crop="eyes" if eye_crops else "detect",
    )
    return GazeSet(
        images,
        data.person,
        data.gaze,
        data.folds(EYE_CROP_FOLDS if eye_crops else FACE_FOLDS),
        head=data.head_yaw_rad[:, None],
        notes=("of the head only its yaw is labelled",),
    )


def _is_columbia(path: Path, *, eye_crops: bool) -> bool:
    """Return whether a folder or zip holds photographs, or eye-region crops; never raises."""
    name = first_name(path, NAME)
    if name is None:
        return False
    try:
        data = open_tree(path).read_bytes(name)
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    except (MienError, cv2.error):
        return False
    # Reduced by 8, an eye-region crop of 100 x 45 pixels keeps an aspect of about two.
    return image is not None and (image.shape[1] >= LEAST_ASPECT * image.shape[0]) == eye_crops


def _run_faces(path: Path, context: EvalContext) -> Result:
    return score_within(columbia_faces(path), context)


def _run_eye_crops(path: Path, context: EvalContext) -> Result:
    return score_within(columbia_eye_crops(path), context)


COLUMBIA = Protocol(
    name="columbia",
    factor="gaze",
    title="Columbia Gaze, photographs: angular error by number of samples, 5 folds of people",
    layout="0001/0001_2m_-15P_10V_5H.jpg and so on for every person, in folders or one zip",
    source=SOURCE,
    matches=lambda path: _is_columbia(path, eye_crops=False),
    run=_run_faces,
)

COLUMBIA_EYE_CROPS = Protocol(
    name="columbia-eyes",
    factor="gaze",
    title="Columbia Gaze, eye-region crops: angular error by number of samples, 4 folds",
    layout="eye-region crops, wider than high, called like 0001_2m_-15P_10V_5H.jpg",
    source=f"{SOURCE}; eye-region crops are cut out of its photographs",
    matches=lambda path: _is_columbia(path, eye_crops=True),
    run=_run_eye_crops,
)
