"""YuNet, a small neural face detector with landmarks; its file is given or found, never fetched.

The file is the OpenCV Zoo's (MIT licence), pinned by its hash. It is looked for where the caller
says, else where `MIEN_YUNET` says, else in the cache folder: `MIEN_CACHE`, else
`$XDG_CACHE_HOME/mien`, else `~/.cache/mien`.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.dense import Cells
from mien.faces.grid_detector import STRIDES, GridDetector
from mien.faces.session import open_session

__all__ = ["YUNET_SHA256", "YUNET_SOURCE", "YunetDetector", "find_yunet", "yunet_place"]

YUNET_SHA256 = "ebafce4e3c118d6554634be5c27ab333b4c047a9a8c3faf1d7cf93101c22f0f0"
"""Hash of the one file that is loaded."""

_NAME = "face_detection_yunet_2026may.onnx"
_NAMES = (_NAME, "face_detection_yunet.onnx")
YUNET_SOURCE = f"https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/{_NAME}"
_LEAST_SCORE = 0.6


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


class YunetDetector(GridDetector):
    """Finds faces with YuNet at a fixed working size; safe to share between threads."""

    def __init__(self, path: str | Path | None = None) -> None:
        """Load the file, see `find_yunet`.

        Raises:
            MienError: if the file is not to be found, is another file, or cannot be loaded.
        """
        found = find_yunet(path)
        if found is None:
            raise MienError(f"the detector yunet is asked for and its file is missing; {_advice()}")
        session = open_session(_read(found), f"YuNet ({found})")
        names = [each.name for each in session.get_outputs()]

        def answer(work: NDArray[np.uint8]) -> Sequence[Cells]:
            image = np.ascontiguousarray(work[:, :, ::-1].transpose(2, 0, 1)[None], np.float32)
            maps = dict(zip(names, session.run(None, {"input": image}), strict=True))
            return [_cells(maps, stride) for stride in STRIDES]

        super().__init__("yunet", answer, _LEAST_SCORE)


def _read(path: Path) -> bytes:
    try:
        model = path.read_bytes()
    except OSError as error:
        raise MienError(f"cannot read {path}: {error.strerror}") from error
    if hashlib.sha256(model).hexdigest() != YUNET_SHA256:
        raise MienError(f"{path} is not the YuNet file that is known, or damaged; {_advice()}")
    return model


def _cells(maps: Mapping[str, NDArray[np.float32]], stride: int) -> Cells:
    """Return the answers of one grid: the score is the geometric mean of YuNet's two."""
    of_class, of_object = (maps[f"{name}_{stride}"][0, :, 0].clip(0, 1) for name in ("cls", "obj"))
    return np.sqrt(of_class * of_object), maps[f"bbox_{stride}"][0], maps[f"kps_{stride}"][0]


def yunet_place() -> Path:
    """Return where `mien download yunet` puts the file."""
    return _cache() / _NAME


def _cache() -> Path:
    place = os.environ.get("MIEN_CACHE")
    if place:
        return Path(place)
    # Who has no home folder, as in a container, has nothing there either.
    return Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")) / "mien"  # noqa: PTH111


def _advice() -> str:
    return (
        "mien download yunet fetches it (230 KB); or name it in MIEN_YUNET, or take --detector mien"
    )
