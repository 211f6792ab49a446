"""FER+ (Barsoum et al., 2016): FER-2013's images, told anew by ten people each; eight classes.

An image's class is that of the majority, as in the paper: classes with a single vote are struck
out, and the most frequent must then have more than half of the votes that are left; otherwise, or
if the majority is for unknown or for no face, the image is left out. Trained on Training, tested
on PrivateTest; PublicTest is not used.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np

from mien.errors import MienError
from mien.evaluate.datasets.fer_csv import CSV_NAMES, read_fer_csv
from mien.evaluate.datasets.files import Tree, holds, open_tree
from mien.evaluate.datasets.locate import ending_in, listed, require
from mien.evaluate.datasets.twins import without_twins
from mien.evaluate.protocol import EvalContext, Images, Protocol, Result
from mien.evaluate.tasks.classification import measure
from mien.evaluate.tasks.labelled import Task, describe

__all__ = ["FERPLUS", "majority"]

CLASSES = (
    "neutral",
    "happiness",
    "surprise",
    "sadness",
    "anger",
    "disgust",
    "fear",
    "contempt",
)
FOLDERS = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
LISTS = {"pose 30": "pose_30_ferplus_list.txt", "pose 45": "pose_45_ferplus_list.txt"}
SOURCE = (
    "labels: github.com/microsoft/FERPlus (fer2013new.csv, MIT); images: the Kaggle competition "
    "`challenges-in-representation-learning-facial-expression-recognition-challenge`"
)
LAYOUT = """fer2013new.csv, with fer2013.csv (or icml_face_data.csv) of FER-2013 beside it
or with the images made of it: FER2013Train/fer0000000.png, FER2013Test/fer0032220.png, ...
optional: pose_30_ferplus_list.txt, pose_45_ferplus_list.txt (Wang et al., 2020)"""


def majority(votes: Sequence[int]) -> int | None:
    """Return the place of the class that the majority has voted for; None without one.

    Args:
        votes: for the eight classes, unknown and no face. [10].
    """
    kept = [count if count > 1 else 0 for count in votes]
    most = max(kept)
    place = kept.index(most)
    return place if 2 * most > sum(kept) and place < len(CLASSES) else None


def _run(path: Path, context: EvalContext) -> Result:
    tree = open_tree(path)
    votes = _read_votes(tree)
    images = _images(tree, [(name, usage) for _, name, usage, _ in votes], votes)
    labels = np.array([label for *_, label in votes])
    usage = np.array([part for _, _, part, _ in votes])
    train, test = np.flatnonzero(usage == "Training"), np.flatnonzero(usage == "PrivateTest")
    notes = ["majority votes; PublicTest is not used"]
    train, twins = without_twins(images, train, test)
    notes.append(f"{twins} training images are also in the test part, to the pixel; left out")
    subsets = {}
    for name, ending in LISTS.items():
        found = listed(tree, ending, images.names)
        if found is not None:
            subsets[name] = found[0]
    task = Task(images, labels, CLASSES, ((train, test),))
    result = measure(task, describe(images, context), context, subsets=subsets)
    return replace(result, notes=(*notes, *result.notes))


def _read_votes(tree: Tree) -> list[tuple[int, str, str, int]]:
    """Return row in the file, image's name, part and class of images that are used."""
    path = ending_in(tree, "fer2013new.csv")
    if path is None:
        raise MienError(f"ferplus: {tree}/fer2013new.csv is missing; obtain it from {SOURCE}")
    rows = list(csv.reader(io.StringIO(tree.read_text(path))))[1:]
    found = []
    for number, row in enumerate(rows):
        try:
            usage, name, counts = row[0].strip(), row[1].strip(), [int(vote) for vote in row[2:12]]
        except (IndexError, ValueError) as error:
            raise MienError(
                f"{tree}/{path}, line {number + 2} is not a row of FER+: {error}"
            ) from error
        if len(counts) != 10 or usage not in FOLDERS:
            raise MienError(f"{tree}/{path}, line {number + 2} is not a row of FER+: {row}")
        label = majority(counts)
        # Images without a name are those without a face.
        if name and label is not None and usage != "PublicTest":
            found.append((number, name, usage, label))
    return found


def _images(
    tree: Tree, named: list[tuple[str, str]], votes: list[tuple[int, str, str, int]]
) -> Images:
    """Return the images, from the csv of FER-2013 or from the files made of it."""
    names = tuple(f"{FOLDERS[usage]}/{name}" for name, usage in named)
    pixels = next((name for name in CSV_NAMES if ending_in(tree, name)), None)
    if pixels is not None:
        data = read_fer_csv(tree, str(ending_in(tree, pixels)))
        rows = [row for row, *_ in votes]
        if rows and rows[-1] >= len(data.emotion):
            raise MienError(
                f"ferplus: {tree}/{pixels} has {len(data.emotion)} rows and fer2013new.csv more; "
                "give the whole file"
            )
        return Images(names, lambda i: data.image(rows[i]), crop="face")
    where = {"/".join(PurePosixPath(name).parts[-2:]): name for name in tree.names}
    files = [where.get(name, name) for name in names]
    advice = f"put fer2013.csv beside fer2013new.csv; {SOURCE}"
    require(tree, files, protocol="ferplus", advice=advice)
    return Images(names, lambda i: tree.image(files[i]), crop="face")


def _matches(path: Path) -> bool:
    return holds(path, "fer2013new.csv")


FERPLUS = Protocol(
    name="ferplus",
    factor="expression",
    title="Eight expressions on FER+ (majority votes) by frozen probes",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    run=_run,
)
