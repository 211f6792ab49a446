"""What made-up data sets have in common: classes, images as text and file, and harmful pickles."""

from __future__ import annotations

from typing import Any

import numpy as np

from made_factors import png

FER = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
HEAD = "emotion,pixels,Usage\n"
PIXELS = " ".join(["7"] * 2304)
EYE = np.eye(3)
RGB = png(90, "jpeg")


class Harmful:
    """What unpickling would run."""

    def __reduce__(self) -> Any:
        return print, ("run",)
