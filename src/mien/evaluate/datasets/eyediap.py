"""EYEDIAP (Funes Mora et al., ETRA 2014) as GazeHub normalises it: screen targets, folds of people.

GazeHub's script turns the recordings (sessions with screen targets, every 15th frame) into
Image/pN/face/K.jpg and Label/pN.label, one line an image below a line of titles: words by blanks,
"Face" the image below Image, "2DGaze" and "2DHead" two angles in radians by a comma.

Signs. GazeHub's code writes 2DGaze as atan2(-x, -z), asin(-y) of the gaze in the virtual camera
(f = 960, 600 mm) and 2DHead as atan2(x, z), asin(y) of the head's z axis there: yaw, then pitch, as
ours. The raw recordings are not read: their calibration files are used in two ways by public code,
and which is right could not be established. For the same reason the labelled head pose is left
out, the predicted one stands for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import found_below, numbers, root_of
from mien.evaluate.datasets.sets import DataSet, GazeSet
from mien.evaluate.datasets.tree import Tree
from mien.geometry.gaze import gaze_vector
from mien.linear.folds import folds_of_people

__all__ = ["EYEDIAP"]

MARKER, BASES = "Label/p1.label", ("EyeDiap", "Eyediap", "EYEDIAP", "FaceBased/EyeDiap")
LABELS = re.compile(r"p(\d+)\.label")
FOLDS = 4
WHOLE = (0.0, 0.0, 1.0, 1.0)


def read_eyediap(path: Path) -> GazeSet:
    """Read the labels; four folds of people. MienError: a file is missing or damaged."""
    tree = root_of(
        path,
        marker=MARKER,
        bases=BASES,
        advice="give the folder with Image and Label that GazeHub's script writes",
    )
    labels = tree.under("Label").named(LABELS)
    rows = [(int(m[1]), *row) for name, m in labels for row in _rows(tree, f"Label/{name}")]
    if not rows:
        raise tree.error("Label", " names no image")
    person = np.array([who for who, _, _ in rows], dtype=np.int64)
    yaw, pitch = np.stack([angles for *_, angles in rows]).T
    return GazeSet(
        images=tree.images([name for _, name, _ in rows], fallback=WHOLE),
        person=person,
        gaze=gaze_vector(yaw, pitch),
        folds=folds_of_people(person, FOLDS),
        notes=("the labelled head pose is not used",),
    )


def _rows(tree: Tree, label: str) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """Yield each image with the yaw and the pitch of its gaze."""
    lines = tree.lines(label)
    titles = next(lines, (1, ""))[1].split()
    if "Face" not in titles or "2DGaze" not in titles:
        raise MienError(f"{tree}/{label} does not begin with titles like Face and 2DGaze")
    face, gaze = titles.index("Face"), titles.index("2DGaze")
    for number, line in lines:
        words = line.split()
        if len(words) != len(titles):
            raise MienError(f"{tree}/{label}, line {number} has {len(words)} words, not as titled")
        both = numbers(tree, label, words[gaze].split(","), number)
        if both.shape != (2,):
            raise MienError(f"{tree}/{label}, line {number}: 2DGaze is not two numbers")
        yield f"Image/{words[face]}", both


EYEDIAP = DataSet(
    title="EYEDIAP as GazeHub normalises it: angular error by number of samples, 4 folds of people",
    layout="Image/p1/face/1.jpg and Label/p1.label, and so on, as GazeHub's script writes them",
    source="Idiap Research Institute, EYEDIAP, on request; the script by GazeHub, Beihang Univ.",
    matches=lambda path: found_below(path, MARKER, BASES),
    read=lambda path, _: read_eyediap(path),
)
