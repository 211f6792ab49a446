"""What MPIIGaze and MPIIFaceGaze share: people, cameras, and images warped one by one."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree
from mien.evaluate.datasets.gaze_normalization import (
    Normalisation,
    VirtualCamera,
    head_angles,
    normalisation,
)
from mien.evaluate.datasets.layout import read_matlab
from mien.evaluate.protocol import Crop, Images
from mien.evaluate.tasks.gaze_set import GazeSet
from mien.linear.folds import folds_of_people

__all__ = ["Camera", "Sample", "read_camera", "to_gaze_set"]

Array = NDArray[np.floating]


@dataclass(frozen=True)
class Camera:
    """A laptop's camera."""

    matrix: Array
    """Pixels [3, 3]."""
    distortion: Array
    """OpenCV's coefficients. [K]."""


@dataclass(frozen=True)
class Sample:
    """One labelled frame, all in the frame of its own camera (x right, y down, z away)."""

    name: str
    """Of the image, in the tree."""
    person: int
    camera: Camera
    head_vector: Array
    """Rodrigues vector of the head's rotation; 0 = faces the camera upright. [3]."""
    centre_mm: Array
    """Where gaze starts. [3]."""
    target_mm: Array
    """What is looked at. [3]."""

    @cached_property
    def head_rotation(self) -> Array:
        """Return head -> camera frame. [3, 3]."""
        return np.asarray(cv2.Rodrigues(np.asarray(self.head_vector, np.float64))[0], np.float64)

    def normalised(self, to: VirtualCamera) -> Normalisation:
        """Return how its image is warped.

        Raises:
            ValueError: the face is not in front of the camera.
        """
        return normalisation(
            centre_mm=self.centre_mm,
            head_rotation=self.head_rotation,
            camera_matrix=self.camera.matrix,
            to=to,
        )


def read_camera(tree: Tree, name: str) -> Camera:
    """Read a Camera.mat.

    Raises:
        MienError: as `read_matlab`; or it holds no camera.
    """
    found = read_matlab(tree, name, "cameraMatrix", "distCoeffs")
    matrix = np.asarray(found["cameraMatrix"], dtype=np.float64)
    if matrix.shape != (3, 3) or not np.isfinite(matrix).all() or matrix[0, 0] <= 0:
        raise MienError(f"{tree}/{name} holds no camera matrix; copy the data set again")
    return Camera(matrix, np.asarray(found["distCoeffs"], dtype=np.float64).reshape(-1))


def to_gaze_set(
    tree: Tree, samples: list[Sample], to: VirtualCamera, *, crop: Crop, notes: tuple[str, ...]
) -> GazeSet:
    """Return samples as the virtual camera sees them; each person is tested by what the others say.

    Raises:
        MienError: there are too few people, or a face is not in front of its camera.
    """
    gaze, heads = [], []
    for sample in samples:
        try:
            warped = sample.normalised(to)
        except ValueError as error:
            raise MienError(f"{tree}/{sample.name}: {error}; copy the data set again") from error
        look = warped.direction(np.asarray(sample.target_mm) - np.asarray(sample.centre_mm))
        gaze.append(look / np.linalg.norm(look))
        heads.append(head_angles(warped.head(sample.head_rotation)))

    def read(row: int) -> NDArray[np.uint8]:
        sample = samples[row]
        # Distortion is taken out first: the warp knows a pinhole camera only.
        pixels = cv2.undistort(
            tree.image(sample.name), sample.camera.matrix, sample.camera.distortion
        )
        return sample.normalised(to).warp_image(pixels.astype(np.uint8, copy=False))

    person = np.array([sample.person for sample in samples], dtype=np.int64)
    return GazeSet(
        Images(tuple(sample.name for sample in samples), read, crop=crop),
        person,
        np.stack(gaze),
        folds_of_people(person, len(np.unique(person))),
        head=np.array(heads),
        notes=notes,
    )
