"""Compiled kernels on whole images, and the threads that frames are shared out to."""

from __future__ import annotations

import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit

__all__ = ["add_stretched", "blur", "for_each_frame"]


def for_each_frame(work: Callable[[int], None], frames: int) -> None:
    """Call `work` with each frame's number, on as many threads as torch uses."""
    threads = min(torch.get_num_threads(), frames)
    if threads <= 1:
        for frame in range(frames):
            work(frame)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, range(frames)):
            pass


@njit(nogil=True, cache=True, error_model="numpy")
def add_stretched(image: np.ndarray, field: np.ndarray) -> None:
    """Stretch a coarse field [C, C, 3], C >= 2, bilinearly over an image [S, S, 3] and add it."""
    size, cells = image.shape[0], field.shape[0]
    step = (cells - 1.0) / (size - 1.0)
    for y in range(size):
        top = min(int(y * step), cells - 2)
        down = np.float32(y * step - top)
        up = np.float32(1.0) - down
        for x in range(size):
            left = min(int(x * step), cells - 2)
            right = np.float32(x * step - left)
            for k in range(3):
                at_left = field[top, left, k] * up + field[top + 1, left, k] * down
                at_right = field[top, left + 1, k] * up + field[top + 1, left + 1, k] * down
                image[y, x, k] += at_left + right * (at_right - at_left)


@njit(nogil=True, cache=True, error_model="numpy")
def blur(image: np.ndarray, sigma: float) -> None:
    """Blur an image [S, S, 3] in place with a Gaussian of `sigma` > 0 pixels; edges repeat."""
    size = image.shape[0]
    reach = max(1, math.ceil(3.0 * sigma))
    weights = np.empty(2 * reach + 1, np.float32)
    for j in range(2 * reach + 1):
        weights[j] = math.exp(-0.5 * ((j - reach) / sigma) ** 2)
    weights /= weights.sum()
    rows = np.zeros_like(image)
    for y in range(size):
        for x in range(size):
            for j in range(2 * reach + 1):
                at = min(max(x + j - reach, 0), size - 1)
                for k in range(3):
                    rows[y, x, k] += weights[j] * image[y, at, k]
    image[:] = 0.0
    for y in range(size):
        for j in range(2 * reach + 1):
            at = min(max(y + j - reach, 0), size - 1)
            for x in range(size):
                for k in range(3):
                    image[y, x, k] += weights[j] * rows[at, x, k]
