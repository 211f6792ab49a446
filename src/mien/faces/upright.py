"""Faces in photographs that lie on their side or upside down, or that one face fills.

A detector finds upright faces with something around them. Where it finds none in a photograph, it
looks again with a border around the image, then at the image turned by quarters; the same where
all it finds is doubtful, and then only a turn with a sure face counts.

A large face that lies on its side or upside down is often found as if it were upright, with a
score that few upright faces have (0.65 to 0.87; upright 0.92 to 0.95 in the median). Where no face
is certain, the turns are looked at small, which shows large faces at a quarter of the cost, and
one that shows a face is looked at in full. The measurement is in docs/detection.md.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mien.faces.detect import find_faces
from mien.faces.face import Detector, Face

__all__ = ["find_upright", "turn_face"]

_TURNS = (1, 2, 3)
_BORDER = 0.5
"""Width of the border, in units of the image's shorter side."""
_DOUBTFUL, _SURE, _CERTAIN = 0.6, 0.85, 0.9
"""Scores of a find that may be none, of one that is a face beyond doubt, and of one that is a face
the right way up."""
_BETTER = 0.05
"""By how much the score of a turned face must be higher."""
_SMALL = 320
"""Longer side of the image that turns are looked at in first, pixels."""


def find_upright(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Return the faces of a photograph in the order of `find_faces`, whichever way up it lies.

    Args:
        image: RGB [H, W, 3] of any size.
        detector: see `mien.faces.detect.open_detector`.

    Returns:
        The faces, all with the same `turn`; their boxes and landmarks in the image as it is.
    """
    faces = find_faces(image, detector)
    best = _best(faces)
    if detector.name == "none" or best >= _CERTAIN:
        return faces
    turns = _TURNS
    least = max(_SURE, best + _BETTER) if faces else _DOUBTFUL
    if best >= _DOUBTFUL:
        turns = _hopeful(image, detector)
    elif not faces:
        faces = _with_border(image, detector)
        if _best(faces) >= _DOUBTFUL:
            return faces
    height, width = image.shape[:2]
    by_turn = {turn: find_faces(np.rot90(image, turn), detector) for turn in turns}
    turn = max(by_turn, key=lambda each: _best(by_turn[each]), default=0)
    if not turn or _best(by_turn[turn]) < least:
        return faces
    sides = (width, height) if turn % 2 else (height, width)
    back = [turn_face(face, -turn, *sides) for face in by_turn[turn]]
    return sorted((replace(face, turn=turn) for face in back), key=lambda face: face.box)


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


def _hopeful(image: NDArray[np.uint8], detector: Detector) -> tuple[int, ...]:
    """Return the turn that shows a face best in a small image; none where none does."""
    small = image
    if max(image.shape[:2]) > _SMALL:
        scale = _SMALL / max(image.shape[:2])
        height, width = (max(1, round(side * scale)) for side in image.shape[:2])
        small = np.array(
            Image.fromarray(image).resize((width, height), Image.Resampling.BOX), np.uint8
        )
    scores = {turn: _best(find_faces(np.rot90(small, turn), detector)) for turn in _TURNS}
    turn = max(scores, key=lambda each: scores[each])
    return (turn,) if scores[turn] >= _DOUBTFUL else ()


def _with_border(image: NDArray[np.uint8], detector: Detector) -> list[Face]:
    """Look for faces with the image's outermost pixels repeated around it."""
    border = round(_BORDER * min(image.shape[:2]))
    wide = np.pad(image, ((border, border), (border, border), (0, 0)), mode="edge")
    height, width = image.shape[:2]
    found: list[Face] = []
    for face in find_faces(wide, detector):
        x1, y1, x2, y2 = (side - border for side in face.box)
        marks = None if face.landmarks is None else face.landmarks - np.float32(border)
        if 0 < (x1 + x2) / 2 < width and 0 < (y1 + y2) / 2 < height:
            found.append(replace(face, box=(x1, y1, x2, y2), landmarks=marks))
    return found
