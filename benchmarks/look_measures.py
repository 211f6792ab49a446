"""What weights make of rendered people whose truth is known: the same measures for every look."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from benchmarks.gaze import Plan, Task, batches, codes_of
from benchmarks.gaze_few_shot import halves
from benchmarks.hog import hog_features
from benchmarks.photographs import angles_of
from benchmarks.same_person import verification_auc
from numpy.typing import NDArray

from mien.errors import MienError
from mien.linear.bootstrap import bootstrap, mean_interval, proportion_interval
from mien.linear.cross_subject import out_of_fold
from mien.linear.metrics import correlation
from mien.linear.verification import unit_rows
from mien.model import Model
from mien.pipeline.analyze import AnalyzedFace, analyze
from mien.synth.expression import EXPRESSIONS
from mien.types import Factors

__all__ = ["YAW_BINS_DEG", "Score", "Seen", "auc_interval", "gaze_scores", "look_scores", "see"]

YAW_BINS_DEG = (0, 15, 30, 45, 90)
SAMPLES = 100
HOG_SIZE = (64, 64)
TRIALS = 100

Array = NDArray[np.floating]
Rows = NDArray[np.integer]


@dataclass(frozen=True)
class Score:
    """A number with its 95 % interval, where there is one."""

    value: float
    low: float | None = None
    high: float | None = None

    def text(self, *, percent: bool, digits: int) -> str:
        """Return it as a table shows it: 79.1 % (77.0 to 81.2)."""
        factor, unit = (100, " %") if percent else (1, "")
        shown = f"{factor * self.value:.{digits}f}{unit}"
        if self.low is None or self.high is None:
            return shown
        return f"{shown} ({factor * self.low:.{digits}f} to {factor * self.high:.{digits}f})"


@dataclass(frozen=True)
class Seen:
    """The faces that were found, one an image, with the truth about them; N rows each."""

    labels: pd.DataFrame
    codes: dict[str, Array]
    """By name. Each [N, D]."""
    angles: Array
    """Yaw, pitch, roll, radians. [N, 3]."""
    light: Array
    """Unit vector to the lamp. [N, 3]."""
    images: int
    """How many there were, with those without a face."""

    @property
    def person(self) -> NDArray[np.int64]:
        """Who it is. [N]."""
        return self.labels["person"].to_numpy(np.int64)


def see(model: Model, folder: Path, labels: pd.DataFrame, *, detector: str = "auto") -> Seen:
    """Find and encode the largest face of every image, as `mien embed` would.

    Args:
        model: whose factors are measured.
        folder: of the images.
        labels: the truth, one row an image, with `path` below the folder.
        detector: as of `mien embed`.

    Raises:
        MienError: no image shows a face.
    """
    chosen: dict[int, AnalyzedFace] = {}
    paths = [folder / path for path in labels["path"]]
    for face in analyze(paths, model=model, detector=detector, features=True):
        if face.image not in chosen or _area(face) > _area(chosen[face.image]):
            chosen[face.image] = face
    if not chosen:
        raise MienError(f"no face was found in {folder}; try another detector")
    rows = sorted(chosen)
    factors = Factors.cat([chosen[row].factors for row in rows])
    grey = [
        np.asarray(cv2.cvtColor(chosen[row].crop, cv2.COLOR_RGB2GRAY), np.uint8) for row in rows
    ]
    names = ("identity", "expression", "face_embedding", "features")
    codes = {name: getattr(factors, name) for name in names}
    return Seen(
        labels=labels.iloc[rows].reset_index(drop=True),
        codes={name: code.numpy() for name, code in codes.items() if code is not None}
        | {"HOG": hog_features(images=grey, size=HOG_SIZE)},
        angles=np.deg2rad(angles_of(factors)),
        light=factors.light.direction.numpy(),
        images=len(labels),
    )


def _area(face: AnalyzedFace) -> float:
    x1, y1, x2, y2 = face.box
    return float((x2 - x1) * (y2 - y1))


def auc_interval(*, codes: Array, person: Rows, rng: np.random.Generator) -> tuple[float, float]:
    """Return the 95 % interval of the same-person AUC, by resampling people.

    All pairs count; one of two people as often as both were drawn together. Codes are centred.

    Args:
        codes: [N, D].
        person: [N].
        rng: resamples.
    """
    who = np.unique(person, return_inverse=True)[1].reshape(-1)
    unit = unit_rows(codes=codes, mean=codes.mean(axis=0))
    first, second = np.triu_indices(len(codes), 1)
    order = np.argsort((unit @ unit.T)[first, second])
    first, second = who[first][order], who[second][order]
    same = first == second

    def area(drawn: Rows) -> float:
        weight = np.bincount(who[drawn], minlength=who.max() + 1) / np.bincount(who)
        pairs = weight[first] * np.where(same, 1.0, weight[second])
        below = np.cumsum(np.where(same, 0.0, pairs))
        ones = np.where(same, pairs, 0.0)
        return float(ones @ below / (ones.sum() * below[-1]))

    return bootstrap(area, count=len(codes), groups=person, rng=rng, trials=TRIALS)


def look_scores(seen: Seen, seed: int = 0) -> dict[str, Score]:
    """Return every number of faces that were detected, by name."""
    person, found = seen.person, len(seen.labels)
    scores = {
        "face found": Score(
            found / seen.images, *proportion_interval(successes=found, count=seen.images)
        )
    }
    for name in ("identity", "face_embedding", "HOG", "expression"):
        if name in seen.codes:
            rng = np.random.default_rng(seed)
            value = verification_auc(codes=seen.codes[name], person=person, rng=rng)
            interval = auc_interval(codes=seen.codes[name], person=person, rng=rng)
            scores[f"same person AUC, {name}"] = Score(value, *interval)
    truth = seen.labels[["yaw_rad", "pitch_rad", "roll_rad"]].to_numpy(np.float64)
    errors = np.rad2deg(np.abs(seen.angles - truth))
    for place, name in enumerate(("yaw", "pitch", "roll")):
        scores[f"{name} error, degrees"] = _mean(errors[:, place], person, seed)
    turned = np.rad2deg(np.abs(truth[:, 0]))
    for low, high in pairwise(YAW_BINS_DEG):
        inside = (turned >= low) & (turned < high)
        if inside.any():
            name = f"yaw error where turned by {low} to {high}, degrees"
            scores[name] = _mean(errors[inside, 0], person[inside], seed)
    for place, axis in enumerate("xy"):
        target = seen.labels[f"light_{axis}"].to_numpy(np.float64)
        value = correlation(prediction=seen.light[:, place], target=target)
        scores[f"light {axis}, correlation"] = Score(value)
    expression = np.array([EXPRESSIONS.index(e) for e in seen.labels["expression"]])
    for name in ("expression", "features", "identity"):
        probe = out_of_fold(
            codes=seen.codes[name], labels={"expression": expression}, person=person
        )
        right = (probe["expression"] == expression).astype(np.float64)
        scores[f"expression by linear probe, {name}"] = _mean(right, person, seed)
    return scores


def _mean(values: Array, person: Rows, seed: int) -> Score:
    interval = mean_interval(values=values, groups=person, rng=np.random.default_rng(seed))
    return Score(float(values.mean()), *interval)


def gaze_scores(model: Model, folder: Path, labels: pd.DataFrame, plan: Plan) -> dict[str, Score]:
    """Return the error of gaze from 100 samples, each image taken as a crop, as `benchmarks.gaze`.

    Intervals are two standard deviations of the trials to either side.
    """
    paths: Sequence[Path] = [folder / path for path in labels["path"]]
    parts = [model.encode(images) for images in batches(paths, model.crop_size, plan.batch_size)]
    factors = Factors.cat(parts)
    code, eyes = codes_of(factors.gaze)
    pose = np.deg2rad(angles_of(factors))
    gaze = labels[["gaze_x", "gaze_y", "gaze_z"]].to_numpy(np.float64)
    task = Task(gaze, [halves(labels["person"].to_numpy(np.int64))], plan)
    scores = {"open eyes found": Score(float(eyes.mean()))}
    for name, codes in (("gaze code and pose", code), ("pose alone", code[:, :0])):
        by_count = task.score(codes, pose)
        key = str(SAMPLES) if str(SAMPLES) in by_count else "all"
        error = by_count[key]
        mean, spread = error["mean_deg"], 2 * error["std_deg"]
        scores[f"gaze error, {name}, degrees"] = Score(mean, mean - spread, mean + spread)
    scores["gaze error, mean gaze, degrees"] = Score(task.mean_predictor())
    return scores
