"""Faces in photographs that lie on their side or upside down, or that one face fills.

A detector finds upright faces with something around them. Where it finds none in a photograph, it
looks again with a border around the image, then at the image turned by quarters; the same where
all it finds is doubtful, and then only a turn with a sure face counts.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from mien.faces.detect import find_faces
from mien.faces.face import Detector, Face

__all__ = ["find_upright", "turn_face"]

_BORDER = 0.5
"""Width of the border, in units of the image's shorter side."""
_TILE = 320
"""Longest side at which the other views are first looked at, pixels."""
_DOUBTFUL, _SURE = 0.6, 0.9
"""Scores of a find that may be none, and of one that is a face beyond doubt."""


def find_upright(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Return the faces of a photograph in the order of `find_faces`, whichever way up it lies.

    Args:
        image: RGB [H, W, 3] of any size.
        detector: see `mien.faces.detect.open_detector`.

    Returns:
        The faces, all with the same `turn`; their boxes and landmarks in the image as it is.
    """
    faces = find_faces(image, detector)
    if detector.name == "none" or any(face.score >= _DOUBTFUL for face in faces):
        return faces
    least = _SURE if faces else _DOUBTFUL
    # Most images without a face end here: four views at once cost no more than the image did.
    hopeful = _hopeful(image, detector)
    if not faces and 0 in hopeful:
        faces = _with_border(image, detector)
        if _best(faces) >= _DOUBTFUL:
            return faces
    turned = {turn: find_faces(np.rot90(image, turn), detector) for turn in hopeful if turn}
    turn = max(turned, key=lambda each: _best(turned[each]), default=0)
    if not turn or _best(turned[turn]) < least:
        return faces
    height, width = image.shape[:2]
    sides = (width, height) if turn % 2 else (height, width)
    back = [turn_face(face, -turn, *sides) for face in turned[turn]]
    return sorted((replace(face, turn=turn) for face in back), key=lambda face: face.box)


def _hopeful(image: NDArray[np.uint8], detector: Detector) -> list[int]:
    """Return which views are worth a closer look, 0 being the image with a border around it.

    All of them are looked at in one image, each in a quarter of it.
    """
    import cv2

    height, width = image.shape[:2]
    scale = min(1.0, _TILE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
    views = [_bordered(small), *(np.rot90(small, turn) for turn in (1, 2, 3))]
    side = max(max(view.shape[:2]) for view in views)
    canvas = np.full((2 * side, 2 * side, 3), 127, np.uint8)
    for place, view in enumerate(views):
        top, left = side * (place // 2), side * (place % 2)
        canvas[top : top + view.shape[0], left : left + view.shape[1]] = view
    found: set[int] = set()
    for face in find_faces(canvas, detector):
        x, y = (face.box[0] + face.box[2]) / 2, (face.box[1] + face.box[3]) / 2
        if 0 <= min(x, y) and max(x, y) < 2 * side:
            found.add(int(y // side) * 2 + int(x // side))
    return sorted(found)


def turn_face(face: Face, turn: int, height: int, width: int) -> Face:
    """Return a face in the image turned by `turn` quarters counterclockwise, as `np.rot90` turns.

    Args:
        face: in the image as it is.
        turn: quarters; less than 0 is clockwise.
        height: of the image as it is, pixels.
        width: likewise.
    """
    x1, y1, x2, y2 = face.box
    points = np.array([(x1, y1), (x2, y2)], np.float64)
    if face.landmarks is not None:
        points = np.concatenate([points, face.landmarks])
    for _ in range(turn % 4):
        points = np.stack([points[:, 1], width - points[:, 0]], axis=1)
        height, width = width, height
    (x1, y1), (x2, y2) = points[:2].min(axis=0).tolist(), points[:2].max(axis=0).tolist()
    landmarks = None if face.landmarks is None else points[2:].astype(np.float32)
    return replace(face, box=(x1, y1, x2, y2), landmarks=landmarks)


def _best(faces: list[Face]) -> float:
    return max((face.score for face in faces), default=0.0)


def _with_border(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Look for faces with the image's outermost pixels repeated around it."""
    border, wide = _border_width(image), _bordered(image)
    height, width = image.shape[:2]
    found: list[Face] = []
    for face in find_faces(wide, detector):
        x1, y1, x2, y2 = (side - border for side in face.box)
        marks = None if face.landmarks is None else face.landmarks - np.float32(border)
        if 0 < (x1 + x2) / 2 < width and 0 < (y1 + y2) / 2 < height:
            found.append(replace(face, box=(x1, y1, x2, y2), landmarks=marks))
    return found


def _border_width(image: NDArray[np.uint8]) -> int:
    return round(_BORDER * min(image.shape[:2]))


def _bordered(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    border = _border_width(image)
    return np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
