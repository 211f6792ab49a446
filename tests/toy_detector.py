"""A detector with grids of cells for tests: what is red is a face; and images for it."""

from __future__ import annotations

import cv2
import numpy as np

from mien.faces.grid_detector import STRIDES, GridDetector
from mien.media.image import write_png

MARKS = np.array([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.2, 0.3], [0.2, 0.3]], np.float32)
"""Landmarks from the middle of a face, in units of its side."""


def toy_answer(image):
    """Cells of the whole: every red cell says where the middle of all that is red near it is."""
    grids = []
    red = (image[..., 0].astype(np.float32) - image[..., 1:].max(axis=2)).clip(0) / 255
    for stride in STRIDES:
        score = cv2.resize(red, None, fx=1 / stride, fy=1 / stride, interpolation=cv2.INTER_AREA)
        size = np.sqrt(cv2.blur(red, (97, 97)) * 97**2 + stride**2)
        side = cv2.resize(size, None, fx=1 / stride, fy=1 / stride) / stride
        side = side.reshape(-1, 1).astype(np.float32)
        boxes = np.concatenate(
            [np.full((len(side), 2), 0.5, np.float32), np.log(side).repeat(2, 1)], 1
        )
        marks = (0.5 + MARKS[None] * side[:, None]).reshape(len(side), 10)
        grids.append(((1.2 * score).clip(0, 1).reshape(-1), boxes, marks))
    return grids


def toy_teacher(name="toy"):
    return GridDetector(name, toy_answer, 0.6)


def face_image(seed, side=96):
    """A grey image with a red face in its middle."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), rng.integers(60, 120), np.uint8)
    middle = side // 2
    cv2.circle(image, (middle, middle), int(side * 0.3), (230, 20, 20), -1)
    return image


def blue_image(seed, height=120, width=160):
    """A soft image in which nothing is red."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (5, 6, 3), dtype=np.uint8)
    coarse[..., 0] = 0
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)


def write_images(folder, make, count):
    folder.mkdir(parents=True)
    for number in range(count):
        write_png(folder / f"{number}.png", make(number))
    return folder
