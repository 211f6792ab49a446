"""YuNet, a small neural face detector with landmarks; its file is given or found, never fetched.

The file is the OpenCV Zoo's (MIT licence), pinned by its hash. It is looked for where the caller
says, else where `MIEN_YUNET` says, else in the cache folder: `MIEN_CACHE`, else
`$XDG_CACHE_HOME/mien`, else `~/.cache/mien`.
"""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.face import Face

if TYPE_CHECKING:
    import cv2

__all__ = ["YUNET_SHA256", "YunetDetector", "find_yunet"]

YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""Hash of the one file that is loaded."""

_NAME = "face_detection_yunet_2026may.onnx"
_NAMES = (_NAME, "face_detection_yunet.onnx")
_SOURCE = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{_NAME}"
# YuNet was made for faces of 10 to 300 pixels: large images are reduced, small ones enlarged.
_LONGEST = 640
_SHORTEST = 160
_LEAST_SCORE = 0.6
_LEAST_SIDE = 8
_LEAST_WORK = 64


def find_yunet(given: str | Path | None = None) -> Path | None:
    """Return where YuNet's file is, or None if it is nowhere and nobody said where.

    Args:
        given: where it must be; else `MIEN_YUNET` is obeyed, else the cache folder is searched.

    Raises:
        MienError: if a place was given, here or in `MIEN_YUNET`, and the file is not there.
    """
    place = given or os.environ.get("MIEN_YUNET")
    if place:
        if not Path(place).is_file():
            by = "" if given else " (from MIEN_YUNET)"
            raise MienError(f"no YuNet file at {place}{by}; {_advice()}")
        return Path(place)
    return next((path for name in _NAMES if (path := _cache() / name).is_file()), None)


class YunetDetector:
    """Finds faces with YuNet at a fixed working size; safe to share between threads."""

    name = "yunet"

    def __init__(self, path: str | Path | None = None) -> None:
        """Load the file, see `find_yunet`.

        Raises:
            MienError: if the file is not to be found, is another file, or OpenCV is too old.
        """
        found = find_yunet(path)
        if found is None:
            raise MienError(f"the detector yunet is asked for and its file is missing; {_advice()}")
        try:
            self._model = np.frombuffer(found.read_bytes(), np.uint8)
        except OSError as error:
            raise MienError(f"cannot read {found}: {error.strerror}") from error
        if hashlib.sha256(self._model.tobytes()).hexdigest() != YUNET_SHA256:
            raise MienError(f"{found} is not the YuNet file that is known, or damaged; {_advice()}")
        self._own = threading.local()
        self._network()  # what cannot be loaded is refused here, not at the first image

    def __call__(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces of an RGB image [H, W, 3]; one below 8 pixels a side has none."""
        import cv2

        height, width = image.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return []
        scale = min(_LONGEST / max(height, width), max(1.0, _SHORTEST / min(height, width)))
        size = max(1, round(width * scale)), max(1, round(height * scale))
        kind = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        work = cv2.cvtColor(cv2.resize(image, size, interpolation=kind), cv2.COLOR_RGB2BGR)
        # OpenCV reads past the end of images that are wide and less than 33 pixels high.
        right, below = (max(0, _LEAST_WORK - side) for side in size)
        work = cv2.copyMakeBorder(work, 0, below, 0, right, cv2.BORDER_CONSTANT)
        network = self._network()
        network.setInputSize((work.shape[1], work.shape[0]))
        rows = network.detect(work)[1]
        to_image = np.array([width / size[0], height / size[1]])
        found = [] if rows is None else rows
        return [
            _face(row, to_image) for row in found if np.isfinite(row).all() and min(row[2:4]) > 0
        ]

    def _network(self) -> cv2.FaceDetectorYN:
        """Return this thread's network: one keeps its last image's size and sums."""
        import cv2

        network = getattr(self._own, "network", None)
        if network is None:
            nothing = np.zeros(0, np.uint8)
            try:
                network = cv2.FaceDetectorYN.create(
                    "onnx", self._model, nothing, (_LONGEST, _LONGEST), _LEAST_SCORE, 0.3, 500
                )
            except (AttributeError, TypeError, cv2.error) as error:
                raise MienError(
                    f"OpenCV {cv2.__version__} cannot load YuNet; install "
                    "opencv-python-headless 4.10 or later, or take --detector haar"
                ) from error
            self._own.network = network
        return network


def _face(row: NDArray[np.float32], to_image: NDArray[np.float64]) -> Face:
    corner, extent = row[0:2] * to_image, row[2:4] * to_image
    x1, y1, x2, y2 = (float(side) for side in (*corner, *(corner + extent)))
    # YuNet's order is the person's right first, which is the image's left.
    landmarks = (row[4:14].reshape(5, 2) * to_image).astype(np.float32)
    return Face((x1, y1, x2, y2), float(row[14]), landmarks, "yunet")


def _cache() -> Path:
    place = os.environ.get("MIEN_CACHE")
    if place:
        return Path(place)
    # Who has no home folder, as in a container, has nothing there either.
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "mien"  # noqa: PTH111


def _advice() -> str:
    return (
        f"fetch {_SOURCE} (230 KB, SHA-256 {YUNET_SHA256}) into {_cache()} or name it in "
        "MIEN_YUNET, or take --detector haar"
    )
