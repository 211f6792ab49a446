"""Codes of images for verification: the mean of each image's and its mirror image's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.protocol import MIRRORED, EvalContext, FactorColumns, Images

__all__ = ["CODES", "FaceCodes", "face_codes", "mirrored"]

CODES: Mapping[str, tuple[str, ...]] = {
    "face_embedding": ("face_embedding",),
    "identity": ("identity",),
    "both codes": ("texture_code", "shape_code"),
}
"""What is compared, by the columns that it is made of; the first that there is, is the main one:
not all weights, and not all tables, know face embedding."""


@dataclass(frozen=True)
class FaceCodes:
    """What verification needs of images."""

    found: NDArray[np.bool_]
    """Whether there is a code. [N]."""
    detected: NDArray[np.bool_]
    """Whether a face was detected in the image as it is. [N]."""
    codes: Mapping[str, NDArray[np.float32]]
    """By the names of `CODES`, the main one first; NaN where there is none. Each [N, D]."""
    yaw_rad: NDArray[np.floating] | None
    """How the head is turned, as predicted; None where that cannot be had. [N]."""
    both_sides: bool
    """Whether mirror images have been described too."""


def face_codes(images: Images, context: EvalContext, *, width: float | None = None) -> FaceCodes:
    """GetFactors images and their mirror images.

    Args:
        images: N of them.
        context: with what.
        width: of every image, with crop "box". Pixels.

    Raises:
        MienError: the codes cannot be had.
    """
    there = {
        name: parts
        for name, parts in CODES.items()
        if name != "face_embedding" or _can(context, images, "face_embedding")
    }
    columns = tuple(dict.fromkeys(name for names in there.values() for name in names))
    # Other methods know no pose, and a table holds what was embedded and no more: one image
    # tells which, before thousands are described.
    yaw_known = _can(context, images, "yaw_rad")
    turned = mirrored(images, width=width)
    both_sides = _can(context, turned, columns[0])
    context.say(f"describing {len(images)} images")
    plain = context.describe(images, (*columns, "yaw_rad") if yaw_known else columns)
    mirror = None
    if both_sides:
        context.say("describing their mirror images")
        mirror = context.describe(turned, columns)
    codes = {name: _mean(plain, mirror, parts) for name, parts in there.items()}
    found = plain.found if mirror is None else plain.found | mirror.found
    yaw = plain["yaw_rad"] if yaw_known else None
    return FaceCodes(found, plain.detected, codes, yaw, both_sides)


def mirrored(images: Images, *, width: float | None = None) -> Images:
    """Return the images as in a mirror, under other names.

    Args:
        images: N of them.
        width: of every image, with crop "box". Pixels.
    """
    boxes, fallback = images.boxes, images.fallback
    if boxes is not None:
        if width is None:
            raise ValueError("boxes are mirrored about the middle of a known width")
        boxes = np.stack([width - boxes[:, 2], boxes[:, 1], width - boxes[:, 0], boxes[:, 3]], 1)
    if fallback is not None:
        fallback = (1 - fallback[2], fallback[1], 1 - fallback[0], fallback[3])
    return replace(
        images,
        names=tuple(name + MIRRORED for name in images.names),
        read=lambda i: np.ascontiguousarray(images.read(i)[:, ::-1]),
        boxes=boxes,
        fallback=fallback,
    )


def _can(context: EvalContext, images: Images, column: str) -> bool:
    """Return whether a column of such images can be had, by the first of them."""
    boxes = None if images.boxes is None else images.boxes[:1]
    try:
        context.describe(replace(images, names=images.names[:1], boxes=boxes), (column,))
    except MienError:
        return False
    return True


def _mean(
    plain: FactorColumns, mirror: FactorColumns | None, parts: tuple[str, ...]
) -> NDArray[np.float32]:
    """Return the mean of what there is, NaN where there is neither. [N, D]."""
    one = plain.joined(*parts).astype(np.float32)
    if mirror is None:
        return one
    other = mirror.joined(*parts).astype(np.float32)
    both = (plain.found & mirror.found)[:, None]
    single = np.where(plain.found[:, None], one, other)
    return np.where(both, (one + other) / 2, single)
