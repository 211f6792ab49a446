"""The five factors' codes of images, as the probes take them, and what they say by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mien.columns import FACE_CODES as CODES, LIGHT, LIGHT_DIRECTION, POSE as ANGLES
from mien.errors import MienError
from mien.evaluate.protocol import FactorColumns, GetFactors, Images
from mien.linear.cross_person import folds
from mien.linear.metrics import draw_pairs

__all__ = ["ANGLES", "LIGHTS", "Similarity", "codes_of", "describe_faces", "person_similarity"]

Array = NDArray[np.floating]

LIGHTS = (*LIGHT_DIRECTION, *LIGHT[:2])
PAIRS = 2000
"""Of each kind, in each fold."""


@dataclass(frozen=True)
class Similarity:
    """Pairs of images and how alike they are said to be."""

    values: Array
    """Cosine, -1 where a face is missing. [P]."""
    same: NDArray[np.bool_]
    """Whether a pair is one person. [P]."""
    person: NDArray[np.int64]
    """Who the first image is. [P]."""

    def auc(self, rows: NDArray[np.int64] | None = None) -> float:
        """Return the area under the ROC curve, of some pairs or of all; NaN for one kind only."""
        rows = np.arange(len(self.same)) if rows is None else rows
        if self.same[rows].all() or not self.same[rows].any():
            return float("nan")
        return float(roc_auc_score(self.same[rows], self.values[rows]))


def describe_faces(describe: GetFactors, images: Images, *, gaze: bool | None) -> FactorColumns:
    """Return all factors of images, the gaze with them where it can be had.

    Args:
        describe: gives them.
        images: whose.
        gaze: whether there is a gaze code; None: see.

    Raises:
        MienError: other columns cannot be had.
    """
    columns = (*CODES, *ANGLES, *LIGHTS)
    if gaze is None:
        try:
            return describe(images, (*columns, "gaze_code"))
        except MienError:
            # Of a table without gaze; if it was another fault it is met again.
            return describe(images, columns)
    return describe(images, (*columns, "gaze_code") if gaze else columns)


def codes_of(faces: FactorColumns) -> dict[str, Array]:
    """Return each factor's code by the factor's name, then the two codes as seen. Each [N, D].

    Rows without a face, and gaze without eyes, are NaN.
    """
    codes = {"identity": faces["identity"], "expression": faces["expression"]}
    if "gaze_code" in faces.columns:
        codes["gaze"] = faces["gaze_code"]
    codes |= {"pose": faces.joined(*ANGLES), "light": faces.joined(*LIGHTS)}
    codes |= {"texture_code": faces["texture_code"], "shape_code": faces["shape_code"]}
    return {name: np.asarray(code, np.float64) for name, code in codes.items()}


def person_similarity(
    *, codes: Array, person: NDArray[np.integer], rng: np.random.Generator
) -> Similarity:
    """Compare images by cosine, in five groups of people, each centred on the other four's mean.

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        person: who it is. [N].
        rng: draws the pairs.
    """
    values, kinds, people = [], [], []
    for fit, held in folds(person):
        teach = codes[fit]
        centred = codes[held] - teach[np.isfinite(teach).all(axis=1)].mean(axis=0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-12)
        first, second, same = draw_pairs(person=person[held], pairs=PAIRS, rng=rng)
        values.append(np.nan_to_num((unit[first] * unit[second]).sum(axis=1), nan=-1.0))
        kinds.append(same)
        people.append(person[held][first])
    return Similarity(np.concatenate(values), np.concatenate(kinds), np.concatenate(people))
