"""CK+ (Lucey et al., 2010): acted expressions, each filmed from neutral to its peak.

Seven classes, contempt among them: the last three frames of each of the 327 labelled sequences.
Eight classes: besides, the first frame of each as neutral. Ten folds: of the people in order of
their numbers, the i-th is tested in fold i modulo 10, and nobody is on both sides of a fold.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import holds
from mien.evaluate.datasets.sets import DataSet, ExpressionSet, LabelledSet
from mien.evaluate.datasets.tree import Tree, open_tree

__all__ = ["CKPLUS"]

CLASSES = ("anger", "contempt", "disgust", "fear", "happiness", "sadness", "surprise", "neutral")
"""In the order of the labels 1 to 7; neutral, which has label 0 there and never occurs, last."""
NEUTRAL = 7
PEAK = 3
"""So many frames at a sequence's end show its expression."""
FOLDS = 10
LABEL = re.compile(r"(?:^|/)Emotion/(S\d+)/(\d+)/\1_\2_\d+_emotion\.txt$", re.IGNORECASE)
FRAME = re.compile(r"(?:^|/)cohn-kanade-images/(S\d+)/(\d+)/\1_\2_(\d+)\.png$", re.IGNORECASE)
SOURCE = (
    "jeffcohn.net/resources (J. Cohn, University of Pittsburgh; on request, for research): "
    "extended-cohn-kanade-images.zip and Emotion_labels.zip"
)
LAYOUT = """cohn-kanade-images/S005/001/S005_001_00000001.png, ...
Emotion/S005/001/S005_001_00000011_emotion.txt, ...: 1 to 7
also below extended-cohn-kanade-images/ and Emotion_labels/, as they are unpacked"""


@dataclass(frozen=True)
class _Taken:
    """Frames that are used; the first frame of a sequence and its last ones."""

    files: tuple[str, ...]
    labels: NDArray[np.int64]
    person: NDArray[np.int64]


def read_ckplus(path: Path) -> ExpressionSet:
    """Read the labelled sequences.

    Raises:
        MienError: labels or images are missing, or there is one person only.
    """
    tree = open_tree(path)
    taken = _read(tree)
    images = tree.images(taken.files)
    sets = tuple(
        LabelledSet(
            images,
            np.where(taken.labels < count, taken.labels, 0),
            CLASSES[:count],
            _folds(taken.person, np.flatnonzero(taken.labels < count)),
            groups=taken.person,
            variant=f", {count} classes",
        )
        for count in (7, 8)
    )
    people = len(np.unique(taken.person))
    note = (
        f"{people} people; the last {PEAK} frames of a sequence are its expression, in eight "
        "classes the first is neutral"
    )
    return ExpressionSet(images, sets, (note,))


def _folds(
    person: NDArray[np.int64], used: NDArray[np.int64]
) -> tuple[tuple[NDArray[np.int64], NDArray[np.int64]], ...]:
    """Return (training rows, test rows) of each fold, out of the rows that are used."""
    people, place = np.unique(person, return_inverse=True)
    count = min(FOLDS, len(people))
    if count < 2:
        raise MienError("ckplus: people are kept apart, and there is only one; copy the set again")
    fold = (place.reshape(-1) % count)[used]
    return tuple((used[fold != number], used[fold == number]) for number in range(count))


def _read(tree: Tree) -> _Taken:
    labels: dict[tuple[str, str], int] = {}
    frames: dict[tuple[str, str], dict[int, str]] = {}
    for name in tree.names:
        if match := LABEL.search(name):
            labels[match[1].upper(), match[2]] = _label(tree, name)
        elif match := FRAME.search(name):
            frames.setdefault((match[1].upper(), match[2]), {})[int(match[3])] = name
    if not labels:
        raise MienError(
            f"ckplus: {tree}/Emotion/S005/001/S005_001_00000011_emotion.txt and its like are "
            f"missing; obtain CK+ from {SOURCE}"
        )
    files, classes, people = [], [], []
    for (person, sequence), label in sorted(labels.items()):
        filmed = frames.get((person, sequence), {})
        if len(filmed) <= PEAK:
            raise MienError(
                f"ckplus: {tree}/cohn-kanade-images/{person}/{sequence} has {len(filmed)} frames "
                f"and a label; obtain the images from {SOURCE}"
            )
        order = sorted(filmed)
        for number in (order[0], *order[-PEAK:]):
            files.append(filmed[number])
            classes.append(NEUTRAL if number == order[0] else label - 1)
            people.append(int(person[1:]))
    return _Taken(tuple(files), np.array(classes), np.array(people))


def _label(tree: Tree, name: str) -> int:
    text = tree.read_text(name).strip()
    try:
        label = float(text)  # written as 3.0000000e+00
    except ValueError:
        label = 0.0
    if label not in range(1, 8):
        raise MienError(f"{tree}/{name} holds {text[:20]!r} and not 1 to 7; copy it again")
    return int(label)


def _matches(path: Path) -> bool:
    labels = holds(path, "Emotion") or holds(path, "Emotion_labels")
    nested = "extended-cohn-kanade-images/cohn-kanade-images"
    return labels and (holds(path, "cohn-kanade-images") or holds(path, nested))


CKPLUS = DataSet(
    title="Seven and eight acted expressions on CK+ by frozen probes, ten folds of people",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    read=lambda path, _: read_ckplus(path),
)
