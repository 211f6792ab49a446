"""UT Multiview (Sugano et al., CVPR 2014): 50 people before eight cameras, 160 targets on a screen.

The set comes in five parts, s00-09 to s40-49, with a folder for each person, s00 to s49. Below
sXX/raw, all in millimetres and, where nothing else is said, in one world frame for each person:

* monitor.txt: a title, then the screen's origin and the three rows of its rotation.
* gazedata.csv: a line of titles, then the number of a frame and its target on the screen, x and y.
* imgNNN/headpose.txt: a title, the head's translation, three rows of its rotation; a title, six
  landmarks: two corners of the right eye, two of the left, two of the mouth.
* imgNNN/cparams/0000000C.txt: a title, then the projection matrix of camera C, 3 x 4, which takes
  the world to pixels of imgNNN/images/0000000C.jpg; C from 0 to 7.

An eye-region crop is warped out of each photograph by data normalisation about the middle between
the eyes, and gaze is taken from there, as for MPIIGaze. sXX/test and sXX/synth are not read: their
NNN_left.zip and NNN_right.zip hold 60 x 36 images of one eye each, by another camera for either,
real ones and ones rendered between the cameras. So errors are not those of the single-eye protocol,
which learns from the rendered eyes of some people and tests the real ones of others.

Signs. A projection matrix K [R | t] with K's diagonal positive and R a rotation has a camera frame
of x to image-right, y down, z away. Two public readers (ArbGaze, fastgaze) take the head's x axis
for image-right when they warp these photographs, and the gaze for target minus eye in the camera's
frame. A published line of s00/test/000_left.csv, whose gaze (0.66, 0.09, -0.75) goes with a head
rotated by the Rodrigues vector (-0.05, -0.55, -0.01), fits if the head's identity faces the camera:
gaze and face then go to image-right, 41 and 31 degrees. Both readers take the photographs as those
of a pinhole camera; no file that they read describes lens distortion.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import check_rotation, found_below, numbers
from mien.evaluate.datasets.gaze_normalization import EYE_CROP
from mien.evaluate.datasets.mpii import Camera, Sample, to_gaze_set
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.datasets.tree import Tree, open_tree
from mien.linear.folds import folds_of_people

__all__ = ["UT_MULTIVIEW"]

Array = NDArray[np.float64]

PEOPLE, VIEWS, FOLDS = 50, 8, 3
MARKER = "s00/raw/monitor.txt"
SOURCE = (
    "The University of Tokyo, Sugano Lab, UT Multiview, asked for at "
    "https://www.ut-vision.org/datasets/"
)
NOTES = (
    "eye-region crops, gaze from the middle between them: not the single-eye task",
    "three folds of people, the i-th of them in fold i modulo 3: public readers of the set differ",
)
EYE_CORNERS = 4
"""How many of the landmarks, the first ones, are corners of eyes."""
BRACKETS = re.compile(r"[\[\],;]")


def read_ut_multiview(path: Path) -> GazeSet:
    """Read the labels of the photographs; images are read and warped when asked for.

    Args:
        path: the folder or zip that holds s00 to s49, or s00-09 to s40-49 with these inside; people
            that are not there are left out.

    Raises:
        MienError: a file is missing or damaged, or there are fewer than two people.
    """
    tree = open_tree(path)
    people = _people(tree)
    if not people:
        raise MienError(
            f"{tree}: {MARKER} is missing; give the unpacked folder that holds s00 to s49, from "
            f"{SOURCE}"
        )
    samples = [sample for person in people for sample in _person(tree, *person)]
    notes = NOTES if len(people) == PEOPLE else (*NOTES, f"{len(people)} of {PEOPLE} people")
    data = to_gaze_set(tree, samples, EYE_CROP, crop="eyes", notes=notes)
    return replace(data, folds=folds_of_people(data.person, FOLDS))


def _people(tree: Tree) -> list[tuple[int, str]]:
    """Return number and folder of the people who are there."""
    found = []
    for person in range(PEOPLE):
        part = f"s{person // 10}0-{person // 10}9"
        for folder in (f"s{person:02}", f"{part}/s{person:02}"):
            if tree.has(f"{folder}/raw/monitor.txt"):
                found.append((person, folder))
                break
    return found


def _person(tree: Tree, person: int, folder: str) -> list[Sample]:
    name = f"{folder}/raw/monitor.txt"
    screen = _matrix(tree, name, _lines(tree, name), first=1, shape=(4, 3))
    check_rotation(tree, name, screen[1:])
    samples = []
    for frame, xy in _targets(tree, f"{folder}/raw/gazedata.csv"):
        target = screen[0] + screen[1:] @ np.array([*xy, 0.0])
        samples += _frame(tree, person, f"{folder}/raw/img{frame:03}", target)
    return samples


def _targets(tree: Tree, name: str) -> list[tuple[int, Array]]:
    """Return the numbers of frames and their targets, millimetres on the screen. Each [2]."""
    targets = []
    _require(tree, name)
    for number, line in list(tree.lines(name))[1:]:
        words = line.split(",")[:3]
        if len(words) < 3:
            raise tree.error(name, f", line {number} is not a frame, x and y")
        values = numbers(tree, name, words, number)
        targets.append((int(values[0]), values[1:]))
    if not targets:
        raise tree.error(name, " names no frame")
    return targets


def _frame(tree: Tree, person: int, folder: str, target: Array) -> list[Sample]:
    """Return what the eight cameras saw at once; the target is in the world's frame, mm [3]."""
    name = f"{folder}/headpose.txt"
    lines = _lines(tree, name)
    head = _matrix(tree, name, lines, first=2, shape=(3, 3))
    check_rotation(tree, name, head)
    eyes = _matrix(tree, name, lines, first=6, shape=(EYE_CORNERS, 3)).mean(axis=0)
    samples = []
    for view in range(VIEWS):
        camera, rotation, shift = _camera(tree, f"{folder}/cparams/{view:08}.txt")
        image = f"{folder}/images/{view:08}.jpg"
        _require(tree, image)
        samples.append(
            Sample(
                name=image,
                person=person,
                camera=camera,
                head_vector=np.asarray(cv2.Rodrigues(rotation @ head)[0], np.float64).reshape(3),
                centre_mm=rotation @ eyes + shift,
                target_mm=rotation @ target + shift,
            )
        )
    return samples


def _camera(tree: Tree, name: str) -> tuple[Camera, Array, Array]:
    """Return a camera, and rotation and shift from the world to its frame. [3, 3], [3]."""
    projection = _matrix(tree, name, _lines(tree, name), first=1, shape=(3, 4))
    # With a negative determinant there is no rotation that leaves K's diagonal positive.
    if np.linalg.det(projection[:, :3]) <= 0:
        raise tree.error(name, " holds no camera")
    matrix, rotation = (
        np.asarray(part, np.float64) for part in cv2.decomposeProjectionMatrix(projection)[:2]
    )
    # The scale of a projection matrix is free: it goes with K, and K is divided by it at the end.
    shift = np.linalg.solve(matrix, projection[:, 3]).astype(np.float64)
    return Camera(matrix / matrix[2, 2], np.zeros(5)), rotation, shift


def _matrix(
    tree: Tree, name: str, lines: list[str], *, first: int, shape: tuple[int, int]
) -> Array:
    """Return rows of numbers, with or without brackets, from line `first` on, the first 0."""
    rows = []
    for number in range(first, first + shape[0]):
        words = BRACKETS.sub(" ", lines[number]).split() if number < len(lines) else []
        if len(words) != shape[1]:
            text = f", line {number + 1} has {len(words)} numbers, not {shape[1]}"
            raise tree.error(name, text)
        rows.append(numbers(tree, name, words, number + 1))
    return np.stack(rows)


def _lines(tree: Tree, name: str) -> list[str]:
    _require(tree, name)
    return tree.read_text(name).splitlines()


def _require(tree: Tree, name: str) -> None:
    if not tree.has(name):
        raise MienError(f"{tree}/{name} is missing; copy the data set again, from {SOURCE}")


UT_MULTIVIEW = DataSet(
    title="UT Multiview, eye-region crops: angular error by number of samples, 3 folds",
    layout=(
        "s00/raw/monitor.txt and gazedata.csv, s00/raw/img000/headpose.txt, cparams/00000000.txt "
        "and images/00000000.jpg, and so on to s49, or the same in s00-09 to s40-49"
    ),
    source=SOURCE,
    matches=lambda path: found_below(path, MARKER, ("s00-09",)),
    read=lambda path, _: read_ut_multiview(path),
)
