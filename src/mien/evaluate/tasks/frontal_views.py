"""Frontal views made by a model of turned faces, and how far they are from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.evaluate.datasets.synthetic_frontal import FrontalPair
from mien.evaluate.tasks.image_metrics import colour_error, psnr, ssim
from mien.media.image import to_float, to_uint8
from mien.model import Model, prepare
from mien.types import Factors, Pose
from mien.views.edit import Edit, render_edited

__all__ = ["KINDS", "LEAST_HIDDEN", "FrontalView", "made_views"]

Array = NDArray[np.floating]

KINDS = ("made", "copy", "ceiling")
"""made: the frontal view of the turned face; copy: the turned image as it is, what doing nothing
gives; ceiling: the frontal view made of the true frontal image, what the model can draw at best.
"""
LEAST_HIDDEN = 0.02
"""Share of the face; where less was hidden nothing is said of it: folds and rims, not a side."""


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
    """Mean absolute colour error of the made view where the turned image shows the face; levels
    of 255."""
    hidden_error: float
    """The same where it does not; NaN where less than `LEAST_HIDDEN` was."""
    hidden_share: float
    """Of the face, in [0, 1]."""


@torch.no_grad()
def made_views(
    model: Model, pairs: Sequence[FrontalPair], given: Sequence[NDArray[np.uint8]]
) -> list[FrontalView]:
    """Make and judge frontal views.

    The view is drawn with no turn at all, at the place where the model sees the true frontal face:
    framing is not judged. Light stays as the model reads it off the turned image.

    Args:
        model: reads and draws.
        pairs: the truth.
        given: the turned images. RGB uint8 [S, S, 3] each.
    """
    side = model.config.image_size
    turned = model.network(_batch(model, given))
    straight = model.network(_batch(model, [pair.frontal for pair in pairs]))
    places = straight.pose.translation
    made = _drawn(model, turned, places)
    ceiling = _drawn(model, straight, places)
    views = []
    for row, pair in enumerate(pairs):
        truth = _reduced(pair.frontal, side)
        face, hidden = _reduced(pair.face, side) > 0.5, _reduced(pair.hidden, side) > 0.5
        kinds = [_image(made[row]), _reduced(given[row], side), _image(ceiling[row])]
        hidden &= face
        away = {"made": kinds[0], "truth": truth}
        share = float(hidden.sum() / max(1, face.sum()))
        told = share >= LEAST_HIDDEN
        views.append(
            FrontalView(
                pair=pair,
                made=to_uint8(made[row]),
                psnr_db=tuple(psnr(made=kind, truth=truth, mask=face) for kind in kinds),
                ssim=tuple(ssim(made=kind, truth=truth, mask=face) for kind in kinds),
                seen_error=colour_error(**away, mask=face & ~hidden),
                hidden_error=colour_error(**away, mask=hidden) if told else float("nan"),
                hidden_share=share,
            )
        )
    return views


def _batch(model: Model, images: Sequence[NDArray[np.uint8]]) -> Tensor:
    """Return crops at the model's size. [B, 3, s, s]."""
    size = (model.config.image_size, model.config.image_size)
    return torch.cat([prepare(to_float(p)[None], size) for p in images]).to(model.device)


def _drawn(model: Model, factors: Factors, places: Tensor) -> Tensor:
    """Draw faces straight at these places. [B, 3, s, s]."""
    eye = torch.eye(3, device=places.device).expand(len(places), 3, 3)
    drawn = render_edited(model, factors, Edit(pose=Pose(eye, places)))
    return drawn.image * drawn.mask


def _image(image: Tensor) -> Array:
    """[3, H, W] => [H, W, 3], float64."""
    return image.movedim(0, -1).cpu().numpy().astype(np.float64)


def _reduced(image: NDArray[np.uint8] | NDArray[np.bool_], side: int) -> Array:
    """Return an image in [0, 1] (or a mask as shares) at another size. [side, side(, 3)]."""
    white = 1.0 if image.dtype == np.bool_ else 255.0
    how = cv2.INTER_AREA if len(image) > side else cv2.INTER_LINEAR
    found = cv2.resize(np.asarray(image, np.float32) / white, (side, side), interpolation=how)
    return np.asarray(found, np.float64)
