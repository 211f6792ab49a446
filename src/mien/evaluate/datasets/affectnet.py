"""AffectNet (Mollahosseini et al., 2017): seven and eight expressions, valence and arousal.

Tested on the validation part, as everybody does, since the test part has never been given out. That
part has as many images of each class, training has 35 times as many happy as contemptuous ones:
at most `MAX_PER_CLASS` training images of each class are sampled by the seed, and every class
weighs the same. Labels 8 to 10 (none, uncertain, no face) are left out.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.files import ending_in, holds, listed, require
from mien.evaluate.datasets.sets import (
    DataSet,
    ExpressionSet,
    LabelledSet,
    ValenceArousalSet,
    sample_per_class,
)
from mien.evaluate.datasets.tree import Tree, open_tree, reason_of
from mien.evaluate.protocol import Images

__all__ = ["AFFECTNET"]

CLASSES = (
    *("neutral", "happiness", "sadness", "surprise"),
    *("fear", "disgust", "anger", "contempt"),
)
MAX_PER_CLASS = 7500
"""Training images of one class; LatentFace's selection keeps 3,750 to 7,500 of each, too."""
MAX_PIXELS, MAX_NPY = 1e6, 1 << 20
"""A face box beyond is none; a file of one number is smaller. Pixels; bytes."""
_SAMPLED = (0xE0, 9)
"""Stream of random numbers that training images are sampled by."""
LISTS = {"pose 30": "pose_30_affectnet_list.txt", "pose 45": "pose_45_affectnet_list.txt"}
SOURCE = "mohammadmahoor.com/affectnet (M. Mahoor; on request, for research)"
LAYOUT = """Manually_Annotated_file_lists/training.csv and validation.csv (subDirectory_filePath,
face_x, face_y, face_width, face_height, facial_landmarks, expression, valence, arousal) and
Manually_Annotated_Images/689/737db2483489148d783ef278f43f486c0a97e140fc4b6b61b84363ca.jpg, ...
or train_set/ and val_set/ with images/0.jpg and annotations/0_exp.npy, 0_val.npy, 0_aro.npy
optional: pose_30_affectnet_list.txt, pose_45_affectnet_list.txt (Wang et al., 2020)"""


@dataclass(frozen=True)
class _Row:
    file: str
    """Path in the tree."""
    train: bool
    label: int
    valence: float
    arousal: float
    box: tuple[float, float, float, float] | None
    """Left, top, right, bottom; None where the image is a face crop."""


def read_affectnet(path: Path, rng: np.random.Generator) -> ExpressionSet:
    """Read the lists or the annotation files.

    Raises:
        MienError: labels or images are missing, or not as they should be.
    """
    tree = open_tree(path)
    notes: list[str] = []
    if ending_in(tree, "validation.csv") is not None:
        rows = _from_csv(tree, notes)
    else:
        rows = _from_npy(tree, notes)
    rows = _sampled(rows, rng)
    advice = f"unpack all parts of the images; {SOURCE}"
    require(tree, [row.file for row in rows], protocol="affectnet", advice=advice)
    files = [row.file for row in rows]
    boxes = [row.box for row in rows if row.box is not None]
    images = tree.images(
        files,
        crop="box" if boxes else "face",
        boxes=np.array(boxes, dtype=np.float64) if boxes else None,
    )
    subsets = {}
    for name, ending in LISTS.items():
        found = listed(tree, ending, files)
        if found is not None:
            subsets[name] = found[0]
            if found[1]:
                notes.append(f"{found[1]} names of {ending} are not among the test images")
    return ExpressionSet(images, _label_sets(images, rows, subsets), tuple(notes))


def _label_sets(
    images: Images, rows: list[_Row], subsets: dict[str, NDArray[np.int64]]
) -> tuple[LabelledSet | ValenceArousalSet, ...]:
    """Return eight classes, seven classes, and valence and arousal where they are known."""
    labels = np.array([row.label for row in rows])
    train = np.flatnonzero([row.train for row in rows])
    test = np.flatnonzero([not row.train for row in rows])
    sets: list[LabelledSet | ValenceArousalSet] = []
    for count in (8, 7):
        inside = labels < count
        sets.append(
            LabelledSet(
                images,
                # Rows of other classes are in no fold; their labels are not looked at.
                np.where(inside, labels, 0),
                CLASSES[:count],
                ((train[inside[train]], test[inside[test]]),),
                balanced=True,
                variant=f", {count} classes",
                subsets={name: some[inside[some]] for name, some in subsets.items()},
            )
        )
    felt = np.array([(row.valence, row.arousal) for row in rows])
    known = np.abs(felt).max(axis=1) <= 1
    train, test = train[known[train]], test[known[test]]
    if len(train) and len(test):
        sets.append(ValenceArousalSet(images, ("valence", "arousal"), felt, train, test))
    return tuple(sets)


def _sampled(rows: list[_Row], rng: np.random.Generator) -> list[_Row]:
    """Return all test rows and at most `MAX_PER_CLASS` training rows of each class."""
    train = [row for row in rows if row.train]
    if not train:
        return rows
    labels = np.array([row.label for row in train])
    kept = sample_per_class(labels=labels, count=MAX_PER_CLASS, rng=rng)
    return [train[int(number)] for number in kept] + [row for row in rows if not row.train]


def _from_csv(tree: Tree, notes: list[str]) -> list[_Row]:
    """Return the rows of both lists whose class is one of the eight."""
    places = {name.lower(): name for name in tree.names if name.lower().endswith((".jpg", ".png"))}
    rows: list[_Row] = []
    unboxed = unclassed = 0
    for ending, train in (("training.csv", True), ("validation.csv", False)):
        path = ending_in(tree, ending)
        if path is None:
            raise MienError(f"affectnet: {tree} has no {ending}; obtain it from {SOURCE}")
        top = _images_folder(tree)
        lines = tree.rows(path)
        titles = next(lines, (1, []))[1]
        for number, cells in lines:
            cells += [""] * (len(titles) - len(cells))
            line = dict(zip(titles, cells, strict=False))
            row = _csv_row(line, f"{tree}/{path}, line {number}", top, train=train)
            if row is None:
                unclassed += 1
            elif row.box is None:
                unboxed += 1
            else:
                rows.append(row)
    if unclassed:
        notes.append(f"{unclassed} images of none of the eight classes are left out")
    if unboxed:
        notes.append(f"{unboxed} images without a face box are left out")
    # The lists and the folders do not always agree on .jpg and .JPG.
    return [
        _Row(places.get(r.file.lower(), r.file), r.train, r.label, r.valence, r.arousal, r.box)
        for r in rows
    ]


def _csv_row(line: dict[str, str], where: str, top: str, *, train: bool) -> _Row | None:
    """Return a row of a list; None if its class is none of the eight."""
    try:
        label = int(line["expression"])
        if not 0 <= label < len(CLASSES):
            return None
        x, y, width, height = (
            float(line[name]) for name in ("face_x", "face_y", "face_width", "face_height")
        )
        felt = float(line["valence"]), float(line["arousal"])
        file = top + line["subDirectory_filePath"].strip().replace("\\", "/")
    except KeyError as error:
        raise MienError(f"{where}: the column {error} is missing; copy the list again") from error
    except (TypeError, ValueError) as error:
        raise MienError(f"{where} is not a row of AffectNet: {error}") from error
    side, middle_x, middle_y = max(width, height), x + width / 2, y + height / 2
    ends = (middle_x - side / 2, middle_x + side / 2), (middle_y - side / 2, middle_y + side / 2)
    box = (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
    known = min(width, height) > 0 and max(map(abs, box)) <= MAX_PIXELS
    return _Row(file, train, label, *felt, box if known else None)


def _images_folder(tree: Tree) -> str:
    """Return the path to Manually_Annotated_Images, with a / at its end."""
    for name in tree.names:
        before, folder, _ = name.partition("Manually_Annotated_Images/")
        if folder:
            return before + folder
    raise MienError(f"affectnet: {tree}/Manually_Annotated_Images is missing; {SOURCE}")


def _from_npy(tree: Tree, notes: list[str]) -> list[_Row]:
    """Return the images of train_set and val_set."""
    rows, unfelt, unclassed = [], 0, 0
    for folder, train in (("train_set", True), ("val_set", False)):
        labels = [n for n in tree.names if f"{folder}/annotations/" in n and n.endswith("_exp.npy")]
        if not labels:
            raise MienError(
                f"affectnet: {tree} has neither validation.csv nor {folder}/annotations/0_exp.npy; "
                f"obtain AffectNet from {SOURCE}"
            )
        for name in labels:
            label = _number(tree, name)
            if not label.is_integer():
                raise tree.error(name, f" holds {label}, which is no class")
            stem = name.removesuffix("_exp.npy")
            felt = [
                _number(tree, f"{stem}_{kind}.npy") if tree.has(f"{stem}_{kind}.npy") else -2.0
                for kind in ("val", "aro")
            ]
            unfelt += not max(map(abs, felt)) <= 1
            if 0 <= label < len(CLASSES):
                file = stem.replace(f"{folder}/annotations/", f"{folder}/images/") + ".jpg"
                rows.append(_Row(file, train, int(label), felt[0], felt[1], None))
            else:
                unclassed += 1
    if unclassed:
        notes.append(f"{unclassed} images of none of the eight classes are left out")
    if unfelt:
        notes.append(f"{unfelt} images have no valence and arousal")
    return rows


def _number(tree: Tree, name: str) -> float:
    """Return the one number in a file of numpy, which may be written as text."""
    data = io.BytesIO(tree.read_bytes(name, most=MAX_NPY))
    try:
        # The header is looked at first: an array may claim any size.
        version = np.lib.format.read_magic(data)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else None
        shape = (read or np.lib.format.read_array_header_2_0)(data)[0]
        if math.prod(shape) != 1:
            raise ValueError(f"it is of shape {shape}")
        data.seek(0)
        value: NDArray[np.generic] = np.load(data, allow_pickle=False)
        return float(str(value.reshape(-1)[0]))
    except Exception as error:  # NumPy has many kinds for what is wrong with a header
        raise MienError(
            f"{tree}/{name} is not one number: {reason_of(error)}; copy it again"
        ) from error


def _matches(path: Path) -> bool:
    lists = ("Manually_Annotated_file_lists/validation.csv", "validation.csv")
    if any(holds(path, name, "Manually_Annotated_Images") for name in lists):
        return True
    return holds(path, "train_set/annotations", "val_set/annotations")


AFFECTNET = DataSet(
    title="Seven and eight expressions, valence and arousal on AffectNet by frozen probes",
    layout=LAYOUT,
    source=SOURCE,
    matches=_matches,
    read=lambda path, context: read_affectnet(path, context.rng(*_SAMPLED)),
)
