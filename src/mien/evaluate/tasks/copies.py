"""Images that are in the training and in the test part of a fold, to the pixel or nearly.

An image of the test part that is in the training part, to the pixel, is left out of training: data
sets are copied by hand, and some have hundreds of these. Near copies (the same photograph cut or
compressed anew) are only counted: with z the image brought to 16 x 16 grey values, less their mean
and of length 1, two images are near where z . z' > `NEAR`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.protocol import Images
from mien.linear.folds import Fold

__all__ = ["Prints", "fingerprints", "near_copies", "without_copies"]

SIDE = 16
NEAR = 0.97
"""On FER-2013 all pairs above that were looked at show one photograph; the first two photographs
that differ were seen at 0.938."""
MAX_PAIRS = 2e9
"""With more pairs of a training and a test image near copies are not looked for."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class Prints:
    """What images are compared by."""

    content: NDArray[np.object_]
    """Equal where all pixels are. [N]."""
    small: NDArray[np.float32]
    """z, 0 where the image has one grey value only or cannot be read. [N, 256]."""


def fingerprints(images: Images) -> Prints:
    """Return what images are compared by; each is read once."""
    content = np.empty(len(images), dtype=object)
    small = np.zeros((len(images), SIDE * SIDE), dtype=np.float32)
    for row in range(len(images)):
        try:
            image = images.read(row)
        except MienError:  # it has no factors either, and is the copy of none
            content[row] = row
            continue
        content[row] = hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        tiny = cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
        apart = tiny.reshape(-1) - tiny.mean()
        small[row] = apart / max(float(np.linalg.norm(apart)), 1.0)
    return Prints(content, small)


def without_copies(
    folds: Sequence[Fold], prints: Prints
) -> tuple[tuple[Fold, ...], int, NDArray[np.bool_]]:
    """Return the folds without training rows that are also tested.

    Returns:
        The folds; how many rows were left out; which images are tested and had a copy in training,
        to the pixel [N].
    """
    kept, count, copied = [], 0, np.zeros(len(prints.content), dtype=bool)
    for train, test in folds:
        known = set(prints.content[test])
        alone = np.array([content not in known for content in prints.content[train]], dtype=bool)
        kept.append((train[alone], test))
        count += int((~alone).sum())
        seen = set(prints.content[train])
        copied[test] = [content in seen for content in prints.content[test]]
    return tuple(kept), count, copied


def near_copies(folds: Sequence[Fold], prints: Prints) -> NDArray[np.bool_] | None:
    """Return which images are tested and have a near copy in training; None of too many pairs. [N].

    Exact copies are near ones, too, where they have not been left out.
    """
    if sum(len(train) * len(test) for train, test in folds) > MAX_PAIRS:
        return None
    near = np.zeros(len(prints.small), dtype=bool)
    for train, test in folds:
        rows = prints.small[train]
        for start in range(0, len(test), _AT_ONCE):
            some = test[start : start + _AT_ONCE]
            near[some] = (prints.small[some] @ rows.T).max(axis=1, initial=0) > NEAR
    return near
