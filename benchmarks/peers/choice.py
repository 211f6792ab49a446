"""HOG's and LBP's cells, chosen on labelled training images: for each factor its own.

The people in clips decide which cells tell people apart; the labels of rendered frames, or images
in folders by class, which ones show expression, head pose or light. What is tested takes no part.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np
from benchmarks.peers.crops import SIZE
from benchmarks.peers.describe import Features
from benchmarks.same_person import verification_auc
from numpy.typing import NDArray

from mien.data.sources import LABELS_FILE
from mien.evaluate.datasets.tree import open_tree
from mien.faces.crop import crop_face
from mien.faces.detect import WholeImage
from mien.linear.logistic import fit_linear
from mien.linear.metrics import correlation
from mien.media.atomic import replacing
from mien.media.image import read

__all__ = ["Choice", "Trial", "choose", "class_trial", "rendered_trials", "trial_score"]

Array = NDArray[np.floating]
Setting = TypeVar("Setting")

FRAMES = 4000
"""Rendered frames that are looked at; of whole people."""
IMAGES = 4000
"""Images by class that are looked at."""
PAIRS = 4000
STRENGTHS = (0.3, 1.0, 3.0, 10.0)
"""Inverse regularisation times the number of rows; thousands of histogram bins need little."""
ALPHAS = 10.0 ** np.arange(0, 7)
TARGETS = {
    "pose": ("yaw_rad", "pitch_rad", "roll_rad"),
    "light": ("light_x", "light_y"),
    "gaze": ("gaze_x", "gaze_y"),
}
"""Factor => columns of labels.parquet that are to be read off."""


@dataclass(frozen=True)
class Trial:
    """Labelled training images, for one factor."""

    crops: NDArray[np.uint8]
    """RGB. [N, S, S, 3]."""
    group: NDArray[np.int64]
    """Person, or the image's own number; never on both sides of a split. [N]."""
    classes: NDArray[np.int64] | None = None
    """[N]; None where numbers are to be read off, or people to be verified."""
    numbers: Array | None = None
    """[N, K]."""


@dataclass(frozen=True)
class Choice:
    """What was tried, by factor."""

    best: str
    """The setting, in words."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Setting => AUC, accuracy or mean correlation. Empty where nothing could be tried."""


def choose(
    settings: Sequence[Setting],
    make: Callable[[Setting], Features],
    trial: Trial,
    *,
    seed: int,
    cache: Path | None = None,
) -> tuple[Setting, Choice]:
    """Return the setting that does best on a trial, and what all did; the first of equals.

    Trying takes minutes, so that the scores are kept and found again.

    Args:
        settings: to choose from.
        make: setting => features.
        trial: labelled training images.
        seed: of the pairs and the split.
        cache: folder for the scores; None: nothing is kept.
    """
    kept = cache / f"choice-{_key(settings, trial, seed)}.json" if cache else None
    if kept and kept.is_file():
        scores = json.loads(kept.read_text(encoding="utf-8"))
    else:
        scores = [trial_score(make(each)(trial.crops), trial, seed=seed) for each in settings]
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            with replacing(kept) as unfinished:
                unfinished.write_text(json.dumps(scores), encoding="utf-8")
    best = settings[int(np.argmax(scores))]
    scored = {str(setting): score for setting, score in zip(settings, scores, strict=True)}
    return best, Choice(str(best), scored)


def trial_score(features: Array, trial: Trial, *, seed: int) -> float:
    """Return accuracy of classes, mean correlation of numbers, or AUC of verification.

    Args:
        features: [N, D].
        trial: the labels.
        seed: of the pairs and the split.
    """
    rng = np.random.default_rng([seed, 0x9E])
    if trial.classes is None and trial.numbers is None:
        return verification_auc(codes=features, person=trial.group, pairs=PAIRS, rng=rng)
    groups = rng.permutation(np.unique(trial.group))
    held = np.isin(trial.group, groups[: max(1, len(groups) // 4)])
    fit, test = np.flatnonzero(~held), np.flatnonzero(held)
    if trial.classes is not None:
        return _class_score(features, trial.classes, fit, test)
    assert trial.numbers is not None
    return _regression_score(features, trial.numbers, fit, test)


def rendered_trials(folder: Path, *, seed: int) -> dict[str, Trial]:
    """Return trials of identity, expression, pose, light and gaze from a folder of `mien synth`.

    Args:
        folder: with labels.parquet.
        seed: decides which people are looked at.
    """
    import pyarrow.parquet as pq

    labels = pq.read_table(folder / LABELS_FILE).to_pandas()
    people = np.random.default_rng([seed, 0x9F]).permutation(np.unique(labels["person"]))
    a_person = max(1, len(labels) // len(people))
    chosen = labels[labels["person"].isin(people[: max(2, FRAMES // a_person)])]
    crops = np.stack([_crop(read(folder / path)) for path in chosen["path"]])
    person = chosen["person"].to_numpy(np.int64)
    trials = {"identity": Trial(crops, person)}
    if "expression" in chosen:
        names = np.unique(chosen["expression"].astype(str), return_inverse=True)[1]
        trials["expression"] = Trial(crops, person, classes=names.astype(np.int64))
    for factor, columns in TARGETS.items():
        if set(columns) <= set(chosen):
            numbers = chosen[list(columns)].to_numpy(np.float64)
            trials[factor] = Trial(crops, person, numbers=numbers)
    return trials


def class_trial(source: Path, *, seed: int) -> Trial:
    """Return a trial of images in folders by class, such as FER-2013's training images.

    Args:
        source: folder or zip of CLASS/image; images are face crops.
        seed: decides which images are looked at.

    Raises:
        MienError: there is no such place, or an image cannot be read.
    """
    tree = open_tree(source)
    names = np.array([name for name in tree.names if "/" in name])
    rows = np.random.default_rng([seed, 0xA0]).permutation(len(names))[:IMAGES]
    taken = [str(name) for name in names[np.sort(rows)]]
    crops = np.stack([_crop(tree.image(name)) for name in taken])
    folders = [name.rsplit("/", 2)[-2] for name in taken]
    classes = np.unique(folders, return_inverse=True)[1].astype(np.int64)
    return Trial(crops, np.arange(len(taken)), classes=classes)


def _key(settings: Sequence[object], trial: Trial, seed: int) -> str:
    """Return a name of all that decides the scores, but for the code."""
    hashed = hashlib.sha256(repr((settings, seed)).encode())
    for values in (trial.crops, trial.group, trial.classes, trial.numbers):
        hashed.update(b"-" if values is None else np.ascontiguousarray(values).tobytes())
    return hashed.hexdigest()[:24]


def _class_score(
    features: Array, classes: NDArray[np.int64], fit: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    """Return a linear probe's accuracy, with the best regularisation."""
    probes = [
        fit_linear(codes=features[fit], labels=classes[fit], strength=strength)
        for strength in STRENGTHS
    ]
    return max(float(probe.score(features[test], classes[test])) for probe in probes)


def _regression_score(
    features: Array, numbers: Array, fit: NDArray[np.int64], test: NDArray[np.int64]
) -> float:
    """Return the mean correlation of a ridge regression's predictions with the truth."""
    from sklearn.linear_model import RidgeCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    ridge = make_pipeline(StandardScaler(), RidgeCV(ALPHAS)).fit(features[fit], numbers[fit])
    predicted = ridge.predict(features[test]).reshape(len(test), -1)
    each = [
        correlation(prediction=predicted[:, k], target=numbers[test, k])
        for k in range(numbers.shape[1])
    ]
    return float(np.mean(each))


def _crop(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return crop_face(pixels, WholeImage()(pixels)[0], SIZE)
