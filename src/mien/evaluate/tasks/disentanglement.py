"""The protocol `factors`: every factor of rendered people held against what is known of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.synthetic import Clips
from mien.evaluate.protocol import (
    EvalContext,
    FactorColumns,
    Failure,
    Result,
    Score,
    Table,
)
from mien.evaluate.scores import shown, yaw_table
from mien.evaluate.tasks.factor_codes import (
    ANGLES,
    codes_of,
    describe_faces,
    person_similarity,
)
from mien.evaluate.tasks.leakage import Leakage, leakage
from mien.evaluate.tasks.parts import part_scores
from mien.evaluate.tasks.swap_trial import swap_outcome
from mien.geometry.gaze import angle_between
from mien.linear.bootstrap import bootstrap, mean_interval
from mien.linear.cross_person import FOLDS
from mien.linear.metrics import correlation

__all__ = ["score_factors"]

Array = NDArray[np.floating]

ALL, NOTHING = "all factors", "nothing (identity, rows shuffled)"
LEAST_PEOPLE = 10


def score_factors(clips: Clips, context: EvalContext) -> Result:
    """Measure leakage, disentanglement and swaps.

    Raises:
        MienError: there are too few people or frames.
    """
    _refuse_few(clips)
    gaze = None if context.model is None else context.model.config.gaze is not None
    context.say(f"factors: the factors of {len(clips)} images")
    faces = describe_faces(context.describe, clips.images(), gaze=gaze)
    codes = codes_of(faces)
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
    context.say("factors: swaps")
    swaps = swap_outcome(clips, faces, context)
    turned = _worst_turned(clips, faces, context.gallery - len(swaps.failures))
    return Result(
        scores=(
            *_person_scores(clips, codes["identity"], context),
            *_own_scores(clips, faces, found, context),
            *_leakage_scores(clips, found, context),
            *parts,
            *swaps.scores,
        ),
        data=clips.checksum,
        tables=(*_matrices(found), part_table, _by_yaw(clips, faces, found), *swaps.tables),
        failures=(*swaps.failures, *turned),
        notes=(*_notes(faces, codes), *swaps.notes),
    )


def _refuse_few(clips: Clips) -> None:
    counts = np.unique(clips.person, return_counts=True)[1]
    if len(counts) < LEAST_PEOPLE or counts.min() < 2:
        raise MienError(
            f"factors: {clips.tree} has {len(counts)} people with {counts.min()} images or more; "
            f"at least {LEAST_PEOPLE} with 2 each are needed: render more with `mien synth`"
        )


def _controls(five: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """Return what knows all that the factors know, and what knows nothing."""
    whole = np.concatenate(list(five.values()), axis=1)
    return {ALL: whole, NOTHING: rng.permutation(five["identity"], axis=0)}


def _person_scores(clips: Clips, identity: Array, context: EvalContext) -> list[Score]:
    """Return how well identity tells people apart, in all clips and where the light changes."""
    every = np.ones(len(clips), dtype=bool)
    cases = [("identity, same person by cosine", every)]
    if not clips.relit().all():
        cases.append(("identity, same person by cosine, other light", clips.relit()))
    scores = []
    for number, (name, rows) in enumerate(cases):
        rng = context.rng(2, number)
        pairs = person_similarity(codes=identity[rows], person=clips.person[rows], rng=rng)
        count = len(pairs.values)
        ends = bootstrap(pairs.auc, count=count, groups=pairs.person, rng=rng, rounds=100)
        scores.append(Score(name, pairs.auc(), "AUC", count, *ends, main=number == 0))
    return scores


def _own_scores(
    clips: Clips, faces: FactorColumns, found: Leakage, context: EvalContext
) -> list[Score]:
    """Return what the other factors say of their own labels."""
    rng, count, person = context.rng(3), len(clips), clips.person
    scores = []
    right = found.predictions["expression"]["expression"] == clips.expression
    ends = mean_interval(values=100.0 * right, groups=person, rng=rng)
    scores.append(
        Score("expression, linear probe", 100 * right.mean(), "%", count, *ends, main=True)
    )
    for name in (*ANGLES, "light_x", "light_y", "light_ambient", "light_diffuse"):
        said, truth = _known(np.asarray(faces[name], np.float64)), clips.column(name)

        def of(rows: NDArray[np.int64], said: Array = said, truth: Array = truth) -> float:
            return correlation(prediction=said[rows], target=truth[rows])

        value = of(np.arange(count)) if said.std() > 0 < truth.std() else 0.0
        ends = bootstrap(of, count=count, groups=person, rng=rng) if value else (None, None)
        main = name in ("yaw_rad", "pitch_rad", "light_x", "light_y")
        scores.append(Score(f"{name}, no probe", value, "correlation", count, *ends, main=main))
    return scores


def _known(values: Array) -> Array:
    """Put the mean where there is no face: it is what would be said knowing nothing."""
    seen = np.isfinite(values)
    return np.where(seen, values, values[seen].mean() if seen.any() else 0.0)


def _leakage_scores(clips: Clips, found: Leakage, context: EvalContext) -> list[Score]:
    """Return how much codes tell of what is not theirs."""
    where = found.codes.index
    person = found.scores[where("expression"), 0]
    right = found.predictions["identity"]["expression"] == clips.expression
    ends = mean_interval(values=100.0 * right, groups=clips.person, rng=context.rng(4))
    count = len(clips)

    def less(name: str, value: float, unit: str, ends: tuple[float, float] | None = None) -> Score:
        low, high = ends or (None, None)
        return Score(name, float(value), unit, count, low, high, higher_is_better=False)

    return [
        Score(
            "leakage, mean over other factors' labels",
            100 * found.mean_leakage(),
            "%",
            count,
            higher_is_better=False,
            main=True,
        ),
        less("expression told by identity", 100 * right.mean(), "%", ends),
        less("same person told by expression, learnt measure", person, "AUC"),
    ]


def _matrices(found: Leakage) -> tuple[Table, Table]:
    """Return all scores, and the excess over chance by factors."""
    rows = [
        (code, *(round(float(v), 3) for v in line))
        for code, line in zip(found.codes, found.scores, strict=True)
    ]
    rows.append(("chance", *(round(float(v), 3) for v in found.chance)))
    names, excess = found.by_factor()
    short = [
        (code, *(round(float(v), 3) for v in line))
        for code, line in zip(found.codes, excess, strict=True)
    ]
    title = (
        "every label probed from every code: AUC of the person by a learnt measure, accuracy of "
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
    turn, pitch = clips.column("yaw_rad"), clips.column("pitch_rad")
    said = np.stack([np.asarray(faces[f"light_{axis}"], np.float64) for axis in "xyz"], axis=1)
    right = found.predictions["expression"]["expression"] == clips.expression
    return yaw_table(
        title="by how far the head is turned",
        yaw_rad=turn,
        values={
            "expression right, %": 100.0 * right,
            "yaw error, degrees": np.degrees(np.abs(faces["yaw_rad"] - turn)),
            "pitch error, degrees": np.degrees(np.abs(faces["pitch_rad"] - pitch)),
            "light error, degrees": np.degrees(angle_between(said, clips.light)),
        },
    )


def _worst_turned(clips: Clips, faces: FactorColumns, count: int) -> tuple[Failure, ...]:
    """Return the images whose yaw is read worst."""
    truth, said = clips.column("yaw_rad"), np.asarray(faces["yaw_rad"], np.float64)
    error = np.nan_to_num(np.abs(said - truth), nan=np.inf)
    worst = np.argsort(-error, kind="stable")[: max(0, count)]
    images = clips.images()
    return tuple(
        Failure(
            (shown(images, int(row)),),
            f"yaw {np.degrees(truth[row]):+.0f} degrees, "
            + (f"read as {np.degrees(said[row]):+.0f}" if np.isfinite(said[row]) else "no face"),
        )
        for row in worst
    )


def _notes(faces: FactorColumns, codes: Mapping[str, Array]) -> Sequence[str]:
    notes = [
        f"probes are linear, in {FOLDS} folds of people; a strength is chosen on a fifth of the "
        "training people",
        "head shape 1 to 5 are the head model's first identity coefficients: the colours of skin, "
        "hair and eyes are no labels; eye yaw and pitch are the gaze in the head's frame",
        "in the probes the person is told by clips whose light changes: where it is steady light "
        "and person are one",
    ]
    missing = int(np.count_nonzero(~faces.found))
    if missing:
        notes.append(
            f"no face in {missing} of {len(faces)} images: predicted as the training rows' mean, "
            "alike to nobody"
        )
    if "gaze" in codes:
        shut = int(np.isnan(codes["gaze"]).any(axis=1).sum())
        notes.append(f"no open eyes in {shut} of {len(faces)} images: the mean gaze code instead")
    else:
        notes.append("there is no gaze code, so that factor is left out")
    return notes
