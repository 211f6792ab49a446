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
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import first_name, open_tree
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.protocol import Images
from mien.faces.eye_crop import fit_eye_crop
from mien.geometry.gaze import gaze_vector

__all__ = [
    "COLUMBIA",
    "COLUMBIA_EYE_CROPS",
    "Columbia",
    "columbia_eye_crops",
    "columbia_faces",
    "read_columbia",
]

NAME = re.compile(r"(\d+)_\d+m_(-?\d+)P_(-?\d+)V_(-?\d+)H\.jpg", re.IGNORECASE)
MIN_ASPECT = 1.6
"""Width / height that an eye-region crop has at least; whole photographs have 1.5."""
FACE_FOLDS, EYE_CROP_FOLDS = 5, 4
SOURCE = (
    "Columbia University, Computer Vision Laboratory (CAVE), Columbia Gaze Data Set; "
    "for non-commercial research"
)


@dataclass(frozen=True)
class Columbia:
    """The labels of the images, and where the pixels are; rows are sorted by name."""

    source: Path
    """The folder or zip."""
    names: tuple[str, ...]
    """Paths inside the source, with `/`. N of them."""
    person: NDArray[np.int64]
    """Number of the person as in the name. [N]."""
    head_yaw_rad: NDArray[np.float64]
    """Head pose, + towards image-left. [N]."""
    gaze: NDArray[np.float64]
    """Unit vectors, camera frame (x right, y down, z away). [N, 3]."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.integer]) -> Columbia:
        """Return some rows, in the order given."""
        names = tuple(self.names[int(row)] for row in rows)
        return Columbia(
            self.source, names, self.person[rows], self.head_yaw_rad[rows], self.gaze[rows]
        )

    def folds(self, count: int = 4) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
        """Return (training rows, test rows) of each fold: nobody is in both.

        Of the people in order of their numbers, the i-th is tested in fold i modulo `count`: the
        same folds whoever asks.

        Raises:
            MienError: there are fewer people than folds.
        """
        people, place = np.unique(self.person, return_inverse=True)
        if len(people) < count:
            raise MienError(f"{self.source} shows {len(people)} people, too few for {count} folds")
        fold = place.reshape(-1) % count
        return tuple((np.flatnonzero(fold != f), np.flatnonzero(fold == f)) for f in range(count))

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in order, grey. Each uint8 [H, W]; sizes differ.

        Raises:
            MienError: the source is gone, or an image cannot be read.
        """
        for name, data in self.files():
            # An empty buffer is an error to OpenCV, a broken one gives nothing.
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else 0
            if not isinstance(image, np.ndarray):
                raise MienError(f"{self.source}: {name} is not an image; copy the data again")
            yield image.astype(np.uint8, copy=False)

    def eye_crops(self, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in order, grey, brought to one size as `fit_eye_crop` does.

        Args:
            size: wanted (height, width). Pixels.

        Raises:
            MienError: as `images`; an image is no eye-region crop.
        """
        for name, image in zip(self.names, self.images(), strict=True):
            if image.shape[1] < MIN_ASPECT * image.shape[0]:
                raise MienError(
                    f"{self.source}: {name} is no eye-region crop "
                    f"({image.shape[1]} x {image.shape[0]}); "
                    "cut out both eyes, about twice as wide as high"
                )
            yield fit_eye_crop(image, size)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each file in order.

        Raises:
            MienError: the source is gone, or a file cannot be read.
        """
        with ExitStack() as stack:
            try:
                archive = None
                if not self.source.is_dir():
                    archive = stack.enter_context(zipfile.ZipFile(self.source))
                for name in self.names:
                    path = self.source / name
                    yield name, archive.read(name) if archive else path.read_bytes()
            except (OSError, KeyError, zipfile.BadZipFile) as error:
                raise MienError(f"{self.source} cannot be read; copy the data again") from error


def read_columbia(source: str | Path) -> Columbia:
    """Find the images and read the labels off their names.

    Args:
        source: a folder, at any depth of which the images stand, or a zip of them.

    Raises:
        MienError: the source is missing or broken, holds no such image, or one label twice.
    """
    source = Path(source)
    parsed: dict[tuple[int, ...], str] = {}
    for name in sorted(_names(source)):
        match = NAME.fullmatch(name.rsplit("/", 1)[-1])
        if match is None:
            continue
        label = tuple(map(int, match.groups()))
        if label in parsed:
            raise MienError(f"{source}: {parsed[label]} and {name} are one image; keep one")
        parsed[label] = name
    if not parsed:
        raise MienError(f"{source} holds no image called like 0005_2m_-15P_10V_5H.jpg")
    numbers = np.array(list(parsed), dtype=np.int64)
    head, pitch, right = np.radians(numbers[:, 1:].T.astype(np.float64))
    return Columbia(
        source, tuple(parsed.values()), numbers[:, 0], 0.0 - head, gaze_vector(0.0 - right, pitch)
    )


def columbia_faces(path: Path) -> GazeSet:
    """Read whole photographs; five folds of people, as in the papers that use the whole set.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _gaze_set(path, eye_crops=False)


def columbia_eye_crops(path: Path) -> GazeSet:
    """Read eye-region crops that show both eyes; four folds of people, those of docs/results.md.

    Raises:
        MienError: as `read_columbia`; there are fewer people than folds.
    """
    return _gaze_set(path, eye_crops=True)


def _gaze_set(path: Path, *, eye_crops: bool) -> GazeSet:
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
    return image is not None and (image.shape[1] >= MIN_ASPECT * image.shape[0]) == eye_crops


def _names(source: Path) -> list[str]:
    """Return the paths of all files in a folder or zip, with `/`."""
    if source.is_dir():
        return [path.relative_to(source).as_posix() for path in source.rglob("*.*")]
    try:
        with zipfile.ZipFile(source) as archive:
            return archive.namelist()
    except FileNotFoundError as error:
        raise MienError(
            f"{source} does not exist; give a folder or zip of eye-region crops"
        ) from error
    except (OSError, zipfile.BadZipFile) as error:
        raise MienError(f"{source} is neither a folder nor a zip that can be read") from error


COLUMBIA = DataSet(
    layout="0001/0001_2m_-15P_10V_5H.jpg and so on for every person, in folders or one zip",
    source=SOURCE,
    matches=lambda path: _is_columbia(path, eye_crops=False),
    read=lambda path, _: columbia_faces(path),
)
COLUMBIA_EYE_CROPS = DataSet(
    layout="eye-region crops, wider than high, called like 0001_2m_-15P_10V_5H.jpg",
    source=f"{SOURCE}; eye-region crops are cut out of its photographs",
    matches=lambda path: _is_columbia(path, eye_crops=True),
    read=lambda path, _: columbia_eye_crops(path),
)
