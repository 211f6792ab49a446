"""Head pose: errors of the predicted angles, and of maps fitted to them cross-subject.

Five predictions, each of every image:

    predicted angles                        as the weights give them, no probe
    predicted angles, cross-subject offset  less the mean error over other people: the origin is a
                                            convention, of pitch above all
    predicted angles, linear map            from the three predicted angles to the three true ones,
                                            fitted on other people
    all codes, ridge                        from texture and shape code and predicted angles, fitted
                                            on other people
    mean predictor                          the mean angles of other people

An image without a face is frontal for the first, and the mean of other people for the rest.

Errors of single angles are taken in the benchmarks' order of rotations (see
mien.evaluate.datasets.head_pose), and are comparable with published ones: angles of a head with
both yaw and pitch differ by some degrees from ours. FSA-Net (Yang et al., 2019) and those after it
write BIWI's labels in the same order. The geodesic error knows no order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from mien.evaluate.datasets.head_pose import benchmark_angles
from mien.evaluate.datasets.sets import PoseSet
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Plot, Result, Score, Table
from mien.evaluate.scores import (
    INTERVAL,
    MAX_MISSING,
    mean_score,
    rounded,
    shown,
    worst,
    yaw_table,
)
from mien.geometry.rotation import angles_to_rotation, rotation_to_angles
from mien.linear.cross_subject import mean_cross_subject, predict_cross_subject
from mien.linear.metrics import correlation

__all__ = ["ANGLES", "score_pose"]

Array = NDArray[np.floating]

ANGLES = ("yaw", "pitch", "roll")
"""The order of the columns, everywhere."""
COLUMNS = ("texture_code", "shape_code", "yaw_rad", "pitch_rad", "roll_rad")
PREDICTED = "predicted angles"
OFFSET, LINEAR = f"{PREDICTED}, cross-subject offset", f"{PREDICTED}, linear map"
RIDGE, MEAN = "all codes, ridge", "mean predictor"
PLOT_STEP_DEG = 10


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
    """Return errors of every kind of prediction, by angle and by pose bins.

    Raises:
        MienError: faces are found in no image; or factors cannot be had.
    """
    described = context.describe_faces(data.images, COLUMNS)
    predicted = _predictions(data, described)
    errors = {name: _Errors.of(angles, data.angles) for name, angles in predicted.items()}
    known = LINEAR if LINEAR in errors else RIDGE
    return Result(
        scores=tuple(_scores(data, described, predicted, errors, context)),
        data=data.checksum,
        tables=(_table(errors), _by_yaw(data, errors)),
        plots=(_plot(data, predicted),),
        failures=_failures(data, predicted[known], errors[known], context),
        notes=(
            *data.notes,
            f"no face is found in {(~described.found).sum()} of {len(described)} images; they "
            "count as frontal for the predicted angles and as the mean of other people for the "
            "rest",
            "single angles are taken in the benchmarks' order, Rx(-pitch) Ry(yaw) Rz(roll)",
        ),
    )


def _predictions(data: PoseSet, described: FactorColumns) -> dict[str, Array]:
    """Return yaw, pitch, roll in the benchmarks' order by kind of prediction. Radians [N, 3]."""
    truth, person = data.angles, data.person
    given = np.stack([described[f"{name}_rad"] for name in ANGLES], axis=1).astype(np.float64)
    codes = described.joined("texture_code", "shape_code").astype(np.float64)
    kinds: dict[str, Array] = {}
    if np.isfinite(given).any():
        angles = benchmark_angles(mien_rotation(given))
        offset = mean_cross_subject(targets=angles - truth, person=person)
        nothing = mean_cross_subject(targets=truth, person=person)
        kinds[PREDICTED] = np.nan_to_num(angles)
        kinds[OFFSET] = np.where(np.isfinite(angles), angles - offset, nothing)
        kinds[LINEAR] = predict_cross_subject(features=angles, targets=truth, person=person)
        codes = np.concatenate([codes, angles], axis=1)
    kinds[RIDGE] = predict_cross_subject(features=codes, targets=truth, person=person)
    kinds[MEAN] = mean_cross_subject(targets=truth, person=person)
    return kinds


def _scores(
    data: PoseSet,
    described: FactorColumns,
    predicted: dict[str, Array],
    errors: dict[str, _Errors],
    context: EvalContext,
) -> list[Score]:
    mains = (PREDICTED, LINEAR) if PREDICTED in errors else (RIDGE,)

    def score(title: str, values: Array, *, main: bool = False) -> Score:
        return mean_score(title, values, data.person, context.rng(INTERVAL), main=main)

    scores = []
    for name, error in errors.items():
        mean = error.angles.mean(axis=1)
        scores.append(score(f"mean error, {name}", mean, main=name in mains))
        scores.append(score(f"geodesic error, {name}", error.geodesic))
        if name in mains:
            scores += [
                score(f"{angle} error, {name}", error.angles[:, k])
                for k, angle in enumerate(ANGLES)
            ]
    if PREDICTED in errors:
        scores += _correlations(data, described.found, predicted[PREDICTED])
        if data.sight is not None:
            error = _Errors.of(predicted[PREDICTED], benchmark_angles(data.sight))
            title = f"{PREDICTED}, seen along the line to the head"
            scores.append(score(f"mean error, {title}", error.angles.mean(axis=1)))
            scores.append(score(f"geodesic error, {title}", error.geodesic))
    if (~described.found).mean() > MAX_MISSING:
        for name in mains:
            mean = np.where(described.found, errors[name].angles.mean(axis=1), np.nan)
            scores.append(score(f"mean error, {name}, where a face is found", mean))
    return scores


def _correlations(data: PoseSet, found: NDArray[np.bool_], angles: Array) -> list[Score]:
    """Return the correlation of each predicted angle with the true one."""
    scores = []
    for place, angle in enumerate(ANGLES):
        value, one, other = float("nan"), angles[found, place], data.angles[found, place]
        if min(np.ptp(one), np.ptp(other)) > 0:
            value = correlation(prediction=one, target=other)
        scores.append(
            Score(f"{angle} correlation, {PREDICTED}", value, "correlation", int(found.sum()))
        )
    return scores


def _table(errors: dict[str, _Errors]) -> Table:
    rows = []
    for name, error in errors.items():
        each = error.angles.mean(axis=0)
        cells = (*each, each.mean(), error.geodesic.mean())
        rows.append((name, *rounded(cells)))
    return Table(
        "Mean absolute error in degrees",
        ("predicted by", *ANGLES, "mean of the three", "geodesic"),
        tuple(rows),
    )


def _by_yaw(data: PoseSet, errors: dict[str, _Errors]) -> Table:
    yaw = mien_angles(benchmark_rotation(data.angles))[:, 0]
    values = {name: error.angles.mean(axis=1) for name, error in errors.items() if name != MEAN}
    title = "Mean error of the three angles in degrees by true head yaw"
    return yaw_table(title=title, yaw_rad=yaw, values=values)


def _plot(data: PoseSet, predicted: dict[str, Array]) -> Plot:
    """Return the mean predicted yaw in steps of the true one."""
    true = np.degrees(data.angles[:, 0])
    step = np.round(true / PLOT_STEP_DEG).astype(np.int64)
    lines: dict[str, tuple[list[float], list[float]]] = {}
    for name in (PREDICTED, LINEAR, RIDGE):
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
    for row in worst(errors.geodesic, context.gallery):
        guess, true = (np.degrees(angles[row]) for angles in (predicted, data.angles))
        failures.append(
            Failure(
                (shown(data.images, row),),
                f"{data.images.names[row]}: off by {errors.geodesic[row]:.0f} degrees; yaw, "
                f"pitch, roll are {_three(true)}, predicted {_three(guess)}",
            )
        )
    return tuple(failures)


def _three(angles: Array) -> str:
    return ", ".join(f"{angle:.0f}" for angle in angles)


def mien_rotation(angles: Array) -> NDArray[np.float64]:
    """Return Ry(yaw) Rx(-pitch) Rz(roll) of our yaw, pitch, roll. Radians [N, 3] -> [N, 3, 3]."""
    yaw, pitch, roll = torch.from_numpy(np.array(angles, dtype=np.float64)).unbind(dim=-1)
    return angles_to_rotation(yaw, pitch, roll).numpy()


def mien_angles(rotation: Array) -> NDArray[np.float64]:
    """Return our yaw, pitch, roll of rotations. [N, 3, 3] -> radians [N, 3]."""
    found = rotation_to_angles(torch.from_numpy(np.array(rotation, dtype=np.float64)))
    return torch.stack(found, dim=-1).numpy()


def benchmark_rotation(angles: Array) -> NDArray[np.float64]:
    """Return R = Rx(-pitch) Ry(yaw) Rz(roll) in our frame. Radians [N, 3] -> [N, 3, 3].

    Args:
        angles: yaw, pitch, roll as the benchmarks have them.
    """
    yaw, pitch, roll = np.moveaxis(np.asarray(angles, dtype=np.float64), -1, 0)
    turns = np.stack([-pitch, yaw, roll], axis=-1)
    return np.asarray(Rotation.from_euler("XYZ", turns).as_matrix(), dtype=np.float64)


def geodesic_deg(*, predicted: Array, truth: Array) -> NDArray[np.float64]:
    """Return the angle of the rotation from one to the other: acos((tr(A' B) - 1) / 2). [N].

    From the chord |A - B| = 2 sqrt(2) sin(angle / 2), which is exact for small angles, too.

    Args:
        predicted: [N, 3, 3].
        truth: [N, 3, 3].
    """
    chord = np.linalg.norm(np.asarray(predicted) - np.asarray(truth), axis=(-2, -1))
    return np.degrees(2 * np.arcsin((chord / (2 * np.sqrt(2))).clip(0, 1)))


def angle_errors_deg(*, predicted: Array, truth: Array) -> NDArray[np.float64]:
    """Return the absolute difference of each angle, the short way round. Radians -> degrees [N, 3].

    Args:
        predicted: yaw, pitch, roll. Radians [N, 3].
        truth: likewise, in the same order of rotations.
    """
    apart = np.asarray(predicted, dtype=np.float64) - np.asarray(truth, dtype=np.float64)
    return np.degrees(np.abs((apart + np.pi) % (2 * np.pi) - np.pi))
