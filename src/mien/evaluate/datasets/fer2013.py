"""FER-2013 (Goodfellow et al., 2013): seven expressions in grey images of 48 x 48.

Tested on the private test part, as papers do; where that is not there, on the public one, which
then does not teach. Images of the test part that stand, to the pixel, among the training images
are left out of training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.fer_csv import CSV_NAMES, read_fer_csv
from mien.evaluate.datasets.files import Tree, holds, open_tree
from mien.evaluate.datasets.locate import ending_in
from mien.evaluate.datasets.twins import without_twins
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.classification import measure
from mien.evaluate.tasks.labelled import CODES, FEATURES, POSE_AND_LIGHT, Task, describe
from mien.linear.cross_subject import classify

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["CODES", "FER2013", "Fer", "fer2013_scores", "labels_of", "read_fer2013"]

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TRAIN, PUBLIC, PRIVATE = "Training", "PublicTest", "PrivateTest"
FOLDERS = {
    "train": TRAIN,
    "val": PUBLIC,
    "valid": PUBLIC,
    "validation": PUBLIC,
    "test": PRIVATE,
}
"""Folder or zip => part; a file that is called after its part, as PublicTest_1.jpg, is of that."""
LARGEST_PART = 3600
"""The public and the private part have 3,589 images each."""
SOURCE = (
    "the Kaggle competition `challenges-in-representation-learning-facial-expression-recognition-"
    "challenge` (I. Goodfellow, P.-L. Carrier, A. Courville); images from the web, for research"
)
LAYOUT = """fer2013.csv (or icml_face_data.csv) with the columns emotion, pixels and Usage
or folders, or zips of the same names: train/CLASS/*.jpg and test/CLASS/*.jpg, val/CLASS/*.jpg, or
both; CLASS is angry, disgust, fear, happy, sad, surprise or neutral"""


@dataclass(frozen=True)
class Fer:
    """All images with their classes and parts."""

    images: Images
    labels: NDArray[np.int64]
    """Places in `CLASSES`. [N]."""
    usage: NDArray[np.str_]
    """Training, PublicTest or PrivateTest. [N]."""


def read_fer2013(path: Path) -> Fer:
    """Read the csv or the folders of classes.

    Raises:
        MienError: neither is there, or something in them is not as it should be.
    """
    tree = open_tree(path)
    found = next((name for name in CSV_NAMES if ending_in(tree, name)), None)
    return _from_csv(tree, str(ending_in(tree, found))) if found else _from_folders(path, tree)


def labels_of(table: pd.DataFrame) -> NDArray[np.str_]:
    """Return the class of each row: the name of the image's folder. [N].

    Raises:
        MienError: the images are not in folders named after classes.
    """
    names = table["path"].str.replace("\\", "/").str.split("/").str[-2]
    if names.isna().any():
        raise MienError("images must stand in folders named after their expression, as angry/1.jpg")
    return names.to_numpy(str)


def fer2013_scores(train: pd.DataFrame, validation: pd.DataFrame) -> dict[str, float]:
    """Return the accuracy of a logistic regression on each code, on all together, on features.

    Args:
        train: table of `mien embed` of the training images, in class folders.
        validation: likewise of the public validation set.
    """
    classes = {name: i for i, name in enumerate(sorted(set(labels_of(train))))}
    train_labels = np.array([classes[name] for name in labels_of(train)])
    labels = np.array([classes[name] for name in labels_of(validation)])

    def accuracy(*names: str) -> float:
        return classify(
            train=_columns(train, names),
            train_labels=train_labels,
            test=_columns(validation, names),
            test_labels=labels,
            groups=None,
        )

    scores = {name: accuracy(name) for name in CODES}
    scores["all codes"] = accuracy(*CODES, *POSE_AND_LIGHT)
    return scores | ({FEATURES: accuracy(FEATURES)} if FEATURES in train else {})


def _run(path: Path, context: EvalContext) -> Result:
    fer = read_fer2013(path)
    train = np.flatnonzero(fer.usage == TRAIN)
    private, public = np.flatnonzero(fer.usage == PRIVATE), np.flatnonzero(fer.usage == PUBLIC)
    test = private if len(private) else public
    if not len(train) or not len(test):
        missing = "training images (train/)" if not len(train) else "test images (test/ or val/)"
        raise MienError(f"fer2013: {path} has no {missing}; obtain FER-2013 from {SOURCE}")
    where = "private" if len(private) else "public"
    notes = [f"tested on the {where} test part"]
    if len(test) > LARGEST_PART:
        notes = ["test/ holds the public and the private part without telling them apart"]
    train, twins = without_twins(fer.images, train, test)
    notes.append(f"{twins} training images are also in the test part, to the pixel; left out")
    described = describe(fer.images, context)
    task = Task(fer.images, fer.labels, CLASSES, ((train, test),))
    result = measure(task, described, context)
    return replace(result, notes=(*notes, *result.notes))


def _from_csv(tree: Tree, name: str) -> Fer:
    data = read_fer_csv(tree, name)
    names = tuple(f"{usage}/{row:05d}.png" for row, usage in enumerate(data.usage))
    return Fer(Images(names, data.image, crop="face"), data.emotion, data.usage)


def _from_folders(path: Path, tree: Tree) -> Fer:
    files: list[tuple[str, Callable[[], NDArray[np.uint8]], str, str]] = []
    for folder, part in FOLDERS.items():
        below = tree.under(folder)
        if path.is_dir() and (path / f"{folder}.zip").is_file():
            below = open_tree(path / f"{folder}.zip")
        for name in below.names:
            parts = PurePosixPath(name).parts
            if len(parts) >= 2 and parts[-2].lower() in CLASSES:
                usage = parts[-1].split("_")[0]
                inside = "/".join(parts[-2:])
                files.append(
                    (
                        f"{folder}/{inside}",
                        lambda below=below, name=name: below.image(name),
                        parts[-2].lower(),
                        usage if usage in (TRAIN, PUBLIC, PRIVATE) else part,
                    )
                )
    if not files:
        raise MienError(
            f"fer2013: {path} has neither fer2013.csv nor train/angry/ and its like "
            f"(see `mien eval --list`); obtain it from {SOURCE}"
        )
    reads = [read for _, read, _, _ in files]
    images = Images(tuple(name for name, *_ in files), lambda i: reads[i](), crop="face")
    labels = np.array([CLASSES.index(name) for _, _, name, _ in files])
    return Fer(images, labels, np.array([usage for *_, usage in files]))


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the columns side by side; lists become several. [N, D]."""
    parts = []
    for name in names:
        values = list(table[name])
        parts.append(np.asarray(values, dtype=np.float32).reshape(len(values), -1))
    return np.concatenate(parts, axis=1)


def _matches(path: Path) -> bool:
    if holds(path, "fer2013new.csv"):
        return False  # that is FER+
    if any(holds(path, f"{folder}{name}") for folder in ("", "fer2013/") for name in CSV_NAMES):
        return True
    inside = any(holds(path, f"{name}/angry") for name in ("train", "val", "test"))
    return inside or holds(Path(path) / "train.zip", "angry")


FER2013 = Protocol(
    name="fer2013",
    factor="expression",
    title="Seven expressions on FER-2013 by frozen probes",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    run=_run,
)
