"""Scores of head pose: what the factors say of themselves, and what is read off them by a map.

Five predictions, each of every image:

    own angles                      as the weights give them, no probe
    own angles, offset of others    less the mean error over other people: the origin is a
                                    convention, of pitch above all
    own angles, linear map          from the three own angles to the three true ones, fitted on
                                    other people
    all codes, ridge                from texture and shape code and own angles, fitted on other
                                    people
    always the mean                 the mean angles of other people

An image without a face is frontal for the first, and the mean of other people for the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.columns import POSE
from mien.errors import MienError
from mien.evaluate.by_yaw import yaw_table
from mien.evaluate.digest import data_digest
from mien.evaluate.error_score import error_score
from mien.evaluate.gallery import small
from mien.evaluate.protocol import (
    EvalContext,
    FactorColumns,
    Failure,
    Images,
    Plot,
    Result,
    Score,
    Table,
)
from mien.evaluate.tasks.pose_angles import (
    ANGLES,
    angle_errors_deg,
    benchmark_angles,
    benchmark_rotation,
    geodesic_deg,
    own_angles,
    own_rotation,
)
from mien.linear.metrics import correlation
from mien.linear.other_people import mean_of_others, predict_from_others

__all__ = ["PoseSet", "score_pose"]

Array = NDArray[np.floating]

COLUMNS = ("texture_code", "shape_code", *POSE)
OWN, OFFSET, LINEAR = "own angles", "own angles, offset of others", "own angles, linear map"
RIDGE, MEAN = "all codes, ridge", "always the mean"
MISSING_SHARE = 0.01
"""Above this share of images without a face there are scores of the others, too."""
PLOT_STEP_DEG = 10


@dataclass(frozen=True)
class PoseSet:
    """Images with known head pose; rows are in the order of the images."""

    images: Images
    person: NDArray[np.int64]
    """Who it is; the row's own number where nobody knows. [N]."""
    angles: Array
    """True yaw, pitch, roll in the benchmarks' order of rotations. Radians [N, 3]."""
    sight: Array | None = None
    """True rotation as seen along the line to the head; None where that is not known.
    [N, 3, 3]."""
    notes: tuple[str, ...] = ()
    """What a reader must know of how the data were read."""

    def __len__(self) -> int:
        return len(self.person)

    @property
    def digest(self) -> str:
        """Return 12 hex digits of the names and labels."""
        rows = zip(self.images.names, self.person, self.angles, strict=True)
        return data_digest(f"{n} {p} {y:.5f} {x:.5f} {r:.5f}" for n, p, (y, x, r) in rows)


@dataclass(frozen=True)
class _Errors:
    """Errors of one prediction. Degrees."""

    angles: Array
    """Of yaw, pitch, roll. [N, 3]."""
    geodesic: Array
    """[N]."""

    @staticmethod
    def of(predicted: Array, truth: Array) -> _Errors:
        """Compare angles in the benchmarks' order. Radians [N, 3], [N, 3]."""
        rotations = benchmark_rotation(predicted), benchmark_rotation(truth)
        return _Errors(
            angle_errors_deg(predicted=predicted, truth=truth),
            geodesic_deg(predicted=rotations[0], truth=rotations[1]),
        )


def score_pose(data: PoseSet, context: EvalContext) -> Result:
    """Return errors of every kind of prediction, by angle and by how far the head is turned.

    Raises:
        MienError: faces are found in no image; or factors cannot be had.
    """
    context.say(f"{len(data)} images")
    described = context.describe(data.images, COLUMNS)
    if not described.found.any():
        raise MienError("faces are found in no image; are these the right images?")
    predicted = _predictions(data, described)
    errors = {name: _Errors.of(angles, data.angles) for name, angles in predicted.items()}
    shown = LINEAR if LINEAR in errors else RIDGE
    return Result(
        scores=tuple(_scores(data, described, predicted, errors, context)),
        data=data.digest,
        tables=(_table(errors), _by_yaw(data, errors)),
        plots=(_plot(data, predicted),),
        failures=_failures(data, predicted[shown], errors[shown], context),
        notes=(*data.notes, *_notes(described)),
    )


def _predictions(data: PoseSet, described: FactorColumns) -> dict[str, Array]:
    """Return yaw, pitch, roll in the benchmarks' order by kind of prediction. Radians [N, 3]."""
    truth, person = data.angles, data.person
    given = np.stack([described[f"{name}_rad"] for name in ANGLES], axis=1).astype(np.float64)
    codes = described.joined("texture_code", "shape_code").astype(np.float64)
    kinds: dict[str, Array] = {}
    if np.isfinite(given).any():
        own = benchmark_angles(own_rotation(given))
        offset = mean_of_others(targets=own - truth, person=person)
        nothing = mean_of_others(targets=truth, person=person)
        kinds[OWN] = np.nan_to_num(own)
        kinds[OFFSET] = np.where(np.isfinite(own), own - offset, nothing)
        kinds[LINEAR] = predict_from_others(features=own, targets=truth, person=person)
        codes = np.concatenate([codes, own], axis=1)
    kinds[RIDGE] = predict_from_others(features=codes, targets=truth, person=person)
    kinds[MEAN] = mean_of_others(targets=truth, person=person)
    return kinds


def _scores(
    data: PoseSet,
    described: FactorColumns,
    predicted: dict[str, Array],
    errors: dict[str, _Errors],
    context: EvalContext,
) -> list[Score]:
    mains = (OWN, LINEAR) if OWN in errors else (RIDGE,)
    scores = []
    for name, error in errors.items():
        mean = error.angles.mean(axis=1)
        scores.append(
            error_score(f"mean error, {name}", mean, data.person, context, main=name in mains)
        )
        scores.append(error_score(f"geodesic error, {name}", error.geodesic, data.person, context))
        if name in mains:
            for place, angle in enumerate(ANGLES):
                scores.append(
                    error_score(
                        f"{angle} error, {name}", error.angles[:, place], data.person, context
                    )
                )
    if OWN in errors:
        scores += _of_own(data, described, predicted[OWN], context)
    if (~described.found).mean() > MISSING_SHARE:
        rows = np.flatnonzero(described.found)
        for name in mains:
            mean = errors[name].angles.mean(axis=1)
            title = f"mean error, {name}, where a face is found"
            scores.append(error_score(title, mean[rows], data.person[rows], context))
    return scores


def _of_own(
    data: PoseSet, described: FactorColumns, own: Array, context: EvalContext
) -> list[Score]:
    """Return the correlation of each own angle, and the error along the line to the head."""
    scores = []
    found = described.found
    for place, angle in enumerate(ANGLES):
        value = float("nan")
        if min(np.ptp(own[found, place]), np.ptp(data.angles[found, place])) > 0:
            value = correlation(prediction=own[found, place], target=data.angles[found, place])
        scores.append(Score(f"{angle} correlation, {OWN}", value, "correlation", int(found.sum())))
    if data.sight is not None:
        error = _Errors.of(own, benchmark_angles(data.sight))
        title = f"{OWN}, seen along the line to the head"
        mean = error.angles.mean(axis=1)
        scores.append(error_score(f"mean error, {title}", mean, data.person, context))
        scores.append(error_score(f"geodesic error, {title}", error.geodesic, data.person, context))
    return scores


def _table(errors: dict[str, _Errors]) -> Table:
    rows = []
    for name, error in errors.items():
        each = error.angles.mean(axis=0)
        cells = (*each, each.mean(), error.geodesic.mean())
        rows.append((name, *(round(float(cell), 3) for cell in cells)))
    return Table(
        "Mean absolute error in degrees",
        ("predicted by", *ANGLES, "mean of the three", "geodesic"),
        tuple(rows),
    )


def _by_yaw(data: PoseSet, errors: dict[str, _Errors]) -> Table:
    yaw = own_angles(benchmark_rotation(data.angles))[:, 0]
    values = {name: error.angles.mean(axis=1) for name, error in errors.items() if name != MEAN}
    title = "Mean error of the three angles in degrees by true head yaw"
    return yaw_table(title=title, yaw_rad=yaw, values=values)


def _plot(data: PoseSet, predicted: dict[str, Array]) -> Plot:
    """Return the mean predicted yaw in steps of the true one."""
    true = np.degrees(data.angles[:, 0])
    step = np.round(true / PLOT_STEP_DEG).astype(np.int64)
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for name in (OWN, LINEAR, RIDGE):
        if name in predicted:
            yaw = np.degrees(predicted[name][:, 0])
            lines[name] = (
                [float(true[step == s].mean()) for s in np.unique(step)],
                [float(yaw[step == s].mean()) for s in np.unique(step)],
            )
    ends = [float(true.min()), float(true.max())]
    return Plot(
        "Predicted yaw by true yaw",
        "true yaw, degrees",
        "mean predicted yaw, degrees",
        {**lines, "truth": (ends, ends)},
    )


def _failures(
    data: PoseSet, predicted: Array, errors: _Errors, context: EvalContext
) -> tuple[Failure, ...]:
    failures = []
    for row in np.argsort(-errors.geodesic, kind="stable")[: context.gallery]:
        said, true = (np.degrees(angles[row]) for angles in (predicted, data.angles))
        failures.append(
            Failure(
                (small(data.images.read(int(row))),),
                f"{data.images.names[row]}: off by {errors.geodesic[row]:.0f} degrees; yaw, "
                f"pitch, roll are {_three(true)}, predicted {_three(said)}",
            )
        )
    return tuple(failures)


def _three(angles: Array) -> str:
    return ", ".join(f"{angle:.0f}" for angle in angles)


def _notes(described: FactorColumns) -> list[str]:
    lost = int((~described.found).sum())
    return [
        f"no face is found in {lost} of {len(described)} images; they count as frontal for the "
        "own angles and as the mean of other people for the rest",
        "single angles are taken in the benchmarks' order, Rx(-pitch) Ry(yaw) Rz(roll)",
    ]
