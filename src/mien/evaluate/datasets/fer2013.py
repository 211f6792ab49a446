"""FER-2013 (Goodfellow et al., 2013): seven expressions in grey images of 48 x 48; and FER+.

fer2013.csv has the columns emotion (0 to 6), pixels (2,304 numbers with spaces between) and Usage
(Training, PublicTest or PrivateTest) for 35,887 images; in icml_face_data.csv the same with other
order and spaces before the names. Tested on the private test part, as papers do; where that is not
there, on the public one, which is not used otherwise.

FER+ (Barsoum et al., 2016): the same images, labelled anew by ten people each; eight classes. An
image's class is that of the majority, as in the paper: classes with a single vote are struck out,
and the most frequent must then have more than half of the votes that are left; otherwise, or if the
majority is for unknown or for no face, the image is left out. Trained on Training, tested on
PrivateTest; PublicTest is not used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.class_folders import read_class_folders
from mien.evaluate.datasets.files import ending_in, first_name, holds, listed, require
from mien.evaluate.datasets.rafdb import RAF_NAME
from mien.evaluate.datasets.sets import DataSet, ExpressionSet, LabelledSet
from mien.evaluate.datasets.tree import Tree, open_tree
from mien.evaluate.protocol import Images

__all__ = ["FER2013", "FERPLUS", "read_fer2013"]

Rows = NDArray[np.int64]

CLASSES = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TRAIN, PUBLIC, PRIVATE = USAGES = "Training", "PublicTest", "PrivateTest"
FER_FOLDERS = {"train": TRAIN, **dict.fromkeys(("val", "valid", "validation"), PUBLIC)}
FER_FOLDERS["test"] = PRIVATE
"""Folder or zip => part; a file that is called after its part, as PublicTest_1.jpg, is of that."""
PARTS, ANGRY = ("train", "val", "test", "archive/train"), ("angry", "Angry", "anger", "0_angry")
LARGEST_PART = 3600
"""The public and the private part have 3,589 images each."""
FER_SOURCE = (
    "the Kaggle competition `challenges-in-representation-learning-facial-expression-recognition-"
    "challenge` (I. Goodfellow, P.-L. Carrier, A. Courville); images from the web, for research"
)
FER_LAYOUT = """fer2013.csv (or icml_face_data.csv) with the columns emotion, pixels and Usage
or folders, or zips of the same names: train/CLASS/*.jpg and test/CLASS/*.jpg, val/CLASS/*.jpg, or
both; CLASS is angry, disgust, fear, happy, sad, surprise or neutral, or disgusted, fearful, ..."""
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")
PIXELS = 48
"""Side of the images."""
PLUS_CLASSES = (
    *("neutral", "happiness", "surprise", "sadness"),
    *("anger", "disgust", "fear", "contempt"),
)
PLUS_FOLDERS = {TRAIN: "FER2013Train", PUBLIC: "FER2013Valid", PRIVATE: "FER2013Test"}
LISTS = {"pose 30": "pose_30_ferplus_list.txt", "pose 45": "pose_45_ferplus_list.txt"}
PLUS_SOURCE = (
    "labels: github.com/microsoft/FERPlus (fer2013new.csv, MIT); images: the Kaggle competition "
    "`challenges-in-representation-learning-facial-expression-recognition-challenge`"
)
PLUS_LAYOUT = """fer2013new.csv, with fer2013.csv (or icml_face_data.csv) of FER-2013 beside it
or with the images made of it: FER2013Train/fer0000000.png, FER2013Test/fer0032220.png, ...
optional: pose_30_ferplus_list.txt, pose_45_ferplus_list.txt (Wang et al., 2020)"""


@dataclass(frozen=True)
class Fer:
    """All images with their classes and parts."""

    images: Images
    labels: NDArray[np.int64]
    """Places in `CLASSES`. [N]."""
    usage: NDArray[np.str_]
    """Training, PublicTest or PrivateTest. [N]."""
    unused: int = 0
    """Images that are in no folder of a class or part."""


@dataclass(frozen=True)
class _Vote:
    """An image that FER+ has a class for."""

    row: int
    """Number of its line in either file, the titles not counted."""
    name: str
    usage: str
    label: int


def read_fer2013(path: Path) -> ExpressionSet:
    """Read the csv or the folders of classes, and split them.

    Raises:
        MienError: neither is there, a part is missing, or something in them is not as it should be.
    """
    fer = read_fer_images(path)
    train = np.flatnonzero(fer.usage == TRAIN)
    private, public = np.flatnonzero(fer.usage == PRIVATE), np.flatnonzero(fer.usage == PUBLIC)
    test = private if len(private) else public
    if not len(train) or not len(test):
        missing = "training images (train/)" if not len(train) else "test images (test/ or val/)"
        raise MienError(f"fer2013: {path} has no {missing}; obtain FER-2013 from {FER_SOURCE}")
    where = "private" if len(private) else "public"
    notes = [f"tested on the {where} test part"]
    if len(test) > LARGEST_PART:
        notes = ["test/ holds the public and the private part without telling them apart"]
    if fer.unused:
        notes.append(f"{fer.unused} images are in no folder of a class; left out")
    labels = LabelledSet(fer.images, fer.labels, CLASSES, ((train, test),))
    return ExpressionSet(fer.images, (labels,), tuple(notes))


def read_fer_images(path: Path) -> Fer:
    """Read the images of FER-2013 with their classes and parts, none left out.

    Raises:
        MienError: neither csv nor folders are there, or something in them is not as it should be.
    """
    tree = open_tree(path)
    found = _csv_of(tree)
    return read_fer_csv(tree, found) if found else _from_folders(path)


def read_ferplus(path: Path) -> ExpressionSet:
    """Read FER+'s votes, and the images of FER-2013 that they are about.

    Raises:
        MienError: the votes or images are missing, or not as they should be.
    """
    tree = open_tree(path)
    votes, undecided = _read_votes(tree)
    images = _voted_images(tree, votes)
    labels = np.array([vote.label for vote in votes])
    usage = np.array([vote.usage for vote in votes])
    train, test = np.flatnonzero(usage == TRAIN), np.flatnonzero(usage == PRIVATE)
    notes = ["majority votes; PublicTest is not used"]
    if undecided:
        notes.append(f"{undecided} images without a majority for a class are left out")
    subsets = {}
    for name, ending in LISTS.items():
        found = listed(tree, ending, images.names)
        if found is not None:
            subsets[name] = found[0]
    task = LabelledSet(images, labels, PLUS_CLASSES, ((train, test),), subsets=subsets)
    return ExpressionSet(images, (task,), tuple(notes))


def read_fer_csv(tree: Tree, name: str) -> Fer:
    """Read the file. MienError: a column is missing, or a line is not as it should be."""
    rows = tree.rows(name)
    header = [column.strip() for column in next(rows, (1, []))[1]]
    missing = [column for column in ("emotion", "pixels", "Usage") if column not in header]
    if missing:
        raise MienError(
            f"{tree}/{name} has no column {missing[0]}; the whole file with all 35,887 rows is "
            "wanted, not one of its parts"
        )
    places = [header.index(column) for column in ("emotion", "pixels", "Usage")]
    emotion, usage, pixels = [], [], []
    for line, row in rows:
        number, values, use = _csv_row(row, places, f"{tree}/{name}, line {line}")
        emotion.append(number)
        pixels.append(values)
        usage.append(use)
    if not emotion:
        raise MienError(f"{tree}/{name} has no rows; copy it again")
    names = tuple(f"{use}/{row:05d}.png" for row, use in enumerate(usage))
    images = Images(names, lambda row: np.repeat(pixels[row][..., None], 3, axis=2), crop="face")
    return Fer(images, np.asarray(emotion, np.int64), np.asarray(usage))


def majority(votes: Sequence[int]) -> int | None:
    """Return the place of the class that the majority has voted for; None without one.

    Args:
        votes: for the eight classes, unknown and no face. [10].
    """
    kept = [count if count > 1 else 0 for count in votes]
    most = max(kept)
    place = kept.index(most)
    return place if 2 * most > sum(kept) and place < len(PLUS_CLASSES) else None


def _from_folders(path: Path) -> Fer:
    found = read_class_folders(path, protocol="fer2013", parts=FER_FOLDERS, classes=CLASSES)
    if found is None:
        raise MienError(
            f"fer2013: {path} has neither fer2013.csv nor train/angry/ and its like "
            f"(see `mien eval --list`); obtain it from {FER_SOURCE}"
        )
    # A file that is called after its part, as PublicTest_1.jpg, is of that.
    told = [name.rpartition("/")[2].partition("_")[0] for name in found.images.names]
    usage = [own if own in USAGES else part for own, part in zip(told, found.part, strict=True)]
    return Fer(found.images, found.labels, np.array(usage), sum(found.unused.values()))


def _csv_of(tree: Tree) -> str | None:
    return next((found for name in CSV_NAMES if (found := ending_in(tree, name))), None)


def _csv_row(row: list[str], places: list[int], where: str) -> tuple[int, NDArray[np.uint8], str]:
    try:
        emotion, text, usage = (row[place].strip() for place in places)
        values = np.array(text.split(), dtype=np.int64)
        number = int(emotion)
    except (IndexError, OverflowError, ValueError) as error:
        raise MienError(f"{where} is not a row of FER-2013: {error}") from error
    if values.size != PIXELS * PIXELS or values.min() < 0 or values.max() > 255:
        raise MienError(
            f"{where} has {values.size} pixels of 0 to 255; {PIXELS * PIXELS} are wanted"
        )
    if not 0 <= number <= 6 or usage not in USAGES:
        raise MienError(f"{where} has emotion {number} and usage {usage}, which FER-2013 has not")
    return number, values.astype(np.uint8).reshape(PIXELS, PIXELS), usage


def _read_votes(tree: Tree) -> tuple[list[_Vote], int]:
    """Return the images that are used, and how many more have a name but no class."""
    path = ending_in(tree, "fer2013new.csv")
    if path is None:
        raise MienError(f"ferplus: {tree}/fer2013new.csv is missing; obtain it from {PLUS_SOURCE}")
    votes, undecided = [], 0
    for number, (_, row) in enumerate(list(tree.rows(path))[1:]):
        try:
            usage, name, counts = row[0].strip(), row[1].strip(), [int(vote) for vote in row[2:12]]
        except (IndexError, ValueError) as error:
            raise MienError(
                f"{tree}/{path}, line {number + 2} is not a row of FER+: {error}"
            ) from error
        if len(counts) != 10 or usage not in PLUS_FOLDERS:
            raise MienError(f"{tree}/{path}, line {number + 2} is not a row of FER+: {row}")
        label = majority(counts)
        # Images without a name are those without a face.
        if not name or usage == PUBLIC:
            continue
        if label is None:
            undecided += 1
        else:
            votes.append(_Vote(number, name, usage, label))
    return votes, undecided


def _voted_images(tree: Tree, votes: list[_Vote]) -> Images:
    """Return the images, from the csv of FER-2013 or from the files made of it."""
    names = tuple(f"{PLUS_FOLDERS[vote.usage]}/{vote.name}" for vote in votes)
    pixels = _csv_of(tree)
    if pixels is not None:
        data = read_fer_csv(tree, pixels)
        if votes and votes[-1].row >= len(data.labels):
            raise MienError(
                f"ferplus: {tree}/{pixels} has {len(data.labels)} rows and fer2013new.csv more; "
                "give the whole file"
            )
        return Images(names, lambda i: data.images.read(votes[i].row), crop="face")
    where = {"/".join(PurePosixPath(name).parts[-2:]): name for name in tree.names}
    files = [where.get(name, name) for name in names]
    advice = f"put fer2013.csv beside fer2013new.csv; {PLUS_SOURCE}"
    require(tree, files, protocol="ferplus", advice=advice)
    return Images(names, lambda i: tree.image(files[i]), crop="face")


def _is_fer2013(path: Path) -> bool:
    if holds(path, "fer2013new.csv"):
        return False  # that is FER+
    if any(holds(path, f"{folder}{name}") for folder in ("", "fer2013/") for name in CSV_NAMES):
        return True
    if first_name(path, RAF_NAME, depth=4) is not None:
        return False  # RAF-DB has class folders, too
    inside = any(holds(path, f"{name}/{angry}") for name in PARTS for angry in ANGRY)
    return inside or any(holds(Path(path) / "train.zip", angry) for angry in ANGRY)


FER2013 = DataSet(
    title="Seven expressions on FER-2013 by frozen probes",
    layout=FER_LAYOUT,
    source=FER_SOURCE,
    matches=_is_fer2013,
    read=lambda path, _: read_fer2013(path),
)
FERPLUS = DataSet(
    title="Eight expressions on FER+ (majority votes) by frozen probes",
    layout=PLUS_LAYOUT,
    source=PLUS_SOURCE,
    matches=lambda path: holds(path, "fer2013new.csv"),
    read=lambda path, _: read_ferplus(path),
)
