"""mien's own face detector: a network of 95,000 parameters that comes with the package.

It was learned from YuNet's answers on scenes of FairFace's photographs and rendered people, see
`mien pretrain detector`; it frames faces as YuNet does, and finds them up to 60 degrees on their
side.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.dense import Cells
from mien.faces.grid_detector import GridDetector, open_session

__all__ = ["MODEL_FILE", "OwnDetector"]

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
            return [(grid[0, :, 0], grid[0, :, 1:5], grid[0, :, 5:]) for grid in grids]

        super().__init__("mien", answer, least_score)


@cache
def _shipped() -> tuple[bytes, float]:
    folder = resources.files("mien.shipped")
    model = (folder / MODEL_FILE).read_bytes()
    stated = json.loads((folder / "detector.json").read_text())
    if hashlib.sha256(model).hexdigest() != stated["sha256"]:
        raise MienError(f"mien's {MODEL_FILE} is damaged; install mien again")
    return model, float(stated["least_score"])
