"""What the gaze branch is trained on: luminance around the eyes, uncut, and a small face."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from mien.gaze.config import (
    CANVAS_HEIGHT,
    CANVAS_WIDTH,
    EYE_CROP_HEIGHT,
    EYE_CROP_WIDTH,
    FACE_CROP,
    FACE_SIDE,
)

__all__ = ["FORM", "EyeForm", "EyeRow", "eye_row", "placeable"]

Grey = np.ndarray[Any, np.dtype[np.uint8]]
Points = np.ndarray[Any, np.dtype[np.float32]]

# Eyes nearer to each other than this fraction of the crop belong to a profile: one is hidden.
_MIN_DISTANCE = 0.05
# Where there is no face its eyes are far outside, left and right.
_NOWHERE = 1e3


@dataclass(frozen=True)
class EyeForm:
    """Sizes of the images, in pixels; by default the gaze branch's own."""

    crop: int = FACE_CROP
    """Side of the face crop whose pixels the canvas shares."""
    eye_crop: tuple[int, int] = (EYE_CROP_HEIGHT, EYE_CROP_WIDTH)
    """Height and width of eye-region crops with both eyes."""
    canvas: tuple[int, int] = (CANVAS_HEIGHT, CANVAS_WIDTH)
    """Height and width of the canvas around both eyes."""
    face: int = FACE_SIDE
    """Side of the small face."""


FORM = EyeForm()


@dataclass(frozen=True)
class EyeRow:
    """One image, cut around its eyes."""

    canvas: Grey
    """Luminance; its middle pixel (row H // 2, column W // 2) is the middle between the eyes,
    rounded. uint8 [H, W]."""
    eyes: Points
    """x, y of the eye left of the image, then right of it; pixels of the canvas. [2, 2]."""
    face: Grey
    """The whole crop, small; zeros for an eye-region crop. uint8 [F, F]."""
    face_eyes: Points
    """The eyes in `face`, pixels; far outside for an eye-region crop. [2, 2]."""


def eye_row(pixels: Grey, eyes: Points, form: EyeForm, *, eye_crop: bool = False) -> EyeRow:
    """Cut a crop around its eyes; beyond the crop its border is repeated.

    Args:
        pixels: RGB crop or eye-region crop. [H, W, 3].
        eyes: x, y of the eye left of the image, then right of it; pixels, centres at integers.
        form: sizes.
        eye_crop: whether it is an eye-region crop, which has no face.
    """
    grey = np.asarray(Image.fromarray(np.ascontiguousarray(pixels)).convert("L"))
    height, width = form.canvas
    # Whole pixels: the canvas is a cut, not a blur.
    x, y = np.rint(eyes.mean(axis=0)).astype(int) - (width // 2, height // 2)
    rows = np.arange(y, y + height).clip(0, grey.shape[0] - 1)
    columns = np.arange(x, x + width).clip(0, grey.shape[1] - 1)
    inside = (eyes - np.array([x, y])).astype(np.float32)
    if eye_crop:
        nowhere = np.array([[-_NOWHERE] * 2, [_NOWHERE] * 2], dtype=np.float32)
        return EyeRow(
            grey[rows][:, columns], inside, np.zeros((form.face, form.face), np.uint8), nowhere
        )
    # A triangle filter, as for crops.
    small = Image.fromarray(grey).resize((form.face, form.face), Image.Resampling.BILINEAR)
    scale = np.array([form.face / grey.shape[1], form.face / grey.shape[0]])
    face_eyes = ((eyes + 0.5) * scale - 0.5).astype(np.float32)
    return EyeRow(grey[rows][:, columns], inside, np.array(small), face_eyes)


def placeable(eyes: Points, height: int, width: int) -> bool:
    """Return whether both eyes are in an image of this size, and far enough from each other."""
    within = (eyes >= 0).all() and (eyes <= np.array([width - 1, height - 1])).all()
    distance = float(np.linalg.norm(eyes[1] - eyes[0]))
    return bool(np.isfinite(eyes).all() and within and distance >= _MIN_DISTANCE * width)
