"""MPIIGaze (Zhang et al., CVPR 2015) and MPIIFaceGaze (Zhang et al., CVPRW 2017): gaze at laptops.

Each person is tested by a fit to the others. Images are warped one by one by data normalisation,
gaze and head are rotated with them.

MPIIFaceGaze: pXX/pXX.txt has one line an image, 28 words: its path below pXX; the target on the
screen; six landmarks in pixels; head pose (Rodrigues vector, translation); the face's centre; the
target in 3D; which eye. The last three are in the camera's frame and millimetres.
pXX/Calibration/Camera.mat holds cameraMatrix and distCoeffs.

MPIIGaze, its evaluation subset: Data/Original/pXX/dayYY/annotation.txt has one line an image, the
n-th for 000n.jpg, 41 numbers: 24 for eye landmarks, 2 for the target on the screen, then in the
camera's frame and millimetres the target (27-29), the head's Rodrigues vector (30-32) and
translation (33-35), and the centres of the right (36-38) and the left eye (39-41).
Data/Original/pXX/Calibration/Camera.mat holds the camera. "Evaluation Subset/sample list for eye
image/pXX.txt" names the frames, as "day01/0005.jpg left".

The images of MPIIGaze show both eyes and are black elsewhere. An eye-region crop is warped out of
them about the middle between the eyes, and gaze is taken from there: one row a frame, whichever eye
the list names. Data/Normalized is not read: its patches show one eye each, by another camera for
either, and its gaze labels are bent by the scaling of the 2015 normalisation, as its authors say.
So errors are not those of the single-eye protocol.

Signs. By MPIIFaceGaze's readme all 3D values are in the camera's frame, and the gaze is
target minus centre; OpenCV's calibration gives that frame x to image-right, y down, z away. The
head model's x axis goes to image-right and its y axis down, so that the identity faces the camera:
the authors' own normalisation takes its x axis for "right", and reads yaw and pitch off its z axis
as (atan2(x, z), asin(y)), which are ours. MPIIGaze has the same authors, cameras and head model.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import found_below, numbers, read_matlab, root_of
from mien.evaluate.datasets.gaze_normalization import (
    EYE_CROP,
    FACE,
    Normalisation,
    VirtualCamera,
    head_angles,
    normalisation,
)
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.datasets.tree import Tree
from mien.evaluate.protocol import Crop, Images
from mien.linear.folds import folds_of_people

__all__ = ["MPIIFACEGAZE", "MPIIGAZE", "Camera", "Sample", "to_gaze_set"]

Array = NDArray[np.floating]

FACE_MARKER, FACE_BASES = "p00/p00.txt", ("MPIIFaceGaze", "Data", "MPIIFaceGaze/Data")
FACE_WORDS = 27
"""Words of a line of MPIIFaceGaze that are read; the 28th names an eye."""
PERSON = re.compile(r"p(\d\d)/p\1\.txt")
ORIGINAL, LISTS = "Data/Original", "Evaluation Subset/sample list for eye image"
BASES = ("MPIIGaze",)
FRAME = re.compile(r"(day\d+)/(\d+)\.jpg")
VALUES = 41
SOURCE = "University of Stuttgart, Collaborative Artificial Intelligence; CC BY-NC-SA 4.0"


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
        """Return how its image is warped. ValueError: the face is not in front of the camera."""
        return normalisation(
            centre_mm=self.centre_mm,
            head_rotation=self.head_rotation,
            camera_matrix=self.camera.matrix,
            to=to,
        )


def read_camera(tree: Tree, name: str) -> Camera:
    """Read a Camera.mat. MienError: as `read_matlab`; or it holds no camera."""
    found = read_matlab(tree, name, "cameraMatrix", "distCoeffs")
    matrix, distortion = found["cameraMatrix"], found["distCoeffs"].reshape(-1)
    if matrix.shape != (3, 3) or not (np.abs(matrix) < 1e6).all() or matrix[0, 0] <= 0:
        raise tree.error(name, " holds no camera matrix")
    if len(distortion) not in (4, 5, 8, 12, 14) or not (np.abs(distortion) < 1e6).all():
        raise tree.error(name, " holds no coefficients of distortion")
    return Camera(matrix, distortion)


def to_gaze_set(
    tree: Tree, samples: list[Sample], to: VirtualCamera, *, crop: Crop, notes: tuple[str, ...]
) -> GazeSet:
    """Return samples as the virtual camera sees them; each person is tested by a fit to the others.

    Raises:
        MienError: there are too few people, or a face is not in front of its camera.
    """
    gaze, heads = [], []
    for sample in samples:
        try:
            warped = sample.normalised(to)
        except ValueError as error:
            raise tree.error(sample.name, f": {error}") from error
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
        images=Images(tuple(sample.name for sample in samples), read, crop=crop),
        person=person,
        gaze=np.stack(gaze),
        folds=folds_of_people(person, len(np.unique(person))),
        head=np.array(heads),
        notes=notes,
    )


def read_mpiifacegaze(path: Path) -> GazeSet:
    """Read the labels; images are read and warped when they are asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = root_of(
        path,
        marker=FACE_MARKER,
        bases=FACE_BASES,
        advice="give the folder that holds p00 to p14, each with its images and Calibration",
    )
    matches = [match for name in tree.names if (match := PERSON.fullmatch(name))]
    samples = [sample for match in matches for sample in _face_person(tree, int(match[1]))]
    return to_gaze_set(tree, samples, FACE, crop="face", notes=())


def read_mpiigaze(path: Path) -> GazeSet:
    """Read the labels of the evaluation subset; images are read and warped when asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = root_of(
        path,
        marker=ORIGINAL,
        bases=BASES,
        advice='give the folder that holds "Data" and "Evaluation Subset"',
    )
    lists = sorted(name for name in tree.under(LISTS).names if re.fullmatch(r"p\d\d\.txt", name))
    if not lists:
        raise MienError(f"{tree}/{LISTS}/p00.txt is missing; it comes with the data set")
    samples = [sample for name in lists for sample in _eye_person(tree, name)]
    return to_gaze_set(
        tree,
        samples,
        EYE_CROP,
        crop="eyes",
        notes=("eye-region crops, gaze from the middle between them: not the single-eye task",),
    )


def _face_person(tree: Tree, person: int) -> list[Sample]:
    folder = f"p{person:02}"
    camera = read_camera(tree, f"{folder}/Calibration/Camera.mat")
    labels = f"{folder}/{folder}.txt"
    return [
        _face_sample(tree, labels, number, line.split(), camera)
        for number, line in tree.lines(labels)
    ]


def _face_sample(tree: Tree, labels: str, number: int, words: list[str], camera: Camera) -> Sample:
    if len(words) < FACE_WORDS:
        raise tree.error(labels, f", line {number} has {len(words)} words, not 28")
    values = numbers(tree, labels, words[15:FACE_WORDS], number)
    folder = labels.split("/")[0]
    return Sample(
        name=f"{folder}/{words[0]}",
        person=int(folder[1:]),
        camera=camera,
        head_vector=values[0:3],
        centre_mm=values[6:9],
        target_mm=values[9:12],
    )


def _eye_person(tree: Tree, listed: str) -> list[Sample]:
    folder = f"{ORIGINAL}/{listed.removesuffix('.txt')}"
    camera = read_camera(tree, f"{folder}/Calibration/Camera.mat")
    frames: dict[tuple[str, str], None] = {}
    for number, line in tree.lines(f"{LISTS}/{listed}"):
        match = FRAME.match(line)
        if match is None:
            raise tree.error(
                f"{LISTS}/{listed}", f", line {number} is not like day01/0005.jpg left"
            )
        frames[match[1], match[2]] = None
    labels = {
        day: tree.read_text(f"{folder}/{day}/annotation.txt").splitlines() for day, _ in frames
    }
    return [
        _eye_sample(tree, folder, day, frame, labels[day], camera) for day, frame in sorted(frames)
    ]


def _eye_sample(
    tree: Tree, folder: str, day: str, frame: str, lines: list[str], camera: Camera
) -> Sample:
    labels, line = f"{folder}/{day}/annotation.txt", int(frame)
    words = lines[line - 1].split() if 1 <= line <= len(lines) else []
    if len(words) != VALUES:
        raise tree.error(labels, f", line {line} has {len(words)} numbers, not {VALUES}")
    values = numbers(tree, labels, words, line)
    return Sample(
        name=f"{folder}/{day}/{frame}.jpg",
        person=int(folder[-2:]),
        camera=camera,
        head_vector=values[29:32],
        centre_mm=(values[35:38] + values[38:41]) / 2,
        target_mm=values[26:29],
    )


MPIIFACEGAZE = DataSet(
    title="MPIIFaceGaze: angular error by number of samples, one person by the others",
    layout="p00/p00.txt, p00/day01/0005.jpg, p00/Calibration/Camera.mat, and so on to p14",
    source=SOURCE,
    matches=lambda path: found_below(path, FACE_MARKER, FACE_BASES),
    read=lambda path, _: read_mpiifacegaze(path),
)
MPIIGAZE = DataSet(
    title="MPIIGaze, eye-region crops: angular error by number of samples, one by the others",
    layout=(
        "Data/Original/p00/day01/annotation.txt and 0001.jpg, Data/Original/p00/Calibration/"
        'Camera.mat, "Evaluation Subset/sample list for eye image/p00.txt", and so on to p14'
    ),
    source=SOURCE,
    matches=lambda path: found_below(path, f"{ORIGINAL}/p00", BASES),
    read=lambda path, _: read_mpiigaze(path),
)
