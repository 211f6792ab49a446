"""What an image without a face costs, and whether turned photographs are still found.

Run: python -m benchmarks.no_face [--faces FOLDER] [--detector haar]

Prints the seconds that one upright detection and the whole search (border, turns) take, median of
100 made-up landscapes and textures of 1600 x 1200 pixels and how many faces were found there. With
--faces, a folder of square face crops: each is laid into such a landscape, at a tenth to a half of
its height and turned by quarters; printed is how many are found where they lie, by turn.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from mien.faces.detect import find_faces, open_detector, single_threaded_opencv
from mien.faces.face import Detector
from mien.faces.upright import find_upright
from mien.media.image import read

Pixels = NDArray[np.uint8]
SIZE = (1200, 1600)


def landscape(seed: int, size: tuple[int, int] = SIZE) -> Pixels:
    """Return an image without a face: soft noise, stripes, a chessboard, or hills below a sky."""
    rng = np.random.default_rng(seed)
    height, width = size
    y, x = np.mgrid[:height, :width].astype(np.float32)
    noise = np.zeros((height, width), np.float32)
    for octave in range(2, 8):
        coarse = rng.normal(size=(2**octave, 2**octave)).astype(np.float32)
        noise += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / 2 ** (
            octave / 2
        )
    kind = seed % 4
    if kind == 0:
        grey = noise
    elif kind == 1:
        angle, period = rng.uniform(0, np.pi), rng.uniform(8, 120)
        grey = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period) + 0.3 * noise
    elif kind == 2:
        side = rng.uniform(15, 150)
        grey = ((x // side + y // side) % 2) + 0.2 * noise
    else:
        horizon = height / 2 + 150 * noise[height // 2]
        grey = np.where(y < horizon, 2 - y / height, -0.5 + noise)
    grey = (grey - grey.min()) / (np.ptp(grey) + 1e-6)
    tint = rng.uniform(0.5, 1.0, 3)
    return (255 * grey[..., None] * tint).astype(np.uint8)


def timed(images: list[Pixels], detector: Detector) -> None:
    """Print what a detection and the whole search cost."""
    costs, found = np.empty((len(images), 2)), 0
    for number, image in enumerate(images):
        start = time.perf_counter()
        find_faces(image, detector)
        middle = time.perf_counter()
        found += len(find_upright(image, detector))
        costs[number] = middle - start, time.perf_counter() - middle
    once, whole = np.median(costs, axis=0)
    print(f"{len(images)} images without a face, {found} faces found in them")
    print(f"one detection {once * 1e3:.1f} ms, the whole search {whole * 1e3:.1f} ms")
    print(f"ratio: median {np.median(costs[:, 1] / costs[:, 0]):.2f}", flush=True)


def recalled(files: list[Path], detector: Detector) -> None:
    """Print how many faces are found where they lie, by turn."""
    rng = np.random.default_rng(0)
    hits = {turn: 0 for turn in range(4)}
    for number, file in enumerate(files):
        image, turn = landscape(number, (900, 1200)), number % 4
        side = int(rng.uniform(0.1, 0.5) * 900)
        crop = np.asarray(cv2.resize(read(file), (side, side), interpolation=cv2.INTER_CUBIC))
        top, left = (int(rng.integers(0, full - side)) for full in (900, 1200))
        image[top : top + side, left : left + side] = crop
        lying = np.ascontiguousarray(np.rot90(image, -turn))
        middle_of = target(turn, left, top, side)
        for face in find_upright(lying, detector):
            middle = np.array([face.box[0] + face.box[2], face.box[1] + face.box[3]]) / 2
            near = np.abs(middle - middle_of).max() < side / 4
            if face.turn == turn and near:
                hits[turn] += 1
                break
    for turn, count in hits.items():
        print(f"turned by {90 * turn} degrees: {count} of {len(files[turn::4])} found")


def target(turn: int, left: int, top: int, side: int) -> NDArray[np.float64]:
    """Return where the middle of a square lies once the image is turned clockwise by quarters."""
    x, y, width, height = left + side / 2, top + side / 2, 1200.0, 900.0
    for _ in range(turn):
        x, y, width, height = height - y, x, height, width
    return np.array([x, y])


def main() -> None:
    """Print costs and, with faces, recall."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--faces", type=Path)
    parser.add_argument("--most", type=int, default=200)
    parser.add_argument("--detector", default="haar")
    given = parser.parse_args()
    detector = open_detector(given.detector)
    with single_threaded_opencv(detector):
        timed([landscape(number) for number in range(given.images)], detector)
        if given.faces:
            recalled(sorted(given.faces.rglob("*.jpg"))[: given.most], detector)


if __name__ == "__main__":
    main()
