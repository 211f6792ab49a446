"""What the tasks of expression share: the sets of factors that are probed, and their folds.

Images without a face are left out of training; in testing they are given the class that is the most
frequent in training.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.columns import FACE_CODES, NUMBERS
from mien.errors import MienError
from mien.evaluate.datasets.sets import LabelledSet
from mien.evaluate.protocol import EvalContext, FactorColumns, Table
from mien.evaluate.scores import yaw_table
from mien.linear.folds import over_folds

__all__ = [
    "COLUMNS",
    "FEATURES",
    "MAIN",
    "Predicted",
    "codes_of",
    "known_sets",
    "predict_over_folds",
    "stream",
    "yaw_tables",
]

Array = NDArray[np.floating]
Rows = NDArray[np.int64]

SETS = {
    "expression": ("expression",),
    "both codes": ("texture_code", "shape_code"),
    "all codes": (*FACE_CODES, *NUMBERS),
    "features": ("features",),
}
"""Name of a set of factors => columns. The last are no factors: the encoders' features, of which
codes are made."""
MAIN = "all codes"
"""The set whose scores are the main ones, as in the papers."""
FEATURES = "features"
"""The set whose linear scores are main ones, too: the most that a frozen encoder holds."""
COLUMNS = (*SETS[MAIN], *SETS[FEATURES])


@dataclass(frozen=True)
class Predicted:
    """The predictions for the tested rows, in the order of `LabelledSet.tested`."""

    label: NDArray[np.int64]
    """Places in the classes. [M]."""
    probability: NDArray[np.float64]
    """Of each class; NaN where there is no face. [M, C]."""


def known_sets(described: FactorColumns) -> tuple[str, ...]:
    """Return the sets worth probing.

    Not every table has features, and a method with one description of a face is probed once.
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
        described: the `COLUMNS` of images.
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


def yaw_tables(
    described: FactorColumns,
    rows: Rows,
    values: dict[str, NDArray[np.floating]],
    label: str = "",
    title: str = f"By predicted head yaw; linear, {MAIN}",
) -> tuple[Table, ...]:
    """Return the table of tested rows by head yaw; none where no yaw is known.

    Args:
        described: by the context, with `yaw_rad`.
        rows: the tested ones. [M].
        values: by name, in the unit that is to be shown. Each [M].
        label: ends the title, as ", 7 classes".
        title: of the table.
    """
    yaw = described["yaw_rad"][rows]
    if not np.isfinite(yaw).any():
        return ()
    return (yaw_table(title=f"{title}{label}", yaw_rad=yaw, values=values),)


def stream(context: EvalContext, *numbers: int) -> np.random.Generator:
    """Return a generator for the tasks of expression, another for every stream of numbers."""
    return context.rng(0xE0, *numbers)


def predict_over_folds(
    task: LabelledSet,
    found: NDArray[np.bool_],
    predict: Callable[[Rows, Rows, int], NDArray[np.floating]],
) -> Predicted:
    """Return the predictions for all test rows, each by a fold that has not seen it.

    Args:
        task: with its folds.
        found: whether an image has a face. [N].
        predict: training rows, test rows (all with faces) and the fold's number => probabilities
            of the classes, [test rows, C].
    """
    labels = np.zeros(len(task.labels), dtype=np.int64)

    def of_fold(train: Rows, test: Rows, number: int) -> NDArray[np.float64]:
        seen, asked = train[found[train]], test[found[test]]
        if not len(seen):
            raise MienError("no training image has a face; are these the right images?")
        usual = int(np.bincount(task.labels[seen]).argmax())
        labels[test] = usual
        chance = np.full((len(test), len(task.classes)), np.nan)
        if len(asked):
            chance[found[test]] = predict(seen, asked, number)
            labels[asked] = chance[found[test]].argmax(axis=1)
        return chance

    chances = over_folds(task.folds, of_fold, count=len(labels))
    return Predicted(labels[task.tested], chances[task.tested])
