"""The pixels of Columbia Gaze's eye-region crops, row by row, beside their labels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets import columbia
from mien.evaluate.datasets.tree import Tree, open_tree
from mien.faces.eye_crop import fit_eye_crop
from mien.linear.folds import Fold, folds_of_people

__all__ = ["Columbia", "read_columbia"]


@dataclass(frozen=True)
class Columbia:
    """The labels of the images, and where the pixels are; rows are sorted by name."""

    tree: Tree
    names: tuple[str, ...]
    """Paths inside the tree, with `/`. N of them."""
    person: NDArray[np.int64]
    """Number of the person as in the name. [N]."""
    head_yaw_rad: NDArray[np.floating]
    """Head pose, + towards image-left. [N]."""
    gaze: NDArray[np.floating]
    """Unit vectors, camera frame (x right, y down, z away). [N, 3]."""

    def __len__(self) -> int:
        return len(self.names)

    def take(self, rows: NDArray[np.integer]) -> Columbia:
        """Return some rows, in the order given."""
        names = tuple(self.names[int(row)] for row in rows)
        return Columbia(
            self.tree, names, self.person[rows], self.head_yaw_rad[rows], self.gaze[rows]
        )

    def folds(self, count: int = 4) -> tuple[Fold, ...]:
        """Return (training rows, test rows) of each fold: nobody is in both.

        Raises:
            MienError: there are fewer people than folds.
        """
        people = len(np.unique(self.person))
        if people < count:
            raise MienError(f"{self.tree} shows {people} people, too few for {count} folds")
        return folds_of_people(self.person, count)

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the name and the bytes of each file in order; MienError where one is gone."""
        for name in self.names:
            yield name, self.tree.read_bytes(name)

    def images(self) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in order, grey; MienError where one is broken. Each uint8 [H, W]."""
        for name, data in self.files():
            # An empty buffer is an error to OpenCV, a broken one gives nothing.
            image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE) if data else 0
            if not isinstance(image, np.ndarray):
                raise MienError(f"{self.tree}: {name} is not an image; copy the data again")
            yield image.astype(np.uint8, copy=False)

    def eye_crops(self, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
        """Yield the images in order, grey, brought to one (height, width) by `fit_eye_crop`.

        Raises:
            MienError: as `images`; an image is no eye-region crop.
        """
        for name, image in zip(self.names, self.images(), strict=True):
            if image.shape[1] < columbia.MIN_ASPECT * image.shape[0]:
                raise MienError(
                    f"{self.tree}: {name} is no eye-region crop "
                    f"({image.shape[1]} x {image.shape[0]}); "
                    "cut out both eyes, about twice as wide as high"
                )
            yield fit_eye_crop(image, size)


def read_columbia(source: str | Path) -> Columbia:
    """Read the labels off the names of images in a folder or zip; raises as mien's reader."""
    data = columbia.read_columbia(source, eye_crops=True)
    assert data.head is not None
    return Columbia(open_tree(source), data.images.names, data.person, data.head[:, 0], data.gaze)
