"""The columns that show at a glance what a model makes of faces, and what can be done with it."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.model import Model
from mien.types import Factors, Pose
from mien.views.colours import normal_colours, on_background, shaded
from mien.views.redraw import Edit, light_from, redraw
from mien.views.sheet import Column
from mien.views.turntable import frontal_pose, rotated_pose

__all__ = ["factor_columns"]

_TURN = 0.6
_SIDE_LIGHT = (0.9, -0.5, -0.6)


@torch.no_grad()
def factor_columns(model: Model, crops: Tensor, *, size: int = 112) -> list[Column]:
    """Encode crops and draw them in every way that their factors allow.

    Args:
        model: encodes and draws.
        crops: uint8 or float in [0, 1]. [B, 3, H, W].
        size: side of the drawn images, pixels.

    Returns:
        Input, reconstruction, canonical albedo, shaded shape, normals, frontal, turned to both
        sides, in another light, neutral, and with the expression of the next row's face.
    """
    factors = model.encode(crops)
    pixels = crops.float() / 255 if crops.dtype == torch.uint8 else crops

    def drawn(edit: Edit) -> Tensor:
        rendering = redraw(model, factors, edit, size=size)
        return on_background(rendering.image, rendering.mask)

    front = frontal_pose(device=model.device)
    plain = redraw(model, factors, Edit(), size=size)
    frontal = redraw(model, factors, Edit(pose=front), size=size)
    return [
        Column("input", pixels),
        Column("reconstruction", on_background(plain.image, plain.mask)),
        Column("canonical albedo", plain.canonical_albedo),
        Column("canonical shape, shaded", shaded(plain.canonical_normals)),
        Column("normals as seen", normal_colours(plain.normals, plain.mask)),
        Column("frontal", on_background(frontal.image, frontal.mask)),
        Column("turned to image-left", drawn(Edit(pose=_turned(_TURN, model)))),
        Column("turned to image-right", drawn(Edit(pose=_turned(-_TURN, model)))),
        Column("light from image-right", drawn(Edit(light=light_from(_SIDE_LIGHT, factors.light)))),
        Column("neutral (identity)", drawn(Edit(pose=front, neutral=True))),
        Column("expression of the next face", drawn(_swapped(factors, front))),
    ]


def _turned(yaw: float, model: Model) -> Pose:
    return rotated_pose([yaw], [0.0], model.device)


def _swapped(factors: Factors, pose: Pose) -> Edit:
    """Give every face the expression of the one below it, the last that of the first."""
    order = torch.arange(1, len(factors) + 1, device=factors.neutral_texture.device) % len(factors)
    return Edit(pose=pose, expression=factors[order])
