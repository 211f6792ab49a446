"""OpenCV's Haar cascades: a face detector that needs no file beyond the OpenCV 4 wheel.

Frontal faces are looked for first (once more in the mirrored image where none is found), then
faces turned to either side. The image is searched at a fixed working size with a border around
it, for a cascade does not see a face that touches the edge.
"""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.face import Box, Face, overlap

if TYPE_CHECKING:
    import cv2
    from cv2.typing import MatLike

__all__ = ["HaarDetector"]

_FILES = {
    "frontal": "haarcascade_frontalface_alt2.xml",
    "profile": "haarcascade_profileface.xml",
}
_BORDER = 0.2
"""Width of the border around the image in units of its shorter side."""
_LONGEST = {"frontal": 480, "profile": 300}
"""Working size with the border; the profile cascade is slow and rarely needed for small faces."""
_SHORTEST = 160
_LEAST_SIDE = 8
_LEAST_FACE = 20
_NEIGHBOURS = 3
# Last stage's sum at which a find is as likely a face as not, and how fast that changes.
_EVEN = {"frontal": (55.4, 0.5), "profile": (1.5, 0.8)}
_LEAST_WEIGHT = {"frontal": 55.0, "profile": 0.5}
# A profile cascade's box lies over the front of the face; as a frontal cascade would frame it:
# size, shift towards the back of the head, shift down, in units of the box's side.
_PROFILE = (0.98, 0.13, 0.037)
_SAME = 0.3


class HaarDetector:
    """Finds faces with the cascades inside the OpenCV wheel; safe to share between threads."""

    name = "haar"

    def __init__(self) -> None:
        """Load the cascades.

        Raises:
            MienError: if this OpenCV has no cascades (version 5 took them out).
        """
        self._own = threading.local()
        self._cascade("frontal")  # what cannot be loaded is refused here, not at the first image

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of an RGB image [H, W, 3]; one below 8 pixels a side has none."""
        import cv2

        if min(image.shape[:2]) < _LEAST_SIDE:
            return []
        grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
        faces = self._search(grey, "frontal", mirrored=False)
        faces = faces or self._search(grey, "frontal", mirrored=True)
        sides = [
            face
            for mirrored in (False, True)
            for face in self._search(grey, "profile", mirrored=mirrored)
        ]
        for face in sorted(sides, key=lambda face: (-face.score, face.box)):
            if all(overlap(face.box, other.box) < _SAME for other in faces):
                faces.append(face)
        return faces

    def _search(self, grey: MatLike, view: str, *, mirrored: bool) -> list[Face]:
        import cv2

        height, width = grey.shape
        border = math.ceil(_BORDER * min(height, width))
        full = max(height, width) + 2 * border
        scale = min(_LONGEST[view] / full, max(1.0, _SHORTEST / min(height, width)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.resize(grey, size, interpolation=kind)
        edge = round(border * scale)
        work = cv2.copyMakeBorder(small, edge, edge, edge, edge, cv2.BORDER_REPLICATE)
        boxes, _, weights = self._cascade(view).detectMultiScale3(
            np.ascontiguousarray(work[:, ::-1]) if mirrored else work,
            1.1,
            _NEIGHBOURS,
            minSize=(_LEAST_FACE, _LEAST_FACE),
            outputRejectLevels=True,
        )
        ratio = width / size[0], height / size[1]
        faces: list[Face] = []
        for (x, y, side, _), weight in zip(boxes, np.ravel(weights), strict=True):
            if weight < _LEAST_WEIGHT[view]:
                continue
            box = _frontal_box(x, y, side) if view == "profile" else (x, y, x + side, y + side)
            if mirrored:
                box = (work.shape[1] - box[2], box[1], work.shape[1] - box[0], box[3])
            faces.append(Face(_placed(box, edge, ratio), _score(float(weight), view)))
        return faces

    def _cascade(self, view: str) -> cv2.CascadeClassifier:
        """Return this thread's cascade: one keeps its last image while it searches."""
        if not hasattr(self._own, view):
            setattr(self._own, view, _load(_FILES[view]))
        return getattr(self._own, view)


def _load(name: str) -> cv2.CascadeClassifier:
    import cv2

    try:
        path = Path(cv2.__file__).parent / "data" / name
        cascade = cv2.CascadeClassifier(str(path))
        empty = cascade.empty()
    except (AttributeError, cv2.error):
        empty = True
        cascade = None
    if empty or cascade is None:
        raise MienError(
            f"OpenCV {cv2.__version__} has no Haar cascades; install 'opencv-python-headless<5', "
            "or take --detector yunet, or --detector none if the images are face crops"
        )
    return cascade


def _frontal_box(x: float, y: float, side: float) -> Box:
    size, back, down = _PROFILE
    centre_x, centre_y = x + side * (0.5 - back), y + side * (0.5 + down)
    half = side * size / 2
    return (centre_x - half, centre_y - half, centre_x + half, centre_y + half)


def _placed(box: Box, edge: int, ratio: tuple[float, float]) -> Box:
    """Return a box of the working image in pixels of the whole image."""
    x1, x2 = ((x - edge) * ratio[0] for x in (box[0], box[2]))
    y1, y2 = ((y - edge) * ratio[1] for y in (box[1], box[3]))
    return (float(x1), float(y1), float(x2), float(y2))


def _score(weight: float, view: str) -> float:
    even, width = _EVEN[view]
    return 1 / (1 + math.exp(-(weight - even) / width))
