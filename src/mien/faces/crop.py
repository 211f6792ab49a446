"""A face => the square image that the model sees.

The square is that of FER-2013's images: hairline to chin, the face's width some three quarters of
the side. By YuNet's landmarks, medians over 820 of its images: distance of the eyes 0.377 of the
side, eyes 0.381 and mouth 0.749 from the top; in our squares around faces in LFW 0.388, 0.398 and
0.756.

Both detectors' boxes lead to the same square. Haar's against YuNet's, median (quartile distance):

    images                            side            to the right    down
    LFW crops, 296 of 301               0.994 (0.051)    0.001 (0.057)  -0.001 (0.023)
    FER-2013 validation, 156 of 200     0.999 (0.085)    0.006 (0.062)   0.002 (0.038)
    Extended Yale B, 38 of 150          0.963 (0.090)   -0.041 (0.028)  -0.115 (0.056)

(shifts in sides of the square). Yale's images are cut so tightly that the frontal cascade finds
few of the faces and sees none whole. The profile cascade's squares, on 114 faces in LFW: 0.953,
0.021 towards the back of the head, -0.002 down.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.errors import MienError
from mien.faces.face import Face, Framing

__all__ = ["crop_face", "crop_square"]

# side, shift right, shift down of the square, in units of the box's size (see `crop_square`)
_SQUARES: dict[Framing, tuple[float, float, float]] = {
    "haar": (1.05, -0.003, 0.006),
    "yunet": (1.11, 0.0075, -0.018),
    "image": (1.0, 0.0, 0.0),
}

_LARGEST = 8
"""Side of a square that is cut out, in sides of the image."""


def crop_square(face: Face) -> tuple[float, float, float]:
    """Return the centre x, the centre y and the side of the square to be cut out, in pixels."""
    x1, y1, x2, y2 = face.box
    width, height = x2 - x1, y2 - y1
    if not (width > 0 and height > 0 and math.isfinite(width + height + x1 + y1)):
        raise ValueError(f"a box with a positive width and height is wanted, not {face.box}")
    size = min(width, height) if face.framing == "image" else math.sqrt(width * height)
    side, right, down = _SQUARES[face.framing]
    return (x1 + x2) / 2 + right * size, (y1 + y2) / 2 + down * size, side * size


def _check_square(x: float, y: float, side: float, height: int, width: int) -> None:
    outside = abs(x - width / 2) >= (width + side) / 2 or abs(y - height / 2) >= (height + side) / 2
    if outside or side > _LARGEST * max(height, width):
        what = "lies outside" if outside else "is far larger than"
        raise MienError(
            f"the box of a face, {side:.0f} pixels around ({x:.0f}, {y:.0f}), {what} the image of "
            f"{width} x {height} pixels"
        )


def crop_face(image: NDArray[np.uint8], face: Face, size: int) -> NDArray[np.uint8]:
    """Cut a face out as a square of `size` pixels; RGB [size, size, 3].

    Sampled with a triangle filter as wide as the reduction asks for (antialiased, no ringing);
    beyond the image its outermost pixels are repeated.

    Args:
        image: RGB [H, W, 3].
        face: a face in this image's pixels.
        size: side of the result in pixels.

    Raises:
        MienError: the square shows nothing of the image, or next to nothing: the box is another
            image's, or in other units.
    """
    x, y, side = crop_square(face)
    _check_square(x, y, side, *image.shape[:2])
    left, top = x - side / 2, y - side / 2
    margin = math.ceil(side / size) + 1  # what the filter reaches over the square's edge
    columns = math.floor(left) - margin, math.ceil(left + side) + margin
    rows = math.floor(top) - margin, math.ceil(top + side) + margin
    inner = (left - columns[0], top - rows[0], left + side - columns[0], top + side - rows[0])
    out = Image.fromarray(_window(image, rows, columns)).resize(
        (size, size), Image.Resampling.BILINEAR, box=inner
    )
    return np.array(out)


def _window(
    image: NDArray[np.uint8], rows: tuple[int, int], columns: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return these rows and columns, first and past the last, anywhere; contiguous."""
    height, width = image.shape[:2]
    inside = image[max(rows[0], 0) : rows[1], max(columns[0], 0) : columns[1]]
    inside = np.ascontiguousarray(inside)
    above, below = max(0, -rows[0]), max(0, rows[1] - height)
    left, right = max(0, -columns[0]), max(0, columns[1] - width)
    if not (above or below or left or right):
        return inside
    kind = cv2.BORDER_REPLICATE
    return cv2.copyMakeBorder(inside, above, below, left, right, kind).astype(np.uint8, copy=False)
