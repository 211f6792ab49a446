"""What is asked of expression: images with a class each, and which of them teach and which test.

Also the sets of factors that are asked, and what is done about images without a face: they are
left out of training, and in testing they are given the class that is the most frequent in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.columns import FACE_CODES as CODES, NUMBERS as POSE_AND_LIGHT
from mien.errors import MienError
from mien.evaluate.protocol import EvalContext, FactorColumns, Images

__all__ = [
    "CODES",
    "COLUMNS",
    "FEATURES",
    "MAIN",
    "POSE_AND_LIGHT",
    "SETS",
    "Predicted",
    "Task",
    "codes_of",
    "describe",
    "known_sets",
    "over_folds",
    "stream",
]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

SETS = {
    "expression": ("expression",),
    "both codes": ("texture_code", "shape_code"),
    "all codes": (*CODES, *POSE_AND_LIGHT),
    "features": ("features",),
}
"""Name of a set of factors => columns. The last are no factors: what the encoder saw before it
became codes."""
MAIN = "all codes"
"""The set whose scores are the main ones, as in the papers."""
FEATURES = "features"
"""The set whose linear scores stand beside them: the most that a frozen encoder tells."""
COLUMNS = (*SETS[MAIN], *SETS[FEATURES])


@dataclass(frozen=True)
class Task:
    """Labelled images, and the folds in which they teach and test."""

    images: Images
    labels: NDArray[np.int64]
    """Places in `classes`. [N]."""
    classes: tuple[str, ...]
    folds: tuple[tuple[Rows, Rows], ...]
    """Training rows and test rows; one pair where the split is fixed. No row is tested twice."""
    groups: NDArray[np.int64] | None = None
    """Of whom or of which clip an image is; kept together wherever rows are drawn. [N]."""
    balanced: bool = False
    """Whether every class weighs the same in training, whatever the number of its images."""

    def __post_init__(self) -> None:
        """Refuse what cannot be learned."""
        for train, test in self.folds:
            if not len(train) or not len(test):
                raise MienError(
                    f"there are {len(train)} images to learn from and {len(test)} to test on; "
                    "the data set is not complete: copy it again"
                )
            if len(np.unique(self.labels[train])) < 2:
                raise MienError("the training images show one class only; copy the set again")

    @property
    def tested(self) -> Rows:
        """The rows that are tested, fold after fold. [M]."""
        return np.concatenate([test for _, test in self.folds])


@dataclass(frozen=True)
class Predicted:
    """What was said of the tested rows, in the order of `Task.tested`."""

    label: NDArray[np.int64]
    """Places in the classes. [M]."""
    probability: NDArray[np.float64]
    """Of each class; NaN where there is no face. [M, C]."""


def describe(images: Images, context: EvalContext) -> FactorColumns:
    """Return all columns that the protocols of expression use.

    Raises:
        MienError: as the context's `describe`; or no image has a face.
    """
    context.say(f"{len(images)} images")
    described = context.describe(images, COLUMNS)
    if not described.found.any():
        raise MienError("no image has a face; are these the right images?")
    return described


def known_sets(described: FactorColumns) -> tuple[str, ...]:
    """Return the sets worth asking.

    Not every table has features, and a method that has but one description of a face is asked once.
    """
    faces = described.found
    main = described.joined(*SETS[MAIN])

    def worthwhile(name: str) -> bool:
        values = described.joined(*SETS[name])
        known = bool(np.isfinite(values[faces]).all(axis=0).any())
        return known if name == FEATURES else not np.array_equal(values, main, equal_nan=True)

    return tuple(name for name in SETS if name == MAIN or worthwhile(name))


def codes_of(described: FactorColumns, name: str) -> NDArray[np.float32]:
    """Return a set of factors as one array, without what is never known. [N, D].

    Args:
        described: by `describe`.
        name: one of `SETS`.

    Raises:
        MienError: no column of the set is known.
    """
    codes = np.asarray(described.joined(*SETS[name]), dtype=np.float32)
    # Other methods have no pose or light: those columns are NaN throughout.
    known = np.isfinite(codes[described.found]).all(axis=0)
    if not known.any():
        raise MienError(f"none of {', '.join(SETS[name])} is known of the images")
    return codes[:, known]


def stream(context: EvalContext, *numbers: int) -> np.random.Generator:
    """Return a generator of expression's own, another for every stream of numbers."""
    return context.rng(0xE0, *numbers)


def over_folds(
    task: Task,
    found: NDArray[np.bool_],
    predict: Callable[[Rows, Rows, int], NDArray[np.floating]],
) -> Predicted:
    """Return what is predicted of all test rows, each by a fold that has not seen it.

    Args:
        task: with its folds.
        found: whether an image has a face. [N].
        predict: training rows, test rows (all with faces) and the fold's number => probabilities
            of the classes, [test rows, C].
    """
    labels, chances = [], []
    for number, (train, test) in enumerate(task.folds):
        seen, asked = train[found[train]], test[found[test]]
        if not len(seen):
            raise MienError("no training image has a face; are these the right images?")
        usual = int(np.bincount(task.labels[seen]).argmax())
        label = np.full(len(test), usual, dtype=np.int64)
        chance = np.full((len(test), len(task.classes)), np.nan)
        if len(asked):
            chance[found[test]] = predict(seen, asked, number)
            label[found[test]] = chance[found[test]].argmax(axis=1)
        labels.append(label)
        chances.append(chance)
    return Predicted(np.concatenate(labels), np.concatenate(chances))
