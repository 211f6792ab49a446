"""Canvases around the eyes, sampled by their definition."""

from __future__ import annotations

import torch
from torch import Tensor

from mien.gaze.config import CANVAS_HEIGHT, CANVAS_MIDDLE, CANVAS_WIDTH
from mien.gaze.cut import offsets, sample_at


def cut_canvas(pixels: Tensor, middle: Tensor) -> Tensor:
    """Cut [B, 1, CANVAS_HEIGHT, CANVAS_WIDTH] so that a middle [B, 2] falls on CANVAS_MIDDLE."""
    around = offsets((CANVAS_HEIGHT, CANVAS_WIDTH), CANVAS_MIDDLE, torch.device("cpu"))
    return sample_at(pixels, around + middle[:, None, None])
