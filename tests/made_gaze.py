"""A gaze branch that sees eyes in anything, and eye-region crops that show nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.media.image import write_png


def branch_of(code_dim=4):
    """A gaze branch with random weights whose localizer sees eyes left and right of the middle."""
    config = GazeConfig(code_dim=code_dim, dim=16, heads=2, bottleneck_depth=1, stem_width=4)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        branch = EMIB(config).eval().requires_grad_(requires_grad=False)
    for parameter in branch.localizer.parameters():
        parameter.zero_()
    branch.localizer.get_parameter("layers.2.bias").fill_(1.0)
    # Beyond the border there is nothing to hold the map down: it rises left, or right.
    branch.localizer.maps.weight[0, 0, 1, 0] = branch.localizer.maps.weight[1, 0, 1, 2] = -2.8
    branch.localizer.get_parameter("score.2.bias").fill_(20.0)
    return branch


def write_eye_crops(folder: Path, count: int = 30) -> Path:
    """Write coarse noise, 200 x 96 pixels, and return the folder."""
    rng = np.random.default_rng(0)
    folder.mkdir()
    for number in range(count):
        coarse = rng.integers(0, 256, (12, 25, 3), dtype=np.uint8)
        write_png(folder / f"{number:02}.png", coarse.repeat(8, axis=0).repeat(8, axis=1))
    return folder
