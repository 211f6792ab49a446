"""BIWI Kinect Head Pose (Fanelli et al., 2013): 24 films of 20 people before a depth camera.

NN/frame_XXXXX_pose.txt holds three lines of a rotation matrix, an empty line, and the centre of the
head in millimetres. The frame is that of the depth camera, x to image-right, y down, z away: the
centre projects into the image by the camera's own matrix with no change of sign. A head that
looks straight into a camera before it has the unit matrix. So the matrix is R in our frame as it
stands. Signs were taken from the public loaders of Hopenet, which trains on 300W-LP and is tested
here (roll = atan2(R10, R00), yaw = -asin(R20), pitch = -atan2(R21, R22)), and of FSA-Net, whose
order of rotations is that of 300W-LP; see mien.evaluate.tasks.pose_angles.

Both ignore that a head beside the middle of the image is seen from its side: a scored image is
a crop about the head, and pose as seen along the line to the head is scored beside the usual one.
Depth and colour camera are 25 mm apart, which turns that line by a degree; it is left out.

The labels of the readme say who is who: four people were filmed twice and stay together.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree
from mien.evaluate.datasets.layout import found_below, numbers, root_of
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.pose import PoseSet, score_pose
from mien.evaluate.tasks.pose_angles import benchmark_angles, seen_along

__all__ = ["BIWI", "read_biwi"]

BASES = ("hpdb", "kinect_head_pose_db", "kinect_head_pose_db/hpdb", "faces_0")
POSE = re.compile(r"(\d\d)/frame_(\d{5})_pose\.txt")
TWICE = {15: 3, 18: 5, 21: 2, 22: 7}
"""Film => the earlier film of the same person."""
SOURCE = (
    "ETH Zürich, Computer Vision Laboratory (G. Fanelli): kinect_head_pose_db.tgz; for research "
    "and education, not commercial"
)
LAYOUT = "01/frame_00003_rgb.png and 01/frame_00003_pose.txt, and so on to 24/"


def read_biwi(path: Path) -> PoseSet:
    """Read all labels; images are read when asked for.

    Raises:
        MienError: a file is missing or damaged.
    """
    tree = root_of(path, marker="01", bases=BASES, advice=f"biwi wants {LAYOUT}; from {SOURCE}")
    known = set(tree.names)
    labels = [name for name in tree.names if POSE.fullmatch(name)]
    if not labels:
        raise MienError(f"biwi: {tree}/01/frame_00003_pose.txt is missing; obtain it from {SOURCE}")
    images = tuple(_image(tree, known, name) for name in labels)
    poses = [_pose(tree, name) for name in labels]
    rotation, centre = (np.stack(part) for part in zip(*poses, strict=True))
    films = [int(name.split("/")[0]) for name in labels]
    return PoseSet(
        images=Images(images, lambda row: tree.image(images[row])),
        person=np.array([TWICE.get(film, film) for film in films], dtype=np.int64),
        angles=benchmark_angles(rotation),
        sight=seen_along(rotation, centre),
        notes=(f"{len(set(films))} films; pose in the camera's frame, as papers have it",),
    )


def _image(tree: Tree, known: set[str], label: str) -> str:
    stem = label.removesuffix("_pose.txt")
    for ending in ("png", "jpg"):
        if f"{stem}_rgb.{ending}" in known:
            return f"{stem}_rgb.{ending}"
    raise MienError(f"biwi: {tree}/{stem}_rgb.png is missing; copy the data set again")


def _pose(tree: Tree, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotation [3, 3] and the head's centre [3], millimetres."""
    lines = [line.split() for line in tree.read_text(name).splitlines() if line.strip()]
    if [len(words) for words in lines[:4]] != [3, 3, 3, 3]:
        raise MienError(f"{tree}/{name} is not four lines of three numbers; copy it again")
    values = np.stack([numbers(tree, name, words, i + 1) for i, words in enumerate(lines[:4])])
    rotation = values[:3]
    if np.abs(rotation @ rotation.T - np.eye(3)).max() > 1e-2 or np.linalg.det(rotation) < 0:
        raise MienError(f"{tree}/{name} holds no rotation; copy it again")
    if values[3, 2] <= 0:
        raise MienError(f"{tree}/{name} says that the head is behind the camera; copy it again")
    return rotation, values[3]


def _run(path: Path, context: EvalContext) -> Result:
    return score_pose(read_biwi(path), context)


BIWI = Protocol(
    name="biwi",
    factor="pose",
    title="Head pose on BIWI, own angles and maps fitted on other people",
    layout=LAYOUT,
    source=SOURCE,
    matches=lambda path: (
        found_below(path, "01/frame_00003_pose.txt", BASES)
        or found_below(path, "01/depth.cal", BASES)
    ),
    run=_run,
)
