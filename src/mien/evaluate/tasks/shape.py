"""Scores of depth maps against true ones, beside what is had without looking at the image.

flat            a plane: one depth everywhere
mean of others  the mean true depth of other people's images at each pixel
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.datasets.sets import ShapeSet as TrueShape
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table
from mien.evaluate.scores import INTERVAL, error_score, small, yaw_table
from mien.evaluate.tasks.depth_metrics import (
    normal_deviation_deg,
    normals_of,
    scale_invariant_error,
    shrunk,
)
from mien.evaluate.tasks.rendered_depth import Drawn
from mien.linear.bootstrap import mean_interval
from mien.linear.metrics import correlation

__all__ = ["score_shape"]

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]

PREDICTED, FLAT, MEAN = "predicted", "flat", "mean of others"
FEWEST_PIXELS = 20
"""With fewer, true and drawn face do not lie on one another."""
SHOWN_SIDE = 128
AT_ONCE = 256
"""So many normal maps are held at a time: a set may have 20,000 images."""


def score_shape(truth: TrueShape, drawn: Drawn, fov_deg: float, context: EvalContext) -> Result:
    """Return SIDE, MAD and the correlation of depth, by how far the head is turned.

    Args:
        truth: of the images.
        drawn: depth of the same images by the weights.
        fov_deg: of the model's camera.
        context: with what it is run.

    Raises:
        MienError: in no image the drawn face lies on the true one.
    """
    mask = shrunk(truth.mask) & shrunk(drawn.mask)
    seen = mask.sum(axis=(1, 2)) >= FEWEST_PIXELS
    if not seen.any():
        raise MienError("the weights draw no face where one is; give others with --weights")
    errors = _errors(truth, drawn, mask, fov_deg)
    found = np.flatnonzero(seen)
    scores = [
        error_score(
            f"{metric}, {name}",
            values[found],
            truth.group[found],
            context,
            unit=unit,
            main=name == PREDICTED,
        )
        for name, each in errors.items()
        for metric, (values, unit) in zip(
            ("SIDE", "MAD"), ((each[0], "x 0.01"), (each[1], "degrees")), strict=True
        )
    ]
    scores.append(_correlation(truth, drawn, mask, found, context))
    lost = len(truth) - len(found)
    return Result(
        scores=tuple(scores),
        data=truth.data,
        tables=(_by_yaw(truth, drawn, errors, seen),),
        failures=_failures(truth, drawn, errors[PREDICTED], found, context),
        notes=(
            *truth.notes,
            f"in {lost} of {len(truth)} images the drawn face does not lie on the true one; "
            "they are left out",
        ),
    )


def _errors(
    truth: TrueShape, drawn: Drawn, mask: Mask, fov_deg: float
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Return SIDE in hundredths and MAD in degrees of each prediction, part by part. [N], [N]."""
    errors = {
        name: (np.zeros(len(truth)), np.zeros(len(truth))) for name in (PREDICTED, FLAT, MEAN)
    }
    total = (truth.depth * truth.mask).sum(axis=0, dtype=np.float64)
    sums = {"depth": total, "count": truth.mask.sum(axis=0).astype(np.float64)}
    for rows in _parts(truth.group):
        inside, surface = mask[rows], np.where(truth.mask[rows], truth.depth[rows], 1.0)
        true_normals = normals_of(surface, fov_deg)
        for name, depth in (
            (PREDICTED, np.where(drawn.mask[rows], drawn.depth[rows], 1.0)),
            (FLAT, np.ones_like(surface)),
            (MEAN, _mean_of_others(truth, rows, sums)),
        ):
            side = scale_invariant_error(prediction=depth, target=surface, mask=inside)
            turned = normal_deviation_deg(
                prediction=normals_of(depth, fov_deg), target=true_normals, mask=inside
            )
            errors[name][0][rows], errors[name][1][rows] = 100 * side, turned
    return errors


def _parts(group: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Yield rows, some hundred at a time; all of one group together."""
    order = np.argsort(group, kind="stable")
    part: list[NDArray[np.int64]] = []
    for rows in np.split(order, np.flatnonzero(np.diff(group[order])) + 1):
        part.append(rows)
        if sum(map(len, part)) >= AT_ONCE:
            yield np.concatenate(part)
            part = []
    if part:
        yield np.concatenate(part)


def _mean_of_others(
    truth: TrueShape, rows: NDArray[np.int64], sums: dict[str, NDArray[np.float64]]
) -> NDArray[np.float64]:
    """Return the mean true depth over images of others; 1 where nobody's is known. [R, S, S].

    Args:
        truth: all images.
        rows: some, with all of their groups.
        sums: of depth, and of how often it is known, over all images. Each [S, S].
    """
    _, place = np.unique(truth.group[rows], return_inverse=True)
    known = truth.mask[rows].astype(np.float64)
    shape = (int(place.max()) + 1, *known.shape[1:])
    own, count = np.zeros(shape), np.zeros(shape)
    np.add.at(own, place, truth.depth[rows] * known)
    np.add.at(count, place, known)
    others = sums["count"] - count
    mean = np.where(others > 0.5, (sums["depth"] - own) / others.clip(1), 1.0)
    return mean[place]


def _correlation(
    truth: TrueShape, drawn: Drawn, mask: Mask, rows: NDArray[np.int64], context: EvalContext
) -> Score:
    """Return the mean over images of the correlation of depth inside the face."""
    found = np.array(
        [
            correlation(prediction=drawn.depth[row][mask[row]], target=truth.depth[row][mask[row]])
            if min(np.ptp(drawn.depth[row][mask[row]]), np.ptp(truth.depth[row][mask[row]])) > 0
            else 0.0
            for row in rows
        ]
    )
    low, high = mean_interval(values=found, groups=truth.group[rows], rng=context.rng(INTERVAL))
    value = float(found.mean())
    return Score(
        "depth correlation, predicted", value, "correlation", len(rows), low=low, high=high
    )


def _by_yaw(
    truth: TrueShape,
    drawn: Drawn,
    errors: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]],
    seen: NDArray[np.bool_],
) -> Table:
    whose = "true head yaw" if truth.yaw is not None else "head yaw as the weights predict it"
    values = {
        f"{metric}, {name}": np.where(seen, each[place], np.nan)
        for place, metric in enumerate(("SIDE", "MAD"))
        for name, each in errors.items()
    }
    return yaw_table(
        title=f"SIDE in hundredths and MAD in degrees by {whose}",
        yaw_rad=drawn.yaw if truth.yaw is None else truth.yaw,
        values=values,
    )


def _failures(
    truth: TrueShape,
    drawn: Drawn,
    errors: tuple[NDArray[np.float64], NDArray[np.float64]],
    rows: NDArray[np.int64],
    context: EvalContext,
) -> tuple[Failure, ...]:
    side, turned = errors
    failures = []
    for row in rows[np.argsort(-side[rows], kind="stable")][: context.gallery]:
        maps = _grey(truth.depth[row], truth.mask[row]), _grey(drawn.depth[row], drawn.mask[row])
        failures.append(
            Failure(
                (small(truth.read(int(row))), *maps),
                f"{truth.names[row]}: SIDE {side[row]:.1f}, MAD {turned[row]:.0f} degrees; the "
                "image, its true depth, the drawn one",
            )
        )
    return tuple(failures)


def _grey(depth: Array, mask: Mask) -> NDArray[np.uint8]:
    """Show depth: the nearest point white, the farthest dark, nothing black. [S, S, 3]."""
    shown = np.zeros(depth.shape)
    if mask.any():
        near, far = depth[mask].min(), depth[mask].max()
        shown = np.where(mask, 1 - 0.8 * (depth - near) / max(far - near, 1e-9), 0.0)
    grey = (255 * shown.clip(0, 1)).astype(np.uint8)
    times = max(1, SHOWN_SIDE // len(grey))
    return np.repeat(grey.repeat(times, axis=0).repeat(times, axis=1)[..., None], 3, axis=2)
