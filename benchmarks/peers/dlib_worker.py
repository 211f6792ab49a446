"""dlib's face embedding of crops, in an environment of its own; `dlib_embedding` asks for it.

Run: python dlib_worker.py LEFT TOP RIGHT BOTTOM

These say where the face is in every crop, as fractions of its side; five landmarks are looked for
there, and dlib's own chip of 150 px is cut by them. A line of input is JSON: `crops`, a file of
NumPy's with RGB uint8 [N, P, P, 3], and `out`, the .npz that is written: `embedding` float32
[N, 128], `landmarks` float32 [N, 5, 2], pixels, in dlib's order (outer and inner corner of the
image-right eye, of the image-left one, nose). The answer is a line of JSON: `faces` and `cpu_s`,
processor time without reading and writing. An empty line ends it.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["main"]

CHIP, PADDING = 150, 0.25
"""What the network takes, and the room around the landmarks' mean face."""

Embed = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float32], NDArray[np.float32]]]


def open_network(rectangle: list[float]) -> Embed:
    """Return what makes landmarks [5, 2] and embedding [128] of a crop [P, P, 3]."""
    dlib: Any = import_module("dlib")
    models: Any = import_module("face_recognition_models")
    place = dlib.shape_predictor(models.pose_predictor_five_point_model_location())
    network = dlib.face_recognition_model_v1(models.face_recognition_model_location())

    def embed(crop: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        left, top, right, bottom = (round(each * len(crop)) for each in rectangle)
        points = place(crop, dlib.rectangle(left, top, right - 1, bottom - 1))
        chip = dlib.get_face_chip(crop, points, CHIP, PADDING)
        landmarks = [[point.x, point.y] for point in points.parts()]
        code = network.compute_face_descriptor(chip)
        return np.array(landmarks, np.float32), np.array(code, np.float32)

    return embed


def main(*rectangle: str) -> None:
    """Answer until an empty line or the end of input."""
    embed = open_network([float(each) for each in rectangle])
    for line in sys.stdin:
        if not line.strip():
            break
        asked = json.loads(line)
        crops = np.load(asked["crops"])
        start = time.process_time()
        made = [embed(crop) for crop in crops]
        spent = time.process_time() - start
        landmarks = np.array([each for each, _ in made], np.float32).reshape(-1, 5, 2)
        embedding = np.array([each for _, each in made], np.float32).reshape(-1, 128)
        np.savez(asked["out"], embedding=embedding, landmarks=landmarks)
        print(json.dumps({"faces": len(crops), "cpu_s": spent}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
