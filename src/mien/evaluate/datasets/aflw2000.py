"""AFLW2000-3D (Zhu et al., 2016): 2000 images from the web with a fitted head model.

imageNNNNN.mat holds Pose_Para: pitch, yaw, roll in radians, then shift and scale; and pt3d_68, the
68 landmarks of the fitted head in pixels of the 450 x 450 image (y down), depth in the same unit.
mien.evaluate.tasks.pose_angles says how its angles stand to ours.

The square is laid by the landmarks as it lies about our rendered faces, whichever way they look:
1.2 face widths (between the ears' landmarks, in depth, too) on a side. Images with an angle
beyond 99 degrees are left out, as in all papers since Ruiz et al. (2018): 31 of 2000.

Papers train on 300W-LP; here maps are fitted on the other images of this set, five folds of
them. Who is in an image is not known, so a person may be in two folds.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, open_tree
from mien.evaluate.datasets.layout import first_name, read_matlab
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.pose import PoseSet, score_pose

__all__ = ["AFLW2000", "face_square", "read_aflw2000"]

IMAGE = re.compile(r"(?:.*/)?image\d{5}\.jpg")
LABEL = re.compile(r"image\d{5}\.mat")
LARGEST_DEG = 99.0
# As mien.synth.scene frames its faces: side in face widths, how far the middle lies above that of
# eyes and mouth in sides, and how far it is drawn to the middle of the skull.
FACE_WIDTHS, RISE, SKULL_PULL = 1.2, 0.055, 0.2
SOURCE = (
    "X. Zhu and others, Institute of Automation, Chinese Academy of Sciences: AFLW2000-3D.zip of "
    "the 3DDFA project; for research"
)
LAYOUT = "image00002.jpg and image00002.mat, and so on to image04375 (2000 of each)"


def read_aflw2000(path: Path) -> PoseSet:
    """Read all labels; images are read when asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = open_tree(path)
    names = [name for name in tree.names if IMAGE.fullmatch(name)]
    if not names:
        raise MienError(f"aflw2000: {tree}/image00002.jpg is missing; obtain it from {SOURCE}")
    labels = [_label(tree, name.removesuffix(".jpg") + ".mat") for name in names]
    angles, boxes = (np.stack(part) for part in zip(*labels, strict=True))
    counted = np.flatnonzero(np.degrees(np.abs(angles)).max(axis=1) <= LARGEST_DEG)
    if len(counted) < 2:
        raise MienError(f"aflw2000: {tree} has fewer than two images that count; copy it again")
    kept = tuple(names[int(row)] for row in counted)
    left_out = len(names) - len(kept)
    return PoseSet(
        images=Images(kept, lambda row: tree.image(kept[row]), crop="box", boxes=boxes[counted]),
        person=np.arange(len(kept)),
        angles=angles[counted],
        notes=(
            f"{left_out} of {len(names)} images have an angle beyond 99 degrees and are left out",
            "faces are cut by the set's own landmarks",
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


def _label(tree: Tree, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return yaw, pitch, roll in radians [3], and the face's square [4]."""
    if not tree.has(name):
        raise MienError(f"aflw2000: {tree}/{name} is missing; it stands beside the image")
    found = read_matlab(tree, name, "Pose_Para", "pt3d_68")
    try:
        pose = np.asarray(found["Pose_Para"], dtype=np.float64).reshape(-1)
        points = np.asarray(found["pt3d_68"], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise MienError(f"{tree}/{name} holds no numbers; copy the data set again") from error
    if len(pose) < 3 or points.shape != (3, 68):
        raise MienError(
            f"{tree}/{name}: Pose_Para is {list(pose.shape)} and pt3d_68 {list(points.shape)}, "
            "not [7] and [3, 68]; copy the data set again"
        )
    if not (np.isfinite(pose[:3]).all() and np.isfinite(points).all()):
        raise MienError(f"{tree}/{name} holds NaN; copy the data set again")
    if np.ptp(points, axis=1).min() <= 0:
        raise MienError(f"{tree}/{name}: the landmarks lie in one plane; copy the data set again")
    return pose[[1, 0, 2]], face_square(points.T)


def _run(path: Path, context: EvalContext) -> Result:
    return score_pose(read_aflw2000(path), context)


def _matches(path: Path) -> bool:
    return first_name(path, LABEL, depth=1) is not None


AFLW2000 = Protocol(
    name="aflw2000",
    factor="pose",
    title="Head pose on AFLW2000-3D, own angles and maps fitted on other images",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    run=_run,
)
