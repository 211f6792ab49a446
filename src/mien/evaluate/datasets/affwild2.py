"""Aff-Wild2 (Kollias and Zafeiriou, 2019; the ABAW challenges): every frame of videos is labelled.

Three protocols on one folder: expressions, valence and arousal, action units. Line i of a video's
annotations, after the header, is frame i; `cropped_aligned/VIDEO/00001.jpg` is frame 1. Frames that
the annotators gave up (-1; of valence and arousal, -5) are left out, and so are those that have no
image, because no face was found by who made the images. Trained on every tenth frame of the
training videos, tested on all frames of the validation videos: the challenges' test labels have
never been given out. Videos are kept together wherever frames are sampled.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import numbers
from mien.evaluate.datasets.sets import (
    ActionUnitSet,
    DataSet,
    ExpressionSet,
    LabelledSet,
    ValenceArousalSet,
)
from mien.evaluate.datasets.tree import Tree, open_tree
from mien.evaluate.protocol import Images

__all__ = ["AFFWILD2_EXPRESSION", "AFFWILD2_UNITS", "AFFWILD2_VA"]

STEP = 10
"""One training frame out of so many: its neighbours, a thirtieth of a second away, look alike."""
SOURCE = (
    "ibug.doc.ic.ac.uk/resources/aff-wild2 (D. Kollias, S. Zafeiriou; on request, for research)"
)
IMAGE = re.compile(
    r"(?:^|/)(?:cropped_aligned[^/]*|batch\d)/(?:.*/)?([^/]+)/(\d+)\.jpe?g$", re.IGNORECASE
)
"""The second batch is in a folder of its own, cropped_aligned_new_50_vids."""
FALLBACK = (0.05, 0.13, 0.95, 1.03)
"""The square that is taken where no face is found, as fractions of width and height. The images are
faces brought to a square of 112 pixels by their eyes, nose and mouth; where to is not published.
This is the square for eyes 0.315 of the width apart, at 0.461, and mouth at 0.824 from the top,
which is usual at that size."""


@dataclass(frozen=True)
class _Frames:
    """Labelled frames that have an image."""

    images: Images
    header: tuple[str, ...]
    """Names in the first line of the annotations."""
    values: NDArray[np.float64]
    """As annotated. [N, K]."""
    clip: NDArray[np.int64]
    """Which video it is of. [N]."""
    train: NDArray[np.int64]
    test: NDArray[np.int64]
    notes: tuple[str, ...]


def read_expressions(path: Path) -> ExpressionSet:
    """Read the eight classes.

    Raises:
        MienError: annotations or images are missing, or not as they should be.
    """
    data = _read(path, "EXPR", "affwild2-expression")
    labels = data.values[:, 0].astype(np.int64)
    classes = tuple(name.lower() for name in data.header)
    if (labels != data.values[:, 0]).any() or labels.max() >= len(classes):
        raise MienError(f"affwild2-expression: there are labels beyond the {len(classes)} classes")
    labelled = LabelledSet(
        data.images,
        labels,
        classes,
        ((data.train, data.test),),
        groups=data.clip,
        balanced=True,
        main=("macro-F1", "accuracy"),
    )
    return ExpressionSet(data.images, (labelled,), data.notes)


def read_valence_arousal(path: Path) -> ExpressionSet:
    """Read valence and arousal; raises as `read_expressions`."""
    data = _read(path, "VA", "affwild2-va")
    labelled = ValenceArousalSet(
        data.images, data.header, data.values, data.train, data.test, groups=data.clip
    )
    return ExpressionSet(data.images, (labelled,), data.notes)


def read_units(path: Path) -> ExpressionSet:
    """Read the action units; raises as `read_expressions`."""
    data = _read(path, "AU", "affwild2-units")
    seen = (data.values > 0).astype(np.int64)
    labelled = ActionUnitSet(
        data.images, data.header, seen, data.train, data.test, groups=data.clip
    )
    return ExpressionSet(data.images, (labelled,), data.notes)


def _read(path: Path, kind: str, protocol: str) -> _Frames:
    """Return the frames of one kind of annotations, EXPR, VA or AU."""
    tree = open_tree(path)
    annotated = _annotations(tree, kind, protocol)
    imaged = _images_by_video(tree, {video for _, video in annotated}, protocol)
    header: tuple[str, ...] = ()
    files: list[str] = []
    values, clips, training = [], [], []
    unseen = given_up = 0
    for clip, ((train, video), name) in enumerate(annotated.items()):
        names, table = _read_table(tree, name)
        if header and names != header:
            raise MienError(
                f"{tree}/{name} begins otherwise than the other annotations; mixed sets?"
            )
        header = names
        good = (np.abs(table) <= 1).all(axis=1) if kind == "VA" else (table >= 0).all(axis=1)
        given_up += int((~good).sum())
        frames = imaged.get(video, {})
        rows = [int(row) for row in np.flatnonzero(good) if int(row) + 1 in frames]
        unseen += int(good.sum()) - len(rows)
        rows = rows[::STEP] if train else rows
        files += [frames[row + 1] for row in rows]
        values.append(table[rows])
        clips += [clip] * len(rows)
        training += [train] * len(rows)
    if not files:
        raise MienError(f"{protocol}: no annotated frame has an image in {tree}/cropped_aligned")
    part = np.array(training)
    images = tree.images(files, fallback=FALLBACK)
    notes = (
        f"{len(annotated)} videos; one training frame out of {STEP}, all test frames",
        f"{given_up} frames without a label and {unseen} labelled ones without an image left out",
    )
    return _Frames(
        images,
        header,
        np.concatenate(values),
        np.array(clips),
        np.flatnonzero(part),
        np.flatnonzero(~part),
        notes,
    )


def _annotations(tree: Tree, kind: str, protocol: str) -> dict[tuple[bool, str], str]:
    """Return (whether it is for training, video) => path of its annotations."""
    pattern = re.compile(
        rf"(?:^|/)({kind}_[^/]+)/(Train|Training|Validation)_Set/([^/]+)\.txt$", re.IGNORECASE
    )
    found: dict[tuple[bool, str], str] = {}
    for name in tree.names:
        match = pattern.search(name)
        if match:
            key = (match[2].lower() != "validation", match[3])
            if key in found:
                raise MienError(
                    f"{tree} has {found[key]} and {name}: leave one set of labels there"
                )
            found[key] = name
    for train, folder in ((True, "Train_Set"), (False, "Validation_Set")):
        if not any(key[0] == train for key in found):
            raise MienError(
                f"{protocol}: {tree} has no annotations/{kind}_Set/{folder}/VIDEO.txt (or "
                f"{kind}_..._Challenge/{folder}); obtain Aff-Wild2 from {SOURCE}"
            )
    return found


def _images_by_video(tree: Tree, videos: set[str], protocol: str) -> dict[str, dict[int, str]]:
    """Return video => number of the frame => path of its image."""
    found: dict[str, dict[int, str]] = {}
    for name in tree.names:
        match = IMAGE.search(name)
        if match and match[1] in videos:
            found.setdefault(match[1], {})[int(match[2])] = name
    missing = sorted(videos - set(found))
    if missing:
        raise MienError(
            f"{protocol}: {len(missing)} annotated videos have no images below "
            f"{tree}/cropped_aligned, first {missing[0]}; obtain them from {SOURCE}"
        )
    return found


def _read_table(tree: Tree, name: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return the names in the first line, and a row a frame."""
    lines = list(tree.lines(name))
    header = tuple(word.strip() for word in lines[0][1].split(",")) if lines else ()
    values = [numbers(tree, name, line.split(","), number) for number, line in lines[1:]]
    if not values or any(len(row) != len(values[0]) for row in values):
        raise tree.error(name, " has no labels, or not as many in each line")
    return header, np.stack(values)


def _matches(kind: str, path: Path) -> bool:
    try:
        tops = _below(path)
        places = [*tops, *(place for top in tops for place in _below(top))]
        # As annotations/EXPR_Set, or 6th ABAW Annotations/EXPR_..._Challenge.
        listed = [place for place in places if place.name.upper().startswith(f"{kind}_")]
        imaged = any(
            place.name.lower().startswith(("cropped_aligned", "batch")) for place in places
        )
        return imaged and any((place / "Validation_Set").is_dir() for place in listed)
    except OSError:
        return False


def _below(folder: Path) -> list[Path]:
    if folder.name.lower().startswith("cropped_aligned"):
        return []  # thousands of videos
    return [place for place in folder.iterdir() if place.is_dir()]


def _layout(kind: str, line: str) -> str:
    return f"""annotations/{kind}_Set/Train_Set/VIDEO.txt and Validation_Set/VIDEO.txt, or the
folders of later challenges, as "6th ABAW Annotations/{kind}_..._Challenge/Train_Set": first line
`{line}`, then a line a frame
cropped_aligned/VIDEO/00001.jpg, ..., and cropped_aligned_new_50_vids/ of the second batch"""


AFFWILD2_EXPRESSION = DataSet(
    title="Expressions in the videos of Aff-Wild2 by frozen probes",
    layout=_layout("EXPR", "Neutral,Anger,Disgust,Fear,Happiness,Sadness,Surprise,Other"),
    source=SOURCE,
    matches=lambda path: _matches("EXPR", path),
    read=lambda path, _: read_expressions(path),
)
AFFWILD2_VA = DataSet(
    title="Valence and arousal in the videos of Aff-Wild2 by a frozen linear probe",
    layout=_layout("VA", "valence,arousal"),
    source=SOURCE,
    matches=lambda path: _matches("VA", path),
    read=lambda path, _: read_valence_arousal(path),
)
AFFWILD2_UNITS = DataSet(
    title="Twelve action units in the videos of Aff-Wild2 by frozen linear probes",
    layout=_layout("AU", "AU1,AU2,AU4,AU6,AU7,AU10,AU12,AU15,AU23,AU24,AU25,AU26"),
    source=SOURCE,
    matches=lambda path: _matches("AU", path),
    read=lambda path, _: read_units(path),
)
