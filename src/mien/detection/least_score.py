"""The score from which on a cell of the detector is called a face."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from mien.detection.network import DetectorNetwork
from mien.errors import MienError
from mien.faces.dense import Cells
from mien.faces.face import Detector, overlap
from mien.faces.grid_detector import GridDetector

__all__ = ["LOWEST_SCORE", "ScoreChoice", "as_detector", "choose_least_score", "refuse_empty"]

LOWEST_SCORE = 0.1
"""What is never called a face."""
_SAME = 0.4
"""Intersection over union from which on two boxes are of one face."""
_DIGITS = 1000
"""The score is a multiple of 1 over it."""
_NO_FACE = "the teacher finds no face in the validation photographs with faces; give others"
_NO_OTHERS = "no validation photograph without faces can be read; give some"


@dataclass(frozen=True)
class ScoreChoice:
    """A least score and what a detector does with it."""

    least_score: float
    recall: float
    """Fraction of the teacher's faces that it finds."""
    faces: int
    """The teacher's faces in the photographs with faces."""
    false_faces: int
    """What it finds in the photographs without faces."""
    teacher_false_faces: int
    """What the teacher finds there."""


def as_detector(network: DetectorNetwork, least_score: float) -> GridDetector:
    """Return a detector that runs a network, in evaluation mode, by torch."""
    place = next(network.parameters()).device

    def answer(work: NDArray[np.uint8]) -> Sequence[Cells]:
        with torch.inference_mode():
            maps = network(torch.from_numpy(work).to(place).permute(2, 0, 1)[None])
        grids = [m[0].flatten(1).T.float().cpu() for m in maps]
        return [(g[:, 0].sigmoid().numpy(), g[:, 1:5].numpy(), g[:, 5:].numpy()) for g in grids]

    return GridDetector("mien", answer, least_score)


def refuse_empty(
    teacher: Detector,
    with_faces: Iterable[NDArray[np.uint8]],
    without_faces: Iterable[NDArray[np.uint8]],
) -> None:
    """Raise what `choose_least_score` would; it ends at the first images that serve."""
    if not any(teacher(image) for image in with_faces):
        raise MienError(_NO_FACE)
    if next(iter(without_faces), None) is None:
        raise MienError(_NO_OTHERS)


def choose_least_score(
    student: Detector,
    teacher: Detector,
    with_faces: Iterable[NDArray[np.uint8]],
    without_faces: Iterable[NDArray[np.uint8]],
) -> ScoreChoice:
    """Return the least score with the largest recall at no more false faces than the teacher's.

    Args:
        student: with the least score LOWEST_SCORE.
        teacher: with its own least score; its faces count as all that there are.
        with_faces: photographs, RGB [H, W, 3].
        without_faces: photographs in which nobody is seen, RGB [H, W, 3].

    Raises:
        MienError: the teacher finds no face in the photographs with faces, or there are no others.
    """
    found: list[float] = []
    for image in with_faces:
        own = student(image)
        for face in teacher(image):
            same = (f.score for f in own if overlap(f.box, face.box) > _SAME)
            found.append(max(same, default=0.0))
    if not found:
        raise MienError(_NO_FACE)
    false: list[float] = []
    allowed = images = 0
    for image in without_faces:
        images += 1
        allowed += len(teacher(image))
        false += [face.score for face in student(image)]
    if not images:
        raise MienError(_NO_OTHERS)
    false.sort(reverse=True)
    # Recall falls as the score rises: it is set just above the first false face too many.
    least = LOWEST_SCORE
    if len(false) > allowed:
        least = (math.floor(false[allowed] * _DIGITS) + 1) / _DIGITS
    recall = float(np.mean([score >= least for score in found]))
    kept = sum(score >= least for score in false)
    return ScoreChoice(least, recall, len(found), kept, allowed)
