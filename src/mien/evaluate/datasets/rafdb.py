"""RAF-DB, basic expressions (Li et al., 2017): seven classes, aligned images of 100 x 100."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree, ending_in, holds, open_tree, require
from mien.evaluate.datasets.sets import DataSet, ExpressionSet, LabelledSet

__all__ = ["RAFDB"]

CLASSES = ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral")
"""In the order of the labels 1 to 7."""
LABELS = "list_patition_label.txt"  # as its authors spell it
LINE = re.compile(r"((?:train|test)(?:_\S*?)?)(?:\.[^.\s]*)?\s+([1-7])")
SOURCE = (
    "whdeng.cn/RAF/model1.html (S. Li, W. Deng; on request, for non-commercial research): "
    "the basic set with its aligned images"
)
LAYOUT = """EmoLabel/list_patition_label.txt: lines as `train_00001.jpg 5`
Image/aligned/train_00001_aligned.jpg, test_0001_aligned.jpg, ..."""


def read_rafdb(path: Path) -> ExpressionSet:
    """Read the list of labels.

    Raises:
        MienError: the list or images are missing, or not as they should be.
    """
    tree = open_tree(path)
    where = ending_in(tree, LABELS)
    if where is None:
        raise MienError(f"rafdb: {tree}/EmoLabel/{LABELS} is missing; obtain RAF-DB from {SOURCE}")
    stems, labels = _read_labels(tree, where)
    known = {name.rsplit("/", 1)[-1]: name for name in tree.names if "_aligned." in name}
    files = [known.get(f"{s}_aligned.jpg", f"Image/aligned/{s}_aligned.jpg") for s in stems]
    require(tree, files, protocol="rafdb", advice=f"unpack aligned.zip to Image/aligned; {SOURCE}")
    images = tree.images(files, crop="face")
    part = np.array([stem.split("_")[0] for stem in stems])
    folds = ((np.flatnonzero(part == "train"), np.flatnonzero(part == "test")),)
    return ExpressionSet(images, (LabelledSet(images, labels, CLASSES, folds),))


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
    return any(holds(path, place) for place in places)


RAFDB = DataSet(
    title="Seven basic expressions on RAF-DB by frozen probes",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    read=lambda path, _: read_rafdb(path),
)
