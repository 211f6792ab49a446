"""The protocol `frontal`: frontal views made of turned faces against the true frontal drawing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from mien.evaluate.datasets.synthetic_frontal import FrontalPerson, FrontalSet
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table
from mien.evaluate.scores import small, yaw_table
from mien.evaluate.tasks.arcface import ArcFace
from mien.evaluate.tasks.frontal_identity import identity_scores
from mien.evaluate.tasks.frontal_views import KINDS, LEAST_HIDDEN, FrontalView, made_views
from mien.linear.bootstrap import mean_interval
from mien.model import Model

__all__ = ["outcome_of", "score_frontal"]

Array = NDArray[np.floating]

LEVELS = "levels of 255"


def score_frontal(data: FrontalSet, context: EvalContext) -> Result:
    """Make frontal views and hold them against the truth.

    Raises:
        MienError: there is no model to render with, or a broken arcface.onnx.
    """
    arcface = None if data.arcface is None else ArcFace(data.arcface)
    model = context.rendering_model("frontal")
    return outcome_of(data.people, model, context, data=data.checksum, arcface=arcface)


def outcome_of(
    given: Iterator[FrontalPerson],
    model: Model,
    context: EvalContext,
    *,
    data: str,
    arcface: ArcFace | None = None,
) -> Result:
    """Make the frontal views of all people and sum up.

    Args:
        given: of each person the pairs and the turned images.
        model: makes the views.
        context: seed and gallery.
        data: names the data.
        arcface: measures identity where given.
    """
    views: list[FrontalView] = []
    for pairs, turned in given:
        context.say(f"frontal: person {pairs[0].person + 1}")
        views += made_views(model, pairs, turned)
    scores = _scores(views, context)
    tables = [_table(views), _by_yaw(views)]
    if arcface is not None:
        context.say("frontal: arcface")
        found, table = identity_scores(views, arcface, context.rng(2))
        scores += found
        tables.append(table)
    side = model.config.image_size
    return Result(
        scores=tuple(scores),
        data=data,
        tables=tuple(tables),
        failures=_failures(views, context.gallery),
        notes=(
            f"{len(views)} images of {len({v.pair.person for v in views})} people; compared at "
            f"{side} pixels, inside the face (an ellipse within the true head)",
            "the view is drawn without any turn where the model sees the true frontal face, so "
            "framing is not judged; hidden is what the turned image does not show, by geometry; "
            f"its colour is judged where it is {100 * LEAST_HIDDEN:.0f} % of the face or more",
        ),
    )


def _scores(views: list[FrontalView], context: EvalContext) -> list[Score]:
    person, rng = np.array([view.pair.person for view in views]), context.rng(1)

    def score(name: str, values: Array, unit: str, *, main: bool = False) -> Score:
        known = np.isfinite(values)
        count = int(known.sum())
        if not count:
            return Score(name, float("nan"), unit, 0, higher_is_better=False)
        ends = mean_interval(values=values[known], groups=person[known], rng=rng)
        better = unit != LEVELS
        mean = float(values[known].mean())
        return Score(name, mean, unit, count, *ends, higher_is_better=better, main=main)

    made = np.array([view.psnr_db for view in views])
    alike = np.array([view.ssim for view in views])
    hidden = np.array([view.hidden_error for view in views])
    seen = np.array([view.seen_error for view in views])
    return [
        score("PSNR", made[:, 0], "dB", main=True),
        score("PSNR, gain over the turned image", made[:, 0] - made[:, 1], "dB"),
        score("PSNR, made of the true frontal image", made[:, 2], "dB"),
        score("SSIM", alike[:, 0], "", main=True),
        score("SSIM, gain over the turned image", alike[:, 0] - alike[:, 1], ""),
        score("SSIM, made of the true frontal image", alike[:, 2], ""),
        score("colour error, part that was hidden", hidden, LEVELS, main=True),
        score("colour error, part that was seen", seen, LEVELS),
    ]


def _table(views: list[FrontalView]) -> Table:
    names = {
        "made": "made of the turned image",
        "copy": "the turned image itself",
        "ceiling": "made of the true frontal image",
    }
    rows = []
    for place, kind in enumerate(KINDS):
        of_db = float(np.mean([view.psnr_db[place] for view in views]))
        alike = float(np.mean([view.ssim[place] for view in views]))
        rows.append((names[kind], round(of_db, 3), round(alike, 4)))
    return Table("against the true frontal image", ("view", "PSNR, dB", "SSIM"), tuple(rows))


def _by_yaw(views: list[FrontalView]) -> Table:
    def column(values: list[float]) -> Array:
        return np.array(values, dtype=np.float64)

    return yaw_table(
        title="by how far the given head is turned",
        yaw_rad=column([view.pair.yaw for view in views]),
        values={
            "PSNR, dB": column([view.psnr_db[0] for view in views]),
            "PSNR of the turned image, dB": column([view.psnr_db[1] for view in views]),
            "SSIM": column([view.ssim[0] for view in views]),
            "SSIM of the turned image": column([view.ssim[1] for view in views]),
            "hidden, % of the face": column([100 * view.hidden_share for view in views]),
            "colour error, hidden": column([view.hidden_error for view in views]),
            "colour error, seen": column([view.seen_error for view in views]),
        },
    )


def _failures(views: list[FrontalView], count: int) -> tuple[Failure, ...]:
    """Return the views farthest from the truth: given, made, true."""
    worst = sorted(views, key=lambda view: view.psnr_db[0])[:count]
    return tuple(
        Failure(
            (small(view.pair.turned), view.made, small(view.pair.frontal)),
            f"yaw {np.degrees(view.pair.yaw):+.0f} degrees: {view.psnr_db[0]:.1f} dB",
        )
        for view in worst
    )
