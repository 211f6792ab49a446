"""Accuracy on FER-2013 from two tables of `mien embed`, as docs/results.md has it.

Plain logistic regressions on each code; `mien eval fer2013` is the protocol for weights of others.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from benchmarks.cross_validate import classify
from numpy.typing import NDArray

from mien.columns import FACE_CODES, FEATURES, NUMBERS
from mien.errors import MienError

__all__ = ["fer2013_scores", "labels_of"]


def labels_of(table: pd.DataFrame) -> NDArray[np.str_]:
    """Return the class of each row: the name of the image's folder. [N].

    Raises:
        MienError: the images are not in folders named after classes.
    """
    names = table["path"].str.replace("\\", "/").str.split("/").str[-2]
    if names.isna().any():
        raise MienError("images must be in folders named after their expression, as angry/1.jpg")
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

    scores = {name: accuracy(name) for name in FACE_CODES}
    scores["all codes"] = accuracy(*FACE_CODES, *NUMBERS)
    return scores | ({FEATURES: accuracy(FEATURES)} if FEATURES in train else {})


def _columns(table: pd.DataFrame, names: tuple[str, ...]) -> NDArray[np.float32]:
    """Return the columns side by side; lists become several. [N, D]."""
    parts = []
    for name in names:
        values = list(table[name])
        parts.append(np.asarray(values, dtype=np.float32).reshape(len(values), -1))
    return np.concatenate(parts, axis=1)
