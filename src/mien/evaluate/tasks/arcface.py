"""Identity by a published face recogniser: an ArcFace network that the user provides.

The file is run by OpenCV. It takes RGB faces of 112 x 112 pixels, aligned by five points, as
(value − 127.5) / 127.5.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.synthetic_frontal import FrontalPair
from mien.evaluate.protocol import Score, Table
from mien.evaluate.scores import mean_score
from mien.media.names import to_text

__all__ = ["ArcFace", "identity_scores"]

Array = NDArray[np.floating]

SIDE = 112
POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where eyes, nose tip and mouth corners are in an aligned face, pixels: those of the public
ArcFace networks (insightface)."""


class ArcFace:
    """A network that gives codes of aligned faces."""

    def __init__(self, path: Path) -> None:
        """Open an ONNX file. MienError: OpenCV cannot read it."""
        self._path = path
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise MienError(
                f"{to_text(path)} is no ONNX file that OpenCV can read; "
                "give an ArcFace network exported to ONNX, or take the file away"
            ) from error

    def codes(self, faces: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return codes of length 1. [N, D].

        Args:
            faces: aligned, RGB [112, 112, 3] each.

        Raises:
            MienError: the network does not take such images.
        """
        found = []
        for face in faces:
            blob = cv2.dnn.blobFromImage(face, 1 / 127.5, (SIDE, SIDE), (127.5, 127.5, 127.5))
            try:
                self._net.setInput(blob)
                found.append(np.asarray(self._net.forward(), np.float64).reshape(-1))
            except cv2.error as error:
                raise MienError(
                    f"{to_text(self._path)} does not take RGB faces of {SIDE} x {SIDE} pixels; "
                    "it is no ArcFace network"
                ) from error
        codes = np.stack(found)
        return codes / np.linalg.norm(codes, axis=1, keepdims=True).clip(1e-12)


def aligned(image: NDArray[np.uint8], marks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a face brought to the five points by rotation, scale and shift. RGB [112, 112, 3].

    Args:
        image: RGB [H, W, 3].
        marks: eye left of the image, eye right of it, nose tip, mouth corners, pixels. [5, 2].
    """
    # u = a x − b y + c, v = b x + a y + d: least squares for a, b, c, d.
    x, y = np.asarray(marks, np.float64).T
    one, zero = np.ones(len(marks)), np.zeros(len(marks))
    system = np.concatenate(
        [np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)]
    )
    a, b, c, d = np.linalg.lstsq(system, POINTS.T.reshape(-1), rcond=None)[0]
    matrix = np.array([[a, -b, c], [b, a, d]])
    found = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)


def identity_scores(
    pairs: Sequence[FrontalPair],
    made: Sequence[NDArray[np.uint8]],
    arcface: ArcFace,
    rng: np.random.Generator,
) -> tuple[list[Score], Table]:
    """Return cosine distances (1 − cos) from frontal views to rotated images.

    Each view is compared with the rotated images of its person other than the one that it was
    made of and, apart, with those of the next person.

    Args:
        pairs: of at least two people with two images each, else distances are NaN.
        made: the frontal view of each, RGB [S, S, 3].
        arcface: gives the codes.
        rng: of the intervals.
    """
    person = np.array([pair.person for pair in pairs])
    rotated = arcface.codes([aligned(pair.rotated, pair.rotated_marks) for pair in pairs])
    codes = {
        "made of the rotated image": arcface.codes(
            [_aligned_as_truth(view, pair) for view, pair in zip(made, pairs, strict=True)]
        ),
        "true frontal image": arcface.codes(
            [aligned(pair.frontal, pair.frontal_marks) for pair in pairs]
        ),
        "rotated image itself": rotated,
    }
    rows, scores = [], []
    for name, code in codes.items():
        own, other = _distances(code, rotated, person)
        rows.append((name, _mean(own), _mean(other)))
        if name.startswith("made"):
            score = partial(mean_score, groups=person, rng=rng, unit="")
            scores = [
                score("ArcFace distance to the person's other images", own, main=True),
                score("ArcFace distance to another person", other, higher_is_better=True),
            ]
    title = "ArcFace distance, 1 - cos, to rotated images"
    return scores, Table(title, ("view", "the person's others", "another person's"), tuple(rows))


def _mean(values: Array) -> float | None:
    known = values[np.isfinite(values)]
    return round(float(known.mean()), 4) if len(known) else None


def _distances(codes: Array, rotated: Array, person: NDArray[np.int64]) -> tuple[Array, Array]:
    """Return mean distances to the person's other rotated images and to the next one's. [N]."""
    away = 1 - codes @ rotated.T
    people = np.unique(person)
    following = people[(np.searchsorted(people, person) + 1) % len(people)]
    mine = (person[:, None] == person) & ~np.eye(len(person), dtype=bool)
    theirs = (person == following[:, None]) & (person != person[:, None])
    return _mean_of(away, mine), _mean_of(away, theirs)


def _mean_of(values: Array, mask: NDArray[np.bool_]) -> Array:
    """Return the mean of each row inside the mask; NaN where that is empty. [N]."""
    count = mask.sum(axis=1)
    return np.where(count > 0, (values * mask).sum(axis=1) / count.clip(1), np.nan)


def _aligned_as_truth(made: NDArray[np.uint8], pair: FrontalPair) -> NDArray[np.uint8]:
    """Return the view aligned by the true frontal image's points: it is at the same place."""
    side, true_side = len(made), len(pair.frontal)
    # Pixel centres at integers: the centre of the corner pixel moves by half a pixel each.
    marks = (pair.frontal_marks + 0.5) * (side / true_side) - 0.5
    return aligned(np.ascontiguousarray(made), marks)
