"""Identity as a face recogniser of others sees it: an ArcFace network that the user has.

The file is run by OpenCV. It takes RGB faces of 112 x 112 pixels, aligned by five points, as
(value − 127.5) / 127.5.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.media.names import to_text

__all__ = ["SIDE", "ArcFace", "aligned"]

SIDE = 112
POINTS = np.array(
    [
        [38.2946, 51.6963],
        [73.5318, 51.5014],
        [56.0252, 71.7366],
        [41.5493, 92.3655],
        [70.7299, 92.2041],
    ]
)
"""Where eyes, nose tip and mouth corners stand in an aligned face, pixels: those of the public
ArcFace networks (insightface)."""


class ArcFace:
    """A network that gives codes of aligned faces."""

    def __init__(self, path: Path) -> None:
        """Open an ONNX file.

        Raises:
            MienError: OpenCV cannot read it.
        """
        self._path = path
        try:
            self._net = cv2.dnn.readNetFromONNX(str(path))
        except cv2.error as error:
            raise MienError(
                f"{to_text(path)} is no ONNX file that OpenCV can read; "
                "give an ArcFace network exported to ONNX, or take the file away"
            ) from error

    def codes(self, faces: list[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Return codes of length 1. [N, D].

        Args:
            faces: aligned, RGB [112, 112, 3] each.

        Raises:
            MienError: the network does not take such images.
        """
        found = []
        for face in faces:
            blob = cv2.dnn.blobFromImage(face, 1 / 127.5, (SIDE, SIDE), (127.5, 127.5, 127.5))
            try:
                self._net.setInput(blob)
                found.append(np.asarray(self._net.forward(), np.float64).reshape(-1))
            except cv2.error as error:
                raise MienError(
                    f"{to_text(self._path)} does not take RGB faces of {SIDE} x {SIDE} pixels; "
                    "it is no ArcFace network"
                ) from error
        codes = np.stack(found)
        return codes / np.linalg.norm(codes, axis=1, keepdims=True).clip(1e-12)


def aligned(image: NDArray[np.uint8], marks: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Return a face brought to the five points by turn, scale and shift. RGB [112, 112, 3].

    Args:
        image: RGB [H, W, 3].
        marks: eye left of the image, eye right of it, nose tip, mouth corners, pixels. [5, 2].
    """
    # u = a x − b y + c, v = b x + a y + d: least squares for a, b, c, d.
    x, y = np.asarray(marks, np.float64).T
    one, zero = np.ones(len(marks)), np.zeros(len(marks))
    system = np.concatenate(
        [np.stack([x, -y, one, zero], axis=1), np.stack([y, x, zero, one], axis=1)]
    )
    a, b, c, d = np.linalg.lstsq(system, POINTS.T.reshape(-1), rcond=None)[0]
    matrix = np.array([[a, -b, c], [b, a, d]])
    found = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(found, np.uint8)
