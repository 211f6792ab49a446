"""Direction of light: errors of the predicted one, and of maps fitted to it cross-subject.

    predicted direction  as the weights give it, no probe
    linear map           from the predicted direction, ambient and diffuse light to the true one,
                         fitted on other people
    all codes, ridge     from texture and shape code besides, fitted on other people
    mean predictor       the mean direction of other people

An image without a face is lit from the camera for the first, and as the mean of other people for
the rest.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mien.columns import LIGHT_DIRECTION
from mien.evaluate.datasets.sets import LightSet
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Result, Score, Table
from mien.evaluate.scores import (
    INTERVAL,
    MAX_MISSING,
    mean_score,
    rounded,
    shown,
    worst,
    yaw_table,
)
from mien.evaluate.tasks.gaze_few_shot import angular_error_deg
from mien.geometry.gaze import angle_between
from mien.linear.bootstrap import bootstrap
from mien.linear.cross_subject import mean_cross_subject, predict_cross_subject
from mien.linear.metrics import correlation

__all__ = ["score_light"]

Array = NDArray[np.floating]

STRENGTHS = ("light_ambient", "light_diffuse")
COLUMNS = ("texture_code", "shape_code", *LIGHT_DIRECTION, *STRENGTHS, "yaw_rad")
PREDICTED, LINEAR = "predicted direction", "linear map"
RIDGE, MEAN = "all codes, ridge", "mean predictor"
SUBSETS = ((0, 12), (12, 25), (25, 50), (50, 77), (77, 180))
"""Degrees between lamp and camera: the five subsets of the set's authors."""
FRONT_DEG = 77
"""Up to here most of the face is lit: all but the last subset."""
LARGE_YAW_DEG = 30


def score_light(data: LightSet, context: EvalContext) -> Result:
    """Return correlations and angular errors, by lamp, by head pose and by predicted yaw.

    Raises:
        MienError: faces are found in no image; there is one person only; or factors cannot be
            had.
    """
    described = context.describe_faces(data.images, COLUMNS)
    predicted = _predictions(data, described)
    errors: dict[str, Array] = {
        name: angular_error_deg(predicted=vectors, truth=data.direction)
        for name, vectors in predicted.items()
    }
    known = LINEAR if LINEAR in errors else RIDGE
    return Result(
        scores=tuple(_scores(data, described, predicted, errors, context)),
        data=data.checksum,
        tables=_tables(data, described, errors),
        failures=_failures(data, predicted[known], errors[known], context),
        notes=(
            *data.notes,
            f"no face is found in {(~described.found).sum()} of {len(described)} images",
        ),
    )


def _predictions(data: LightSet, described: FactorColumns) -> dict[str, Array]:
    """Return unit vectors to the lamp by kind of prediction. [N, 3]."""
    truth, person = data.direction, data.person
    direction = np.stack([described[name] for name in LIGHT_DIRECTION], axis=1).astype(np.float64)
    codes = described.joined("texture_code", "shape_code").astype(np.float64)
    kinds: dict[str, Array] = {}
    if np.isfinite(direction).any():
        strengths = np.stack([described[name] for name in STRENGTHS], axis=1).astype(np.float64)
        features = np.concatenate([direction, strengths], axis=1)
        kinds[PREDICTED] = unit_rows(np.nan_to_num(direction))
        kinds[LINEAR] = predict_cross_subject(features=features, targets=truth, person=person)
        codes = np.concatenate([codes, features], axis=1)
    kinds[RIDGE] = predict_cross_subject(features=codes, targets=truth, person=person)
    kinds[MEAN] = mean_cross_subject(targets=truth, person=person)
    return {name: unit_rows(vectors) for name, vectors in kinds.items()}


def _scores(
    data: LightSet,
    described: FactorColumns,
    predicted: dict[str, Array],
    errors: dict[str, Array],
    context: EvalContext,
) -> list[Score]:
    scores = []
    for name in (PREDICTED, LINEAR, RIDGE):
        if name in predicted:
            for place, axis in enumerate("xy"):
                component = predicted[name][:, place]
                title = f"light {axis} correlation, {name}"
                scores.append(
                    _correlation(title, component, data, place, context, main=name == PREDICTED)
                )
                title = f"{title}, lamps within {FRONT_DEG} degrees"
                front = np.flatnonzero(off_axis_deg(data.direction) <= FRONT_DEG)
                scores.append(_correlation(title, component, data, place, context, rows=front))
    known = LINEAR if LINEAR in errors else RIDGE

    def angular(title: str, error: Array, *, main: bool = False) -> Score:
        return mean_score(
            f"angular error, {title}", error, data.person, context.rng(INTERVAL), main=main
        )

    scores += [angular(name, error, main=name == known) for name, error in errors.items()]
    if (~described.found).mean() > MAX_MISSING:
        seen = np.where(described.found, errors[known], np.nan)
        scores.append(angular(f"{known}, where a face is found", seen))
    return scores


def _correlation(
    name: str,
    component: Array,
    data: LightSet,
    place: int,
    context: EvalContext,
    *,
    main: bool = False,
    rows: NDArray[np.int64] | None = None,
) -> Score:
    rows = np.arange(len(data)) if rows is None else rows
    component, truth = component[rows], data.direction[rows, place]

    def measure(some: NDArray[np.int64]) -> float:
        if len(some) < 2 or np.ptp(component[some]) == 0 or np.ptp(truth[some]) == 0:
            return float("nan")
        return correlation(prediction=component[some], target=truth[some])

    value = measure(np.arange(len(rows)))
    if not len(rows):
        return Score(name, value, "correlation", 0)
    low, high = bootstrap(
        measure, count=len(rows), groups=data.person[rows], rng=context.rng(INTERVAL)
    )
    return Score(name, value, "correlation", len(rows), low=low, high=high, main=main)


def _tables(
    data: LightSet, described: FactorColumns, errors: dict[str, Array]
) -> tuple[Table, ...]:
    away = off_axis_deg(data.direction)
    subsets = []
    for low, high in SUBSETS:
        inside = (away > low) & (away <= high) if low else away <= high
        name = f"{low}-{high} degrees" if high < 180 else f"over {low} degrees"
        subsets.append((name, inside))
    tables = [_parts("Angular error in degrees by the lamp's angle to the camera", subsets, errors)]
    poses = [(f"P{pose:02}", data.pose == pose) for pose in np.unique(data.pose)]
    if len(poses) > 1:
        tables.append(_parts("Angular error in degrees by head pose", poses, errors))
    yaw = described["yaw_rad"]
    if np.isfinite(yaw).any():
        tables.append(_yaw_of_frontal(subsets, data, yaw))
        title = "Angular error in degrees by predicted head yaw"
        tables.append(yaw_table(title=title, yaw_rad=yaw, values=errors))
    return tuple(tables)


def _yaw_of_frontal(
    subsets: list[tuple[str, NDArray[np.bool_]]], data: LightSet, yaw: Array
) -> Table:
    """Return the predicted yaw of frontal faces: where one half is dark, it is too large."""
    rows = []
    for name, inside in subsets:
        ahead = inside & (data.pose == 0) & np.isfinite(yaw)
        if ahead.any():
            angle = np.degrees(np.abs(yaw[ahead])).astype(np.float64)
            far = float((angle > LARGE_YAW_DEG).mean())
            rows.append((name, len(angle), round(float(angle.mean()), 2), round(100 * far, 2)))
    columns = ("part", "images", "mean predicted yaw, degrees", f"over {LARGE_YAW_DEG} degrees, %")
    return Table("Predicted yaw of frontal faces", columns, tuple(rows))


def _parts(
    title: str, parts: list[tuple[str, NDArray[np.bool_]]], errors: dict[str, Array]
) -> Table:
    rows = tuple(
        (name, int(inside.sum()), *rounded(e[inside].mean() for e in errors.values()))
        for name, inside in parts
        if inside.any()
    )
    return Table(title, ("part", "images", *errors), rows)


def _failures(
    data: LightSet, predicted: Array, errors: Array, context: EvalContext
) -> tuple[Failure, ...]:
    return tuple(
        Failure(
            (shown(data.images, row),),
            f"{data.images.names[row]}: off by {errors[row]:.0f} degrees; lit from "
            f"{_where(data.direction[row])}, predicted {_where(predicted[row])}",
        )
        for row in worst(errors, context.gallery)
    )


def _where(direction: Array) -> str:
    """Return where a lamp is, as a reader of the image sees it."""
    x, y, z = direction
    across = np.degrees(np.arctan2(-x, -z))
    up = np.degrees(np.arcsin(np.clip(-y, -1, 1)))
    side = "left" if across > 0 else "right"
    return f"{abs(across):.0f} {side} and {abs(up):.0f} {'up' if up > 0 else 'down'}"


def off_axis_deg(direction: Array) -> NDArray[np.float64]:
    """Return the angle between a lamp and the camera, as seen from the face. [N, 3] -> [N]."""
    ahead = np.array([0.0, 0.0, -1.0])
    return np.degrees(angle_between(np.asarray(direction, np.float64), ahead))


def unit_rows(vectors: Array) -> NDArray[np.float64]:
    """Return vectors of length 1; one without length is the way to the camera. [N, 3]."""
    vectors = np.asarray(vectors, dtype=np.float64)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(length > 1e-9, vectors / length.clip(1e-9), np.array([0.0, 0.0, -1.0]))
