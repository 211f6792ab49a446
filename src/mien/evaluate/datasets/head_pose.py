"""Head pose in images: AFLW2000-3D (Zhu et al., 2016) and BIWI Kinect (Fanelli et al., 2013).

Angles. 300W-LP and AFLW2000-3D rotate a head by R' = Rx'(pitch) Ry'(yaw) Rz'(roll), each factor the
transpose of the usual right-handed rotation, in a frame with x to image-right, y up and z towards
the camera. In ours (x right, y down, z away) with the usual rotations that is

    R = Rx(-pitch) Ry(yaw) Rz(roll)

with our signs, but in another order than ours; see mien.evaluate.tasks.pose.

AFLW2000-3D: 2000 images from the web with a fitted head model. imageNNNNN.mat holds Pose_Para:
pitch, yaw, roll in radians, then shift and scale; and pt3d_68, the 68 landmarks of the fitted head
in pixels of the 450 x 450 image (y down), depth in the same unit. The square is laid by the
landmarks as it lies about our rendered faces, whichever way they look: 1.2 face widths (between the
ears' landmarks, in depth, too) on a side. Images with an angle over 99 degrees are left out, as in
all papers since Ruiz et al. (2018): 31 of 2000. Papers train on 300W-LP; here maps are fitted on
the other images of this set, five folds of them. Who is in an image is not known, so a person may
be in two folds.

BIWI: 24 films of 20 people before a depth camera. NN/frame_XXXXX_pose.txt holds three lines of a
rotation matrix, an empty line, and the centre of the head in millimetres. The frame is that of the
depth camera, x to image-right, y down, z away: the centre projects into the image by the camera's
own matrix with no change of sign. A head that looks straight into a camera before it has the unit
matrix. So the matrix is R in our frame as it stands. Signs were taken from the public loaders of
Hopenet, which trains on 300W-LP and is tested here (roll = atan2(R10, R00), yaw = -asin(R20),
pitch = -atan2(R21, R22)), and of FSA-Net, whose order of rotations is that of 300W-LP.

Both ignore that a head beside the middle of the image is seen from its side: a scored image is
a crop about the head, and pose as seen along the line to the head is scored beside the usual one.
Depth and colour camera are 25 mm apart, which rotates that line by a degree; it is left out.

BIWI's readme lists who is who: four people were filmed twice and stay together.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import (
    check_rotation,
    first_name,
    found_below,
    numbers,
    read_matlab,
    root_of,
)
from mien.evaluate.datasets.sets import DataSet, PoseSet
from mien.evaluate.datasets.tree import Tree, open_tree

__all__ = ["AFLW2000", "BIWI", "benchmark_angles"]

Array = NDArray[np.floating]

IMAGE = re.compile(r"(?:.*/)?image\d{5}\.jpg")
LABEL = re.compile(r"image\d{5}\.mat")
MAX_DEG = 99.0
MAX_PIXELS = 1e6
# As mien.synth.scene frames its faces: side in face widths, how far the middle lies above that of
# eyes and mouth in sides, and how far it is pulled to the middle of the skull.
FACE_WIDTHS, RISE, SKULL_PULL = 1.2, 0.055, 0.2
AFLW_SOURCE = (
    "X. Zhu and others, Institute of Automation, Chinese Academy of Sciences: AFLW2000-3D.zip of "
    "the 3DDFA project; for research"
)
AFLW_LAYOUT = "image00002.jpg and image00002.mat, and so on to image04375 (2000 of each)"
BASES = ("hpdb", "kinect_head_pose_db", "kinect_head_pose_db/hpdb", "faces_0")
POSE = re.compile(r"(\d\d)/frame_(\d{5})_pose\.txt")
TWICE = {15: 3, 18: 5, 21: 2, 22: 7}
"""Film => the earlier film of the same person."""
BIWI_SOURCE = (
    "ETH Zürich, Computer Vision Laboratory (G. Fanelli): kinect_head_pose_db.tgz; for research "
    "and education, not commercial"
)
BIWI_LAYOUT = "01/frame_00003_rgb.png and 01/frame_00003_pose.txt, and so on to 24/"


def read_aflw2000(path: Path) -> PoseSet:
    """Read all labels; images are read when asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = open_tree(path)
    names = [name for name in tree.names if IMAGE.fullmatch(name)]
    if not names:
        raise MienError(f"aflw2000: {tree}/image00002.jpg is missing; obtain it from {AFLW_SOURCE}")
    labels = [_aflw_label(tree, name.removesuffix(".jpg") + ".mat") for name in names]
    angles, boxes = (np.stack(part) for part in zip(*labels, strict=True))
    counted = np.flatnonzero(np.degrees(np.abs(angles)).max(axis=1) <= MAX_DEG)
    if len(counted) < 2:
        raise MienError(f"aflw2000: {tree} has fewer than two images that count; copy it again")
    kept = tuple(names[int(row)] for row in counted)
    left_out = len(names) - len(kept)
    return PoseSet(
        images=tree.images(kept, crop="box", boxes=boxes[counted]),
        person=np.arange(len(kept)),
        angles=angles[counted],
        notes=(
            f"{left_out} of {len(names)} images have an angle over 99 degrees and are left out",
            "faces are cut by the set's own landmarks",
            *tree.unused(names),
        ),
    )


def face_square(points: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return x1, y1, x2, y2 of the square about a face, pixels. [4].

    Args:
        points: the 68 landmarks x, y, depth, in one unit; y down, depth of either sign. [68, 3].
    """
    eyes, mouth = points[36:48].mean(axis=0), points[[48, 54]].mean(axis=0)
    nose, ears = points[[27, 33]].mean(axis=0), points[[0, 16]].mean(axis=0)
    up = (eyes - mouth) / np.linalg.norm(eyes - mouth)
    # The middle of the skull: between the ears' landmarks, level with the nose.
    skull = ears + up * float((nose - ears) @ up)
    side = FACE_WIDTHS * float(np.linalg.norm(points[16] - points[0]))
    x, y = ((1 - SKULL_PULL) * (eyes + mouth) / 2 + SKULL_PULL * skull)[:2]
    y -= RISE * side
    return np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2], dtype=np.float64)


def read_biwi(path: Path) -> PoseSet:
    """Read all labels; images are read when asked for. MienError: a file is missing or damaged."""
    tree = root_of(
        path, marker="01", bases=BASES, advice=f"biwi wants {BIWI_LAYOUT}; from {BIWI_SOURCE}"
    )
    known = set(tree.names)
    labels = [name for name in tree.names if POSE.fullmatch(name)]
    if not labels:
        raise MienError(
            f"biwi: {tree}/01/frame_00003_pose.txt is missing; obtain it from {BIWI_SOURCE}"
        )
    images = tuple(_biwi_image(tree, known, name) for name in labels)
    poses = [_biwi_pose(tree, name) for name in labels]
    rotation, centre = (np.stack(part) for part in zip(*poses, strict=True))
    films = [int(name.split("/")[0]) for name in labels]
    return PoseSet(
        images=tree.images(images),
        person=np.array([TWICE.get(film, film) for film in films], dtype=np.int64),
        angles=benchmark_angles(rotation),
        sight=seen_along(rotation, centre),
        notes=(f"{len(set(films))} films; pose in the camera's frame, as papers have it",),
    )


def benchmark_angles(rotation: Array) -> NDArray[np.float64]:
    """Return yaw, pitch, roll of R = Rx(-pitch) Ry(yaw) Rz(roll). [N, 3, 3] -> radians [N, 3].

    Yaw is within 90 degrees to either side; a head that is rotated further has other pitch and
    roll than the label it was made of.
    """
    rotation = np.asarray(rotation, dtype=np.float64)
    yaw = np.arcsin(rotation[..., 0, 2].clip(-1, 1))
    pitch = np.arctan2(rotation[..., 1, 2], rotation[..., 2, 2])
    roll = np.arctan2(-rotation[..., 0, 1], rotation[..., 0, 0])
    return np.stack([yaw, pitch, roll], axis=-1)


def seen_along(rotation: Array, centre: Array) -> NDArray[np.float64]:
    """Return rotations in the frame of a camera that was rotated, unrolled, to look at the head.

    Args:
        rotation: head to camera frame. [N, 3, 3].
        centre: where the head is, camera frame, any unit. [N, 3].

    Returns:
        L' R, with L the smallest rotation that takes (0, 0, 1) to the head's direction. [N, 3, 3].
    """
    centre = np.asarray(centre, dtype=np.float64)
    towards = centre / np.linalg.norm(centre, axis=1, keepdims=True)
    x, y, z = towards.T
    # Rodrigues' formula for the axis (-y, x, 0); 1 / (1 + cos) where it has (1 - cos) / sin².
    k = 1 / (1 + z)
    rows = [
        np.stack([1 - k * x * x, -k * x * y, x], axis=-1),
        np.stack([-k * x * y, 1 - k * y * y, y], axis=-1),
        np.stack([-x, -y, z], axis=-1),
    ]
    look = np.swapaxes(np.stack(rows, axis=-2), -1, -2)
    return np.asarray(look @ rotation, dtype=np.float64)


def _aflw_label(tree: Tree, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return yaw, pitch, roll in radians [3], and the face's square [4]."""
    if not tree.has(name):
        raise MienError(f"aflw2000: {tree}/{name} is missing; it stands beside the image")
    found = read_matlab(tree, name, "Pose_Para", "pt3d_68")
    pose, points = found["Pose_Para"].reshape(-1), found["pt3d_68"]
    if len(pose) < 3 or points.shape != (3, 68):
        shapes = f"{list(pose.shape)} and pt3d_68 {list(points.shape)}"
        raise tree.error(name, f": Pose_Para is {shapes}, not [7] and [3, 68]")
    if not ((np.abs(pose[:3]) <= 7).all() and (np.abs(points) <= MAX_PIXELS).all()):
        raise tree.error(name, " holds NaN, or no angles in radians and landmarks in pixels")
    if np.ptp(points, axis=1).min() <= 0:
        raise tree.error(name, ": the landmarks lie in one plane")
    return pose[[1, 0, 2]], face_square(points.T)


def _biwi_image(tree: Tree, known: set[str], label: str) -> str:
    names = [label.replace("_pose.txt", f"_rgb.{ending}") for ending in ("png", "jpg")]
    for name in names:
        if name in known:
            return name
    raise MienError(f"biwi: {tree}/{names[0]} is missing; copy the data set again")


def _biwi_pose(tree: Tree, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rotation [3, 3] and the head's centre [3], millimetres."""
    lines = [(number, line.split()) for number, line in tree.lines(name)][:4]
    if [len(words) for _, words in lines] != [3, 3, 3, 3]:
        raise tree.error(name, " is not four lines of three numbers")
    values = np.stack([numbers(tree, name, words, number) for number, words in lines])
    check_rotation(tree, name, values[:3])
    if values[3, 2] <= 0:
        raise tree.error(name, " puts the head behind the camera")
    return values[:3], values[3]


AFLW2000 = DataSet(
    title="Head pose on AFLW2000-3D, predicted angles and maps fitted on other images",
    layout=AFLW_LAYOUT,
    source=AFLW_SOURCE,
    matches=lambda path: first_name(path, LABEL, depth=1) is not None,
    read=lambda path, _: read_aflw2000(path),
)
BIWI = DataSet(
    title="Head pose on BIWI, predicted angles and maps fitted cross-subject",
    layout=BIWI_LAYOUT,
    source=BIWI_SOURCE,
    matches=lambda path: (
        found_below(path, "01/frame_00003_pose.txt", BASES)
        or found_below(path, "01/depth.cal", BASES)
    ),
    read=lambda path, _: read_biwi(path),
)
