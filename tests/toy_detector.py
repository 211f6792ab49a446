"""A detector with grids of cells for tests: what is red is a face; and images for it."""

from __future__ import annotations

import cv2
import numpy as np

from mien.faces.grid_detector import STRIDES, GridDetector
from mien.media.image import write_png

MARKS = np.array([[-0.2, -0.2], [0.2, -0.2], [0, 0], [-0.2, 0.3], [0.2, 0.3]], np.float32)
"""Landmarks from the middle of a face, in units of its side."""


def toy_answer(image):
    """Cells of the whole: every red cell says where the red patch is that it lies in."""
    red = image[..., 0].astype(np.float32) - image[..., 1:].max(axis=2) > 90
    _, labels, patches, middles = cv2.connectedComponentsWithStats(red.astype(np.uint8))
    grids = []
    for stride in STRIDES:
        shape = (image.shape[0] // stride, stride, image.shape[1] // stride, stride)
        share = red.reshape(shape).mean(axis=(1, 3)).ravel().astype(np.float32)
        label = labels.reshape(shape).max(axis=(1, 3)).ravel()
        corner = np.stack(np.divmod(np.arange(len(label)), shape[2])[::-1], axis=1)
        side = np.maximum(patches[label, cv2.CC_STAT_WIDTH], 2)[:, None] / stride
        middle = middles[label] / stride - corner
        boxes = np.concatenate([middle, np.log(side), np.log(side)], axis=1)
        marks = middle[:, None] + MARKS * side[:, None]
        score = (1.2 * share).clip(0, 1)
        rest = boxes.astype(np.float32), marks.reshape(-1, 10).astype(np.float32)
        grids.append((score, *rest))
    return grids


def toy_teacher(name="toy"):
    return GridDetector(name, toy_answer, 0.6)


def face_image(seed, side=96, part=0.6):
    """A grey image with a red face in its middle, `part` of it wide."""
    rng = np.random.default_rng(seed)
    image = np.full((side, side, 3), rng.integers(60, 120), np.uint8)
    middle = side // 2
    cv2.circle(image, (middle, middle), int(side * part / 2), (230, 20, 20), -1)
    return image


def blue_image(seed, height=120, width=160):
    """A soft image in which nothing is red."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (5, 6, 3), dtype=np.uint8)
    coarse[..., 0] = 0
    return np.asarray(cv2.resize(coarse, (width, height)), np.uint8)


def write_images(folder, make, count):
    folder.mkdir(parents=True)
    for number in range(count):
        write_png(folder / f"{number}.png", make(number))
    return folder
