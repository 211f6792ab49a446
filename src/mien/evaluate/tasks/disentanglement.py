"""The protocol `factors`: every factor of rendered people against their known labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score

from mien.errors import MienError
from mien.evaluate.datasets.synthetic import Clips
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Result, Score, Table
from mien.evaluate.scores import mean_score, rounded, shown, worst, yaw_table
from mien.evaluate.tasks.dci_mig import part_scores
from mien.evaluate.tasks.expression_transfer import transfer_result
from mien.evaluate.tasks.leakage import Leakage, leakage
from mien.geometry.gaze import angle_between
from mien.linear.bootstrap import bootstrap
from mien.linear.folds import FOLDS, balanced_folds
from mien.linear.metrics import correlation
from mien.linear.verification import sample_pairs

__all__ = ["score_factors"]

Array = NDArray[np.floating]

ANGLES = ("yaw_rad", "pitch_rad", "roll_rad")
LIGHTS = ("light_x", "light_y", "light_z", "light_ambient", "light_diffuse")
CODES, GAZE = ("identity", "expression", "texture_code", "shape_code"), "gaze_code"
PAIRS = 2000
"""Of each kind, in each fold."""
ALL, NOTHING = "all factors", "nothing (identity, rows shuffled)"
MIN_PEOPLE = 10


@dataclass(frozen=True)
class Similarity:
    """Pairs of images and the similarity of their codes."""

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


def score_factors(clips: Clips, context: EvalContext) -> Result:
    """Measure leakage, disentanglement and transfer.

    Raises:
        MienError: there are too few people or frames.
    """
    _refuse_few(clips)
    context.say(f"factors: the factors of {len(clips)} images")
    columns = (*CODES, *ANGLES, *LIGHTS)
    if GAZE in context.describe.columns:
        columns = (*columns, GAZE)
    faces = context.describe(clips.images(), columns)
    codes = _codes_of(faces)
    five = {name: code for name, code in codes.items() if not name.endswith("_code")}
    context.say("factors: probes")
    found = leakage(
        codes={**codes, **_controls(five, context.rng(0))},
        labels=clips.labels(),
        person=clips.person,
        relit=clips.relit(),
        rng=context.rng(1),
    )
    context.say("factors: disentanglement")
    parts, part_table = part_scores(five, clips, found, ALL)
    context.say("factors: expression transfer")
    transfer = transfer_result(clips, faces, context)
    farthest = _worst_yaw(clips, faces, context.gallery - len(transfer.failures))
    return Result(
        scores=(
            *_person_scores(clips, codes["identity"], context),
            *_own_scores(clips, faces, found, context),
            *_leakage_scores(clips, found, context),
            *parts,
            *transfer.scores,
        ),
        data=clips.checksum,
        tables=(*_matrices(found), part_table, _by_yaw(clips, faces, found), *transfer.tables),
        failures=(*transfer.failures, *farthest),
        notes=(*_notes(faces, codes), *transfer.notes),
    )


def person_similarity(
    *, codes: Array, person: NDArray[np.integer], rng: np.random.Generator
) -> Similarity:
    """Compare images by cosine, in five groups of people, each centred on the other four's mean.

    Args:
        codes: one row an image; NaN where there is none. [N, D].
        person: who it is. [N].
        rng: samples the pairs.
    """
    values, kinds, people = [], [], []
    for fit, held in balanced_folds(person):
        train = codes[fit]
        centred = codes[held] - train[np.isfinite(train).all(axis=1)].mean(axis=0)
        unit = centred / np.linalg.norm(centred, axis=1, keepdims=True).clip(1e-12)
        first, second, same = sample_pairs(person=person[held], pairs=PAIRS, rng=rng)
        values.append(np.nan_to_num((unit[first] * unit[second]).sum(axis=1), nan=-1.0))
        kinds.append(same)
        people.append(person[held][first])
    return Similarity(np.concatenate(values), np.concatenate(kinds), np.concatenate(people))


def _codes_of(faces: FactorColumns) -> dict[str, Array]:
    """Return each factor's code by its name, then the two codes of the image. Each [N, D].

    Rows without a face, and gaze without eyes, are NaN.
    """
    codes = {"identity": faces["identity"], "expression": faces["expression"]}
    if GAZE in faces.columns:
        codes["gaze"] = faces[GAZE]
    codes |= {"pose": faces.joined(*ANGLES), "light": faces.joined(*LIGHTS)}
    codes |= {"texture_code": faces["texture_code"], "shape_code": faces["shape_code"]}
    return {name: np.asarray(code, np.float64) for name, code in codes.items()}


def _refuse_few(clips: Clips) -> None:
    counts = np.unique(clips.person, return_counts=True)[1]
    if len(counts) < MIN_PEOPLE or counts.min() < 2:
        raise MienError(
            f"factors: {clips.tree} has {len(counts)} people with {counts.min()} images or more; "
            f"at least {MIN_PEOPLE} with 2 each are needed: render more with `mien synth`"
        )


def _controls(five: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return the controls: all factors together, and codes that hold nothing."""
    whole = np.concatenate(list(five.values()), axis=1)
    return {ALL: whole, NOTHING: rng.permutation(five["identity"], axis=0)}


def _person_scores(clips: Clips, identity: Array, context: EvalContext) -> list[Score]:
    """Return the AUC of same-person decisions by identity; also of clips whose light changes."""
    every = np.ones(len(clips), dtype=bool)
    cases = [("identity, same person by cosine", every)]
    if not clips.relit().all():
        cases.append(("identity, same person by cosine, other light", clips.relit()))
    scores = []
    for number, (name, rows) in enumerate(cases):
        rng = context.rng(2, number)
        pairs = person_similarity(codes=identity[rows], person=clips.person[rows], rng=rng)
        count = len(pairs.values)
        ends = bootstrap(pairs.auc, count=count, groups=pairs.person, rng=rng, trials=100)
        scores.append(Score(name, pairs.auc(), "AUC", count, *ends, main=number == 0))
    return scores


def _own_scores(
    clips: Clips, faces: FactorColumns, found: Leakage, context: EvalContext
) -> list[Score]:
    """Return the scores of the other factors on their own labels."""
    rng, count, person = context.rng(3), len(clips), clips.person
    scores = []
    right = found.predictions["expression"]["expression"] == clips.expression
    name = "expression, linear probe"
    scores.append(
        mean_score(name, 100.0 * right, person, rng, unit="%", higher_is_better=True, main=True)
    )
    for name in (*ANGLES, "light_x", "light_y", "light_ambient", "light_diffuse"):
        predicted, truth = _known(np.asarray(faces[name], np.float64)), clips.column(name)

        def of(
            rows: NDArray[np.int64], predicted: Array = predicted, truth: Array = truth
        ) -> float:
            return correlation(prediction=predicted[rows], target=truth[rows])

        value = of(np.arange(count)) if predicted.std() > 0 < truth.std() else 0.0
        ends = bootstrap(of, count=count, groups=person, rng=rng) if value else (None, None)
        main = name in ("yaw_rad", "pitch_rad", "light_x", "light_y")
        scores.append(Score(f"{name}, no probe", value, "correlation", count, *ends, main=main))
    return scores


def _known(values: Array) -> Array:
    """Put the mean where there is no face: the prediction of knowing nothing."""
    seen = np.isfinite(values)
    return np.where(seen, values, values[seen].mean() if seen.any() else 0.0)


def _leakage_scores(clips: Clips, found: Leakage, context: EvalContext) -> list[Score]:
    """Return how much of other factors' labels can be predicted from a code."""
    where = found.codes.index
    person = found.scores[where("expression"), 0]
    right = found.predictions["identity"]["expression"] == clips.expression
    count, rng = len(clips), context.rng(4)
    less = partial(Score, count=count, higher_is_better=False)
    name = "expression from identity, linear probe"
    return [
        less(
            "leakage, mean over other factors' labels", 100 * found.mean_leakage(), "%", main=True
        ),
        mean_score(name, 100.0 * right, clips.person, rng, unit="%"),
        less("same person from expression, learned metric", float(person), "AUC"),
    ]


def _matrices(found: Leakage) -> tuple[Table, Table]:
    """Return all scores, and the excess over chance by factors."""
    names, excess = found.by_factor()
    rows = [(code, *rounded(line)) for code, line in zip(found.codes, found.scores, strict=True)]
    rows.append(("chance", *rounded(found.chance)))
    short = [(code, *rounded(line)) for code, line in zip(found.codes, excess, strict=True)]
    title = (
        "every label probed from every code: AUC of the person by a learned metric, accuracy of "
        "the expression, correlation of the rest; people never seen by the probe"
    )
    return (
        Table(title, ("code", *found.labels), tuple(rows)),
        Table(
            "the same from chance (0) to right (1), mean of a factor's labels",
            ("code", *names),
            tuple(short),
        ),
    )


def _by_yaw(clips: Clips, faces: FactorColumns, found: Leakage) -> Table:
    yaw, pitch = clips.column("yaw_rad"), clips.column("pitch_rad")
    light = np.stack([np.asarray(faces[f"light_{axis}"], np.float64) for axis in "xyz"], axis=1)
    right = found.predictions["expression"]["expression"] == clips.expression
    return yaw_table(
        title="by true head yaw",
        yaw_rad=yaw,
        values={
            "expression accuracy, %": 100.0 * right,
            "yaw error, degrees": np.degrees(np.abs(faces["yaw_rad"] - yaw)),
            "pitch error, degrees": np.degrees(np.abs(faces["pitch_rad"] - pitch)),
            "light error, degrees": np.degrees(angle_between(light, clips.light)),
        },
    )


def _worst_yaw(clips: Clips, faces: FactorColumns, count: int) -> tuple[Failure, ...]:
    """Return the images with the largest errors of yaw."""
    truth, predicted = clips.column("yaw_rad"), np.asarray(faces["yaw_rad"], np.float64)
    error = np.nan_to_num(np.abs(predicted - truth), nan=np.inf)
    images = clips.images()
    return tuple(
        Failure(
            (shown(images, row),),
            f"yaw {np.degrees(truth[row]):+.0f} degrees, "
            + (
                f"predicted {np.degrees(predicted[row]):+.0f}"
                if np.isfinite(predicted[row])
                else "no face"
            ),
        )
        for row in worst(error, count)
    )


def _notes(faces: FactorColumns, codes: Mapping[str, Array]) -> Sequence[str]:
    notes = [
        f"probes are linear, in {FOLDS} folds of people; a strength is chosen on a fifth of the "
        "training people",
        "head shape 1 to 5 are the head model's first identity coefficients: the colours of skin, "
        "hair and eyes are no labels; eye yaw and pitch are the gaze in the head's frame",
        "in the probes the person is verified on clips whose light changes: where it is steady, "
        "light and person are one",
    ]
    missing = int(np.count_nonzero(~faces.found))
    if missing:
        notes.append(
            f"no face in {missing} of {len(faces)} images: predicted as the training rows' mean, "
            "similar to nobody"
        )
    if "gaze" in codes:
        closed = int(np.isnan(codes["gaze"]).any(axis=1).sum())
        notes.append(f"no open eyes in {closed} of {len(faces)} images: the mean gaze code instead")
    else:
        notes.append("there is no gaze code, so gaze is left out")
    return notes
