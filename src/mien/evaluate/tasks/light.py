"""Scores of the direction of light: what the factors say of it, and what a map makes of them.

    own direction        as the weights give it, no probe
    linear map           from the own direction, its ambient and diffuse share, to the true one,
                         fitted on other people
    all codes, ridge     from texture and shape code besides, fitted on other people
    always the mean      the mean direction of other people

An image without a face is lit from the camera for the first, and as the mean of other people for
the rest.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mien.columns import LIGHT, LIGHT_DIRECTION as AXES
from mien.errors import MienError
from mien.evaluate.by_yaw import yaw_table
from mien.evaluate.digest import data_digest
from mien.evaluate.error_score import INTERVAL, error_score
from mien.evaluate.gallery import small
from mien.evaluate.protocol import EvalContext, FactorColumns, Failure, Images, Result, Score, Table
from mien.evaluate.tasks.light_directions import apart_deg, off_axis_deg, unit_rows
from mien.linear.bootstrap import bootstrap
from mien.linear.metrics import correlation
from mien.linear.other_people import mean_of_others, predict_from_others

__all__ = ["LightSet", "score_light"]

Array = NDArray[np.floating]

SHARES = LIGHT[:2]
COLUMNS = ("texture_code", "shape_code", *AXES, *SHARES, "yaw_rad")
OWN, LINEAR = "own direction", "linear map"
RIDGE, MEAN = "all codes, ridge", "always the mean"
SUBSETS = ((0, 12), (12, 25), (25, 50), (50, 77), (77, 180))
"""Degrees between lamp and camera: the five subsets of the set's authors."""
FRONT_DEG = 77
"""Up to here most of the face is lit: all but the last subset."""
MISSING_SHARE = 0.01
"""Above this share of images without a face there is a score of the others, too."""
LOOKS_TURNED_DEG = 30


@dataclass(frozen=True)
class LightSet:
    """Images under one known lamp each; rows are in the order of the images."""

    images: Images
    person: NDArray[np.int64]
    """Who it is. [N]."""
    direction: Array
    """Unit vector to the lamp, camera frame. [N, 3]."""
    pose: NDArray[np.int64]
    """The set's number of the head pose. [N]."""
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.person)

    @property
    def digest(self) -> str:
        """Return 12 hex digits of the names and labels."""
        rows = zip(self.images.names, self.person, self.direction, strict=True)
        return data_digest(f"{n} {p} {x:.5f} {y:.5f} {z:.5f}" for n, p, (x, y, z) in rows)


def score_light(data: LightSet, context: EvalContext) -> Result:
    """Return correlations and angular errors, by lamp, by head pose and by own yaw.

    Raises:
        MienError: faces are found in no image; there is one person only; or factors cannot be
            had.
    """
    context.say(f"{len(data)} images")
    described = context.describe(data.images, COLUMNS)
    if not described.found.any():
        raise MienError("faces are found in no image; are these the right images?")
    predicted = _predictions(data, described)
    errors: dict[str, Array] = {
        name: apart_deg(predicted=vectors, truth=data.direction)
        for name, vectors in predicted.items()
    }
    shown = LINEAR if LINEAR in errors else RIDGE
    return Result(
        scores=tuple(_scores(data, described, predicted, errors, context)),
        data=data.digest,
        tables=_tables(data, described, errors),
        failures=_failures(data, predicted[shown], errors[shown], context),
        notes=(*data.notes, *_notes(described)),
    )


def _predictions(data: LightSet, described: FactorColumns) -> dict[str, Array]:
    """Return unit vectors to the lamp by kind of prediction. [N, 3]."""
    truth, person = data.direction, data.person
    own = np.stack([described[name] for name in AXES], axis=1).astype(np.float64)
    codes = described.joined("texture_code", "shape_code").astype(np.float64)
    kinds: dict[str, Array] = {}
    if np.isfinite(own).any():
        shares = np.stack([described[name] for name in SHARES], axis=1).astype(np.float64)
        features = np.concatenate([own, shares], axis=1)
        kinds[OWN] = unit_rows(np.nan_to_num(own))
        kinds[LINEAR] = predict_from_others(features=features, targets=truth, person=person)
        codes = np.concatenate([codes, features], axis=1)
    kinds[RIDGE] = predict_from_others(features=codes, targets=truth, person=person)
    kinds[MEAN] = mean_of_others(targets=truth, person=person)
    return {name: unit_rows(vectors) for name, vectors in kinds.items()}


def _scores(
    data: LightSet,
    described: FactorColumns,
    predicted: dict[str, Array],
    errors: dict[str, Array],
    context: EvalContext,
) -> list[Score]:
    scores = []
    for name in (OWN, LINEAR, RIDGE):
        if name in predicted:
            for place, axis in enumerate("xy"):
                said = predicted[name][:, place]
                title = f"light {axis} correlation, {name}"
                scores.append(_correlation(title, said, data, place, context, main=name == OWN))
                title = f"{title}, lamps within {FRONT_DEG} degrees"
                front = np.flatnonzero(off_axis_deg(data.direction) <= FRONT_DEG)
                scores.append(_correlation(title, said, data, place, context, rows=front))
    mains = (LINEAR,) if LINEAR in errors else (RIDGE,)
    for name, error in errors.items():
        title = f"angular error, {name}"
        scores.append(error_score(title, error, data.person, context, main=name in mains))
    if (~described.found).mean() > MISSING_SHARE:
        for name in mains:
            title = f"angular error, {name}, where a face is found"
            rows = np.flatnonzero(described.found)
            scores.append(error_score(title, errors[name][rows], data.person[rows], context))
    return scores


def _correlation(
    name: str,
    said: Array,
    data: LightSet,
    place: int,
    context: EvalContext,
    *,
    main: bool = False,
    rows: NDArray[np.int64] | None = None,
) -> Score:
    rows = np.arange(len(data)) if rows is None else rows
    said, truth = said[rows], data.direction[rows, place]

    def measure(drawn: NDArray[np.int64]) -> float:
        if len(drawn) < 2 or np.ptp(said[drawn]) == 0 or np.ptp(truth[drawn]) == 0:
            return float("nan")
        return correlation(prediction=said[drawn], target=truth[drawn])

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
        tables.append(_turns(subsets, data, yaw))
        title = "Angular error in degrees by head yaw as the weights predict it"
        tables.append(yaw_table(title=title, yaw_rad=yaw, values=errors))
    return tuple(tables)


def _turns(subsets: list[tuple[str, NDArray[np.bool_]]], data: LightSet, yaw: Array) -> Table:
    """Return how far faces that look ahead seem turned: one half in the dark, they seem so."""
    rows = []
    for name, inside in subsets:
        ahead = inside & (data.pose == 0) & np.isfinite(yaw)
        if ahead.any():
            turn = np.degrees(np.abs(yaw[ahead])).astype(np.float64)
            far = float((turn > LOOKS_TURNED_DEG).mean())
            rows.append((name, len(turn), round(float(turn.mean()), 2), round(100 * far, 2)))
    columns = ("part", "images", "mean own yaw, degrees", f"over {LOOKS_TURNED_DEG} degrees, %")
    return Table("How far frontal faces seem turned to the weights", columns, tuple(rows))


def _parts(
    title: str, parts: list[tuple[str, NDArray[np.bool_]]], errors: dict[str, Array]
) -> Table:
    rows = tuple(
        (name, int(inside.sum()), *(round(float(e[inside].mean()), 3) for e in errors.values()))
        for name, inside in parts
        if inside.any()
    )
    return Table(title, ("part", "images", *errors), rows)


def _failures(
    data: LightSet, predicted: Array, errors: Array, context: EvalContext
) -> tuple[Failure, ...]:
    failures = []
    for row in np.argsort(-errors, kind="stable")[: context.gallery]:
        failures.append(
            Failure(
                (small(data.images.read(int(row))),),
                f"{data.images.names[row]}: off by {errors[row]:.0f} degrees; lit from "
                f"{_where(data.direction[row])}, predicted {_where(predicted[row])}",
            )
        )
    return tuple(failures)


def _where(direction: Array) -> str:
    """Return where a lamp is, as a reader of the image sees it."""
    x, y, z = direction
    across = np.degrees(np.arctan2(-x, -z))
    up = np.degrees(np.arcsin(np.clip(-y, -1, 1)))
    side = "left" if across > 0 else "right"
    return f"{abs(across):.0f} {side} and {abs(up):.0f} {'up' if up > 0 else 'down'}"


def _notes(described: FactorColumns) -> list[str]:
    lost = int((~described.found).sum())
    return [f"no face is found in {lost} of {len(described)} images"]
