"""Frontalization: frontal views made of rotated faces against the true frontal rendering."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.evaluate.datasets.synthetic_frontal import FrontalPair, FrontalPerson, FrontalSet
from mien.evaluate.protocol import EvalContext, Failure, Result, Score, Table
from mien.evaluate.scores import mean_score, small, yaw_table
from mien.evaluate.tasks.arcface import ArcFace, identity_scores
from mien.media.image import to_uint8
from mien.model import Model, prepare
from mien.pipeline.encode import to_batch
from mien.types import Factors, Pose
from mien.views.edit import Edit, render_edited

__all__ = ["score_frontal"]

Array = NDArray[np.floating]

KINDS = ("made", "copy", "ceiling")
"""made: the frontal view of the rotated face; copy: the rotated image as it is, what doing nothing
gives; ceiling: the frontal view made of the true frontal image, the best that the model can render.
"""
MIN_HIDDEN = 0.02
"""Fraction of the face; less is not scored: folds and borders, not a side of the face."""
LEVELS = "levels of 255"


@dataclass(frozen=True)
class FrontalView:
    """One made view and its distances from the truth, at the model's own size s."""

    pair: FrontalPair
    made: NDArray[np.uint8]
    """RGB [s, s, 3]."""
    psnr_db: tuple[float, ...]
    """Inside the true face; one for each of `KINDS`."""
    ssim: tuple[float, ...]
    """Likewise."""
    seen_error: float
    """Mean absolute colour error of the made view where the rotated image shows the face; levels
    of 255."""
    hidden_error: float
    """The same where it does not; NaN where less than `MIN_HIDDEN` was."""
    hidden_fraction: float
    """Of the face, in [0, 1]."""


def score_frontal(data: FrontalSet, context: EvalContext) -> Result:
    """Make frontal views and compare them with the truth.

    Raises:
        MienError: there is no model to render with, or a broken arcface.onnx.
    """
    arcface = None if data.arcface is None else ArcFace(data.arcface)
    model = context.rendering_model("frontal")
    return frontal_result(data.people, model, context, data=data.checksum, arcface=arcface)


def frontal_result(
    given: Iterator[FrontalPerson],
    model: Model,
    context: EvalContext,
    *,
    data: str,
    arcface: ArcFace | None = None,
) -> Result:
    """Make the frontal views of all people and sum up.

    Args:
        given: of each person the pairs and the rotated images.
        model: makes the views.
        context: seed and gallery.
        data: names the data.
        arcface: measures identity where given.
    """
    views: list[FrontalView] = []
    for pairs, rotated in given:
        context.say(f"frontal: person {pairs[0].person + 1}")
        views += frontal_views(model, pairs, rotated)
    scores = _scores(views, context)
    tables = [_table(views), _by_yaw(views)]
    if arcface is not None:
        context.say("frontal: arcface")
        found, table = identity_scores(
            [view.pair for view in views], [view.made for view in views], arcface, context.rng(2)
        )
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
            "the view is rendered without rotation where the model sees the true frontal face, so "
            "framing is not scored; hidden is what the rotated image does not show, by geometry; "
            f"its colour is scored where it is {100 * MIN_HIDDEN:.0f} % of the face or more",
        ),
    )


def _scores(views: list[FrontalView], context: EvalContext) -> list[Score]:
    person, rng = np.array([view.pair.person for view in views]), context.rng(1)

    def score(name: str, values: Array, unit: str, *, main: bool = False) -> Score:
        better = unit != LEVELS
        return mean_score(name, values, person, rng, unit=unit, higher_is_better=better, main=main)

    made = np.array([view.psnr_db for view in views])
    alike = np.array([view.ssim for view in views])
    hidden = np.array([view.hidden_error for view in views])
    seen = np.array([view.seen_error for view in views])
    return [
        score("PSNR", made[:, 0], "dB", main=True),
        score("PSNR, gain over the rotated image", made[:, 0] - made[:, 1], "dB"),
        score("PSNR, from the true frontal image", made[:, 2], "dB"),
        score("SSIM", alike[:, 0], "", main=True),
        score("SSIM, gain over the rotated image", alike[:, 0] - alike[:, 1], ""),
        score("SSIM, from the true frontal image", alike[:, 2], ""),
        score("colour error, hidden part", hidden, LEVELS, main=True),
        score("colour error, visible part", seen, LEVELS),
    ]


def _table(views: list[FrontalView]) -> Table:
    names = {
        "made": "made of the rotated image",
        "copy": "the rotated image itself",
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
        title="by yaw of the given head",
        yaw_rad=column([view.pair.yaw for view in views]),
        values={
            "PSNR, dB": column([view.psnr_db[0] for view in views]),
            "PSNR of the rotated image, dB": column([view.psnr_db[1] for view in views]),
            "SSIM": column([view.ssim[0] for view in views]),
            "SSIM of the rotated image": column([view.ssim[1] for view in views]),
            "hidden, % of the face": column([100 * view.hidden_fraction for view in views]),
            "colour error, hidden": column([view.hidden_error for view in views]),
            "colour error, visible": column([view.seen_error for view in views]),
        },
    )


def _failures(views: list[FrontalView], count: int) -> tuple[Failure, ...]:
    """Return the views farthest from the truth: given, made, true."""
    worst = sorted(views, key=lambda view: view.psnr_db[0])[:count]
    return tuple(
        Failure(
            (small(view.pair.rotated), view.made, small(view.pair.frontal)),
            f"yaw {np.degrees(view.pair.yaw):+.0f} degrees: {view.psnr_db[0]:.1f} dB",
        )
        for view in worst
    )


@torch.no_grad()
def frontal_views(
    model: Model, pairs: Sequence[FrontalPair], given: Sequence[NDArray[np.uint8]]
) -> list[FrontalView]:
    """Make and score frontal views.

    The view is rendered with no rotation at all, at the place where the model sees the true
    frontal face: framing is not scored. Light stays as the model predicts it from the rotated
    image.

    Args:
        model: encodes and renders.
        pairs: the truth.
        given: the rotated images. RGB uint8 [S, S, 3] each.
    """
    side = model.config.image_size
    rotated = model.network(_batch(model, given))
    straight = model.network(_batch(model, [pair.frontal for pair in pairs]))
    places = straight.pose.translation
    made = _rendered(model, rotated, places)
    ceiling = _rendered(model, straight, places)
    views = []
    for row, pair in enumerate(pairs):
        truth = _reduced(pair.frontal, side)
        face, hidden = _reduced(pair.face, side) > 0.5, _reduced(pair.hidden, side) > 0.5
        kinds = [_image(made[row]), _reduced(given[row], side), _image(ceiling[row])]
        hidden &= face
        away = {"made": kinds[0], "truth": truth}
        fraction = float(hidden.sum() / max(1, face.sum()))
        scored = fraction >= MIN_HIDDEN
        views.append(
            FrontalView(
                pair=pair,
                made=to_uint8(made[row]),
                psnr_db=tuple(psnr(made=kind, truth=truth, mask=face) for kind in kinds),
                ssim=tuple(ssim(made=kind, truth=truth, mask=face) for kind in kinds),
                seen_error=colour_error(**away, mask=face & ~hidden),
                hidden_error=colour_error(**away, mask=hidden) if scored else float("nan"),
                hidden_fraction=fraction,
            )
        )
    return views


def _batch(model: Model, images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return crops at the model's size. [B, 3, s, s]."""
    size = (model.config.image_size, model.config.image_size)
    return torch.cat([prepare(to_batch([p]), size) for p in images]).to(model.device)


def _rendered(model: Model, factors: Factors, places: Tensor) -> Tensor:
    """Render frontal faces at these places. [B, 3, s, s]."""
    eye = torch.eye(3, device=places.device).expand(len(places), 3, 3)
    face = render_edited(model, factors, Edit(pose=Pose(eye, places)))
    return face.image * face.mask


def _image(image: Tensor) -> Array:
    """[3, H, W] => [H, W, 3], float64."""
    return image.movedim(0, -1).cpu().numpy().astype(np.float64)


def _reduced(image: NDArray[np.uint8] | NDArray[np.bool_], side: int) -> Array:
    """Return an image in [0, 1] (or a mask as fractions) at another size. [side, side(, 3)]."""
    white = 1.0 if image.dtype == np.bool_ else 255.0
    how = cv2.INTER_AREA if len(image) > side else cv2.INTER_LINEAR
    found = cv2.resize(np.asarray(image, np.float32) / white, (side, side), interpolation=how)
    return np.asarray(found, np.float64)


def psnr(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the peak signal-to-noise ratio, dB: −10 log10 of the mean squared error.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].
    """
    squared = float(((made - truth)[mask] ** 2).mean())
    return float(-10 * np.log10(max(squared, 1e-10)))


def ssim(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the structural similarity of Wang et al. 2004, mean over the mask and the colours.

        SSIM = (2 μx μy + c1)(2 σxy + c2) / ((μx² + μy² + c1)(σx² + σy² + c2))

    with means, variances and covariance under a Gaussian of 1.5 pixels, 11 wide; c1 = 0.01² and
    c2 = 0.03² for values in [0, 1]. The window reaches over the mask's border.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].

    Raises:
        MienError: scikit-image is not installed.
    """
    try:
        from skimage.metrics import structural_similarity
    except ImportError as error:
        raise MienError("SSIM needs scikit-image: pip install 'mien[eval]'") from error
    found = structural_similarity(
        made,
        truth,
        data_range=1.0,
        channel_axis=-1,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return float(np.asarray(found[1])[mask].mean())


def colour_error(*, made: Array, truth: Array, mask: NDArray[np.bool_]) -> float:
    """Return the mean absolute difference of colours in levels of 255; NaN for an empty mask.

    Args:
        made: RGB in [0, 1]. [H, W, 3].
        truth: likewise.
        mask: pixels that count. [H, W].
    """
    if not mask.any():
        return float("nan")
    return float(255 * np.abs(made - truth)[mask].mean())
