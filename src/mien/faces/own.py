"""mien's own face detector: a network of 95,000 parameters that comes with the package.

It was learned from YuNet's answers on scenes of FairFace's photographs and rendered people, see
`mien pretrain detector`; it frames faces as YuNet does, and finds them up to 60 degrees on their
side.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.dense import Cells
from mien.faces.grid_detector import GridDetector
from mien.faces.session import open_session

__all__ = ["MODEL_FILE", "OwnDetector"]

# Medians against YuNet's boxes on LFW, CelebA, WLASL with CelebV-Text and FER-2013: sides 1.024,
# 0.999, 1.023, 1.014; lower by -0.006, 0.017, 0.001, -0.016 sides.
_LARGER, _LOW = 0.985, 0.0

MODEL_FILE = "detector.onnx"
"""Name of the network's file in `mien.shipped`; detector.json beside it holds its SHA-256 and the
least score."""


class OwnDetector(GridDetector):
    """Finds faces with the network of the package; safe to share between threads."""

    def __init__(self) -> None:
        """Load the network.

        Raises:
            MienError: its file is damaged, or ONNX Runtime cannot load it.
        """
        model, least_score = _shipped()
        session = open_session(model, f"mien's {MODEL_FILE}")

        def answer(work: NDArray[np.uint8]) -> Sequence[Cells]:
            grids = session.run(None, {"image": work[None]})
            return [(grid[0, :, 0], _as_yunet(grid[0, :, 1:5]), grid[0, :, 5:]) for grid in grids]

        super().__init__("mien", answer, least_score)


def _as_yunet(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return boxes dx, dy, log w, log h [N, 4] moved to where YuNet's are in the median."""
    moved = boxes.copy()
    moved[:, 1] -= _LOW * np.exp(boxes[:, 2:].mean(axis=1).clip(max=8))
    moved[:, 2:] += math.log(_LARGER)
    return moved


@cache
def _shipped() -> tuple[bytes, float]:
    folder = resources.files("mien.shipped")
    model = (folder / MODEL_FILE).read_bytes()
    stated = json.loads((folder / "detector.json").read_text())
    if hashlib.sha256(model).hexdigest() != stated["sha256"]:
        raise MienError(f"mien's {MODEL_FILE} is damaged; install mien again")
    return model, float(stated["least_score"])
