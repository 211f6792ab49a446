"""Columbia Gaze (Smith et al., UIST 2013): where people look, under five head poses.

The files are called `0005_2m_-15P_10V_5H.jpg`: person, distance, then head pose P, vertical V and
horizontal H gaze in whole degrees. They stand in a folder, in folders of people as the data set is
published, or in a zip. What is not called so is passed over. Whole photographs (5184 x 3456) and
eye-region crops cut out of them are read alike.

Signs, found by looking at mean images of 40 people:

* The mean of H > 0 less that of H < 0 at P = 0 is dark at the image-right side of both irises and
  bright at their image-left side: with H > 0 the eyes turn towards image-right. Here yaw is
  positive towards image-left, so gaze yaw = -H.
* The mean of V = 10 less that of V = -10 is bright below the irises and dark above, and the lids
  are lower at V = -10: V > 0 is up, gaze pitch = V.
* At P = 30 the nose points to image-right and the background shows beyond the image-right cheek; at
  P = -30 it is the other way round: head yaw = -P.
* At P = -30, H = 0 the head is rotated to image-left, the irises stand in the image-right part of
  the eyes, as those of one who looks into the camera: V and H are about the camera's axis and not
  the head's. So V and H alone give the gaze in the camera frame, whatever P is.

The camera's axis is that of each image's own camera (there is one for each P), the person in its
middle. Head pitch and roll are not labelled; a chin rest held the head upright.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import first_name
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.datasets.tree import open_tree
from mien.geometry.gaze import gaze_vector
from mien.linear.folds import folds_of_people

__all__ = ["COLUMBIA", "COLUMBIA_EYE_CROPS", "MIN_ASPECT", "read_columbia"]

NAME = re.compile(r"(\d+)_\d+m_(-?\d+)P_(-?\d+)V_(-?\d+)H\.jpg", re.IGNORECASE)
MIN_ASPECT = 1.6
"""Width / height that an eye-region crop has at least; whole photographs have 1.5."""
FACE_FOLDS, EYE_CROP_FOLDS = 5, 4
SOURCE = (
    "Columbia University, Computer Vision Laboratory (CAVE), Columbia Gaze Data Set; "
    "for non-commercial research"
)


def read_columbia(path: str | Path, *, eye_crops: bool) -> GazeSet:
    """Find the images and read the labels off their names; without folds.

    Args:
        path: a folder, at any depth of which the images stand, or a zip of them.
        eye_crops: whether they are eye-region crops that show both eyes.

    Raises:
        MienError: the source is missing or broken, holds no such image, or one label twice.
    """
    tree = open_tree(path)
    parsed: dict[tuple[int, ...], str] = {}
    for name, match in tree.named(NAME):
        label = tuple(map(int, match.groups()))
        if label in parsed:
            raise MienError(f"{tree}: {parsed[label]} and {name} are one image; keep one")
        parsed[label] = name
    if not parsed:
        raise MienError(f"{tree} holds no image called like 0005_2m_-15P_10V_5H.jpg")
    labels = np.array(list(parsed), dtype=np.int64)
    head, pitch, right = np.radians(labels[:, 1:].T.astype(np.float64))
    return GazeSet(
        images=tree.images(parsed.values(), crop="eyes" if eye_crops else "detect"),
        person=labels[:, 0],
        gaze=gaze_vector(0.0 - right, pitch),
        folds=(),
        head=(0.0 - head)[:, None],
        notes=("of the head only its yaw is labelled", *tree.unused(parsed.values())),
    )


def columbia_faces(path: Path) -> GazeSet:
    """Read whole photographs; five folds of people, as in the papers that use the whole set.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _folded(read_columbia(path, eye_crops=False), FACE_FOLDS, path)


def columbia_eye_crops(path: Path) -> GazeSet:
    """Read eye-region crops that show both eyes; four folds of people, those of docs/results.md.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _folded(read_columbia(path, eye_crops=True), EYE_CROP_FOLDS, path)


def _folded(data: GazeSet, count: int, path: Path) -> GazeSet:
    people = len(np.unique(data.person))
    if people < count:
        raise MienError(f"{path} shows {people} people, too few for {count} folds")
    return replace(data, folds=folds_of_people(data.person, count))


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
    return image is not None and (image.shape[1] >= MIN_ASPECT * image.shape[0]) == eye_crops


COLUMBIA = DataSet(
    title="Columbia Gaze, photographs: angular error by number of samples, 5 folds of people",
    layout="0001/0001_2m_-15P_10V_5H.jpg and so on for every person, in folders or one zip",
    source=SOURCE,
    matches=partial(_is_columbia, eye_crops=False),
    read=lambda path, _: columbia_faces(path),
)
COLUMBIA_EYE_CROPS = DataSet(
    title="Columbia Gaze, eye-region crops: angular error by number of samples, 4 folds",
    layout="eye-region crops, wider than high, called like 0001_2m_-15P_10V_5H.jpg",
    source=f"{SOURCE}; eye-region crops are cut out of its photographs",
    matches=partial(_is_columbia, eye_crops=True),
    read=lambda path, _: columbia_eye_crops(path),
)
