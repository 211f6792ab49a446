"""An environment without dlib that answers as one with it, and photographs of made-up people."""

import sys
from pathlib import Path

import numpy as np
from PIL import Image

MODELS = "pose_predictor_five_point_model_location = face_recognition_model_location = str\n"
DLIB = """from types import SimpleNamespace as S
rectangle = lambda *edges: edges
def shape_predictor(_):
    parts = lambda box: [S(x=v, y=v + 1) for v in (*box, 9)]
    return lambda crop, box: S(parts=lambda: parts(box), box=box)
get_face_chip = lambda crop, points, side, room: (crop, points)
describe = lambda chip: [*chip[1].box, *chip[0].mean(axis=(0, 1)), *[0] * 121]
face_recognition_model_v1 = lambda _: S(compute_face_descriptor=describe)
"""


def dlib_environment(folder):
    """Return a Python whose dlib gives as embedding the face's rectangle and the mean colour."""
    python = folder / "bin" / "python"
    python.parent.mkdir(parents=True)
    (python.parent / "face_recognition_models.py").write_text(MODELS)
    (python.parent / "dlib.py").write_text(DLIB)
    python.write_text(f'#!/bin/sh\nPYTHONPATH={python.parent} exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    return python


def people_folder(folder):
    """Eight people of three images, each of a colour of their own; CSV beside the crops."""
    rng, lines = np.random.default_rng(0), ["path,person"]
    for person, colour in enumerate(rng.uniform(30, 220, (8, 3))):
        for number in range(3):
            pixels = colour + rng.normal(0, 4, (60, 60, 3))
            path = Path(f"p{person}") / f"{number}.png"
            (folder / path).parent.mkdir(exist_ok=True, parents=True)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / path)
            lines.append(f"{path},{person}")
    (folder / "people.csv").write_text("\n".join(lines))
    return folder
