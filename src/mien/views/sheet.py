"""Contact sheets: rows are faces, columns are ways to look at them, captions on top."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from mien.media.image import to_uint8
from mien.model import Model
from mien.views.colours import normal_colours, on_background, shaded
from mien.views.edit import Edit, light_from, render_edited
from mien.views.poses import frontal_pose, rotated_pose

__all__ = ["Column", "contact_sheet", "factor_columns"]

_GAP, _MARGIN, _LINE = 4, 12, 15
_PAPER, _INK, _FAINT = (255, 255, 255), (20, 20, 20), (110, 110, 110)
_YAW = 0.6
_SIDE_LIGHT = (0.9, -0.5, -0.6)


@dataclass(frozen=True)
class Column:
    """One way to look at every face of a sheet."""

    caption: str
    """Broken into lines to fit over the images."""
    images: Tensor
    """RGB or grey in [0, 1], one a row of the sheet. [B, 3 or 1, h, w]."""


def contact_sheet(
    columns: Sequence[Column],
    *,
    title: str = "",
    subtitle: str = "",
    rows: Sequence[str] = (),
    cell: int = 112,
) -> NDArray[np.uint8]:
    """Lay images out on white paper.

    Args:
        columns: all with the same number of images, at least one.
        title: heading of the sheet.
        subtitle: a second, fainter line under it.
        rows: a caption for each row, printed under its first image; none where empty.
        cell: side of an image on the sheet, pixels.

    Returns:
        RGB uint8. [H, W, 3].
    """
    heading, small = ImageFont.load_default(18), ImageFont.load_default(11)
    captions = [_broken(column.caption, cell, small) for column in columns]
    count = len(columns[0].images)
    top = _MARGIN + (26 if title else 0) + (_LINE + 4 if subtitle else 0)
    first = top + _LINE * max(len(lines) for lines in captions) + _GAP
    pitch = cell + _GAP + (_LINE if rows else 0)
    size = (2 * _MARGIN + len(columns) * (cell + _GAP) - _GAP, first + count * pitch + _MARGIN)
    paper = Image.new("RGB", size, _PAPER)
    ink = ImageDraw.Draw(paper)
    ink.text((_MARGIN, _MARGIN - 4), title, fill=_INK, font=heading)
    ink.text((_MARGIN, _MARGIN + (24 if title else 0)), subtitle, fill=_FAINT, font=small)
    for i, (column, lines) in enumerate(zip(columns, captions, strict=True)):
        left = _MARGIN + i * (cell + _GAP)
        for j, line in enumerate(reversed(lines)):
            ink.text((left, first - _GAP - _LINE * (j + 1)), line, fill=_INK, font=small)
        for j, image in enumerate(_cells(column.images, cell)):
            paper.paste(Image.fromarray(image), (left, first + j * pitch))
    for j, text in enumerate(rows):
        ink.text((_MARGIN, first + j * pitch + cell), text, fill=_FAINT, font=small)
    return np.asarray(paper)


def _cells(images: Tensor, cell: int) -> NDArray[np.uint8]:
    """Enlarge images to cells. [B, C, h, w] -> uint8 [B, cell, cell, 3]."""
    images = images.detach().cpu().float().expand(-1, 3, -1, -1)
    return to_uint8(F.interpolate(images, (cell, cell), mode="bicubic", antialias=True))


def _broken(text: str, width: int, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> list[str]:
    """Break a caption at its spaces so that each line fits."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines or [""]


@torch.no_grad()
def factor_columns(model: Model, crops: Tensor, *, size: int = 112) -> list[Column]:
    """Encode crops and render them in every way that their factors allow.

    Args:
        model: encodes and renders.
        crops: uint8 or float in [0, 1]. [B, 3, H, W].
        size: side of the rendered images, pixels.

    Returns:
        Input, reconstruction, canonical albedo, shaded shape, normals, frontal, rotated to both
        sides, relit, neutral, and with the expression of the next row's face; B images each.
    """
    factors = model.encode(crops)
    pixels = crops.float() / 255 if crops.dtype == torch.uint8 else crops

    front = Edit(pose=frontal_pose(device=model.device))
    # Every face gets the expression of the one below it, the last that of the first.
    below = factors[torch.arange(1, len(factors) + 1, device=model.device) % len(factors)]
    edits = {
        "reconstruction": Edit(),
        "frontal": front,
        "rotated to image-left": Edit(pose=rotated_pose([_YAW], [0.0], model.device)),
        "rotated to image-right": Edit(pose=rotated_pose([-_YAW], [0.0], model.device)),
        "light from image-right": Edit(light=light_from(_SIDE_LIGHT, factors.light)),
        "neutral (identity)": replace(front, neutral=True),
        "expression of the next face": replace(front, expression=below),
    }
    seen = {name: render_edited(model, factors, edit, size=size) for name, edit in edits.items()}
    plain = seen["reconstruction"]
    columns = [Column(name, on_background(each.image, each.mask)) for name, each in seen.items()]
    columns[1:1] = [
        Column("canonical albedo", plain.canonical_albedo),
        Column("canonical shape, shaded", shaded(plain.canonical_normals)),
        Column("normals as seen", normal_colours(plain.normals, plain.mask)),
    ]
    return [Column("input", pixels), *columns]
