"""A face => the square picture that the model sees."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.face import Face, Framing

__all__ = ["crop_face", "crop_square"]

# side, shift right, shift down of the square, in units of the box's size (see `crop_square`)
_SQUARES: dict[Framing, tuple[float, float, float]] = {
    "haar": (1.05, -0.003, 0.006),
    "yunet": (1.11, 0.0075, -0.018),
    "picture": (1.0, 0.0, 0.0),
}


def crop_square(face: Face) -> tuple[float, float, float]:
    """Return the centre x, the centre y and the side of the square to be cut out, in pixels."""
    x1, y1, x2, y2 = face.box
    width, height = x2 - x1, y2 - y1
    if not (width > 0 and height > 0 and math.isfinite(width + height + x1 + y1)):
        raise ValueError(f"a box with a positive width and height is wanted, not {face.box}")
    size = min(width, height) if face.framing == "picture" else math.sqrt(width * height)
    side, right, down = _SQUARES[face.framing]
    return (x1 + x2) / 2 + right * size, (y1 + y2) / 2 + down * size, side * size


def crop_face(image: NDArray[np.uint8], face: Face, size: int) -> NDArray[np.uint8]:
    """Cut a face out as a square of `size` pixels; RGB [size, size, 3].

    Sampled with a triangle filter as wide as the reduction asks for (antialiased, no ringing);
    beyond the picture its outermost pixels go on.

    Args:
        image: RGB [H, W, 3].
        face: a face in this picture's pixels.
        size: side of the result in pixels.
    """
    x, y, side = crop_square(face)
    left, top = x - side / 2, y - side / 2
    margin = math.ceil(side / size) + 1  # what the filter reaches over the square's edge
    columns = np.arange(math.floor(left) - margin, math.ceil(left + side) + margin)
    rows = np.arange(math.floor(top) - margin, math.ceil(top + side) + margin)
    around = image[rows.clip(0, image.shape[0] - 1)][:, columns.clip(0, image.shape[1] - 1)]
    inner = (left - columns[0], top - rows[0], left + side - columns[0], top + side - rows[0])
    out = Image.fromarray(np.ascontiguousarray(around)).resize(
        (size, size), Image.Resampling.BILINEAR, box=inner
    )
    return np.array(out)
