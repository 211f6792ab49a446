"""RAF-DB, basic expressions (Li et al., 2017): seven classes, aligned images of 100 x 100."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.class_folders import ClassFolders, read_class_folders
from mien.evaluate.datasets.files import ending_in, first_name, holds, require
from mien.evaluate.datasets.sets import DataSet, ExpressionSet, LabelledSet
from mien.evaluate.datasets.tree import Tree, open_tree

__all__ = ["RAFDB", "RAF_NAME"]

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""In the order of the labels 1 to 7."""
LABELS = "list_patition_label.txt"  # as its authors spell it
PARTS = {"train": "train", "test": "test"}
RAF_NAME = re.compile(r"(?:train|test)_\d+(?:_aligned)?\.(?:jpg|png)")
LINE = re.compile(r"((?:train|test)(?:_\S*?)?)(?:\.[^.\s]*)?\s+([1-7])")
SOURCE = (
    "whdeng.cn/RAF/model1.html (S. Li, W. Deng; on request, for non-commercial research): "
    "the basic set with its aligned images"
)
LAYOUT = """EmoLabel/list_patition_label.txt: lines as `train_00001.jpg 5`
Image/aligned/train_00001_aligned.jpg, test_0001_aligned.jpg, ...
or train/CLASS/*.jpg and test/CLASS/*.jpg (or in DATASET/); CLASS is 1 to 7, or surprise, ..."""


def read_rafdb(path: Path) -> ExpressionSet:
    """Read the list of labels.

    Raises:
        MienError: the list or images are missing, or not as they should be.
    """
    tree = open_tree(path)
    where = ending_in(tree, LABELS)
    if where is None:
        found = read_class_folders(
            path, protocol="rafdb", parts=PARTS, classes=CLASSES, numbered=True
        )
        if found is not None:
            return _of_folders(found)
        raise MienError(f"rafdb: {tree}/EmoLabel/{LABELS} is missing; obtain RAF-DB from {SOURCE}")
    stems, labels = _read_labels(tree, where)
    known = {name.rsplit("/", 1)[-1]: name for name in tree.names if "_aligned." in name}
    files = [known.get(f"{s}_aligned.jpg", f"Image/aligned/{s}_aligned.jpg") for s in stems]
    require(tree, files, protocol="rafdb", advice=f"unpack aligned.zip to Image/aligned; {SOURCE}")
    images = tree.images(files, crop="face")
    part = np.array([stem.split("_")[0] for stem in stems])
    folds = ((np.flatnonzero(part == "train"), np.flatnonzero(part == "test")),)
    task = LabelledSet(images, labels, CLASSES, folds)
    others = len(known.keys() - {file.rsplit("/", 1)[-1] for file in files})
    notes = (f"{others} aligned images are not in the list",) if others else ()
    return ExpressionSet(images, (task,), notes)


def _of_folders(found: ClassFolders) -> ExpressionSet:
    folds = ((np.flatnonzero(found.part == "train"), np.flatnonzero(found.part == "test")),)
    notes = ["the classes are those of the folders"]
    if unused := sum(found.unused.values()):
        notes.append(f"{unused} images are in no folder of a class; left out")
    labels = LabelledSet(found.images, found.labels, CLASSES, folds)
    return ExpressionSet(found.images, (labels,), tuple(notes))


def _read_labels(tree: Tree, where: str) -> tuple[list[str], np.ndarray]:
    """Return the images' names without their endings, and their classes."""
    stems, labels = [], []
    for number, line in tree.lines(where):
        match = LINE.fullmatch(line)
        if match is None:
            raise MienError(f"{tree}/{where}, line {number} is not as `train_00001.jpg 5`: {line}")
        stems.append(match[1])
        labels.append(int(match[2]) - 1)
    return stems, np.array(labels, dtype=np.int64)


def _matches(path: Path) -> bool:
    places = (LABELS, f"EmoLabel/{LABELS}", f"basic/EmoLabel/{LABELS}")
    if any(holds(path, place) for place in places):
        return True
    known = ("1", "surprise", "Surprise")
    folders = any(
        holds(path, f"{top}train/{name}", f"{top}test/{name}")
        for top in ("", "DATASET/")
        for name in known
    )
    # FER-2013 has class folders too; what tells them apart are the names of the images.
    return folders and first_name(path, RAF_NAME, depth=4) is not None


RAFDB = DataSet(
    title="Seven basic expressions on RAF-DB by frozen probes",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    read=lambda path, _: read_rafdb(path),
)
