"""Gaze360 (Kellnhofer et al., ICCV 2019): people all around a camera, many of them from behind.

metadata.mat names every image and where it looks: `recordings` (names), and, one an image,
`recording`, `person_identity`, `frame`, `gaze_dir`, `split` (0 train, 1 val, 2 test, 3 unused).
The head crop of a row is imgs/RECORDING/head/PPPPPP/FFFFFF.jpg. Samples come from the
training part, the test part is tested; the validation part is not used.

Signs. The data set's readme: gaze_dir is in a frame of its own for every subject, x to the left and
y up from the camera's point of view, z away from the camera, [0, 0, -1] into the camera. Ours has x
to the right and y down: (-x, -y, z). The head pose is not labelled.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.files import MAX_NUMBER, found_below, read_matlab, root_of
from mien.evaluate.datasets.sets import DataSet, GazeSet, evenly
from mien.evaluate.datasets.tree import Tree

__all__ = ["GAZE360"]

MARKER, BASES = "metadata.mat", ("gaze360_dataset", "Gaze360", "gaze360")
FIELDS = ("recording", "person_identity", "frame", "split")
TRAIN, TEST = 0, 2
MAX_TRAINING = 20_000
FRONT_DEG, FACING_DEG = 90.0, 20.0


def read_gaze360(path: Path, *, max_training: int = MAX_TRAINING) -> GazeSet:
    """Read the labels of the training and the test part.

    Args:
        path: the folder or zip that holds metadata.mat and imgs.
        max_training: training images that samples come from, evenly spaced.

    Raises:
        MienError: metadata.mat is missing or damaged, or SciPy is not installed.
    """
    tree = root_of(
        path, marker=MARKER, bases=BASES, advice="give the folder that holds metadata.mat and imgs"
    )
    found = read_matlab(tree, MARKER, *FIELDS, "gaze_dir", texts=("recordings",))
    recordings = [str(name).strip() for name in np.ravel(found["recordings"])]
    gaze = found["gaze_dir"]
    if not all((np.abs(found[field]) <= MAX_NUMBER).all() for field in FIELDS):
        raise tree.error(MARKER, " holds NaN where whole numbers are due")
    recording, identity, frame, split = (np.ravel(found[f]).astype(np.int64) for f in FIELDS)
    _check(tree, recordings, recording, [identity, frame, split, gaze])
    train, test = np.flatnonzero(split == TRAIN), np.flatnonzero(split == TEST)
    if not len(train) or not len(test):
        raise tree.error(MARKER, " has no training or no test part")
    train = train[evenly(len(train), max_training)]
    rows = np.concatenate([train, test])
    names = [
        f"imgs/{recordings[recording[row]]}/head/{identity[row]:06}/{frame[row]:06}.jpg"
        for row in rows
    ]
    gaze_vectors = gaze[rows] * np.array([-1.0, -1.0, 1.0])
    gaze_vectors /= np.linalg.norm(gaze_vectors, axis=1, keepdims=True)
    off_axis = np.degrees(np.arccos(np.clip(-gaze_vectors[:, 2], -1, 1)))
    return GazeSet(
        images=tree.images(names),
        person=recording[rows],
        gaze=gaze_vectors,
        folds=((np.arange(len(train)), np.arange(len(train), len(rows))),),
        parts={
            "looking to the front half": off_axis <= FRONT_DEG,
            "looking within 20 degrees of the camera": off_axis <= FACING_DEG,
        },
        notes=(
            f"samples come from {len(train)} training images, evenly spaced",
            "intervals are by recording: one person may have several numbers in it",
        ),
    )


def _check(
    tree: Tree, recordings: list[str], recording: NDArray[np.int64], others: list[NDArray]
) -> None:
    gaze = others[-1]
    sound = (
        all(len(other) == len(recording) for other in others)
        and gaze.shape == (len(recording), 3)
        and (np.abs(gaze) <= MAX_NUMBER).all()
        and bool((np.linalg.norm(gaze, axis=1) > 0).all())
        and len(recording) > 0
        and 0 <= recording.min() <= recording.max() < len(recordings)
    )
    if not sound:
        raise tree.error(MARKER, ": its fields do not fit together")


GAZE360 = DataSet(
    title="Gaze360, official split: angular error by number of samples",
    layout="metadata.mat and imgs/rec_000/head/000000/000131.jpg and so on",
    source="MIT CSAIL, Gaze360 (Kellnhofer, Recasens et al.); for non-commercial research",
    matches=lambda path: found_below(path, MARKER, BASES) and found_below(path, "imgs", BASES),
    read=lambda path, _: read_gaze360(path),
)
