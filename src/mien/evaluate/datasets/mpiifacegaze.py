"""MPIIFaceGaze (Zhang et al., CVPRW 2017): faces before laptops, each person by the others.

pXX/pXX.txt has one line an image, 28 words: its path below pXX; the target on the screen; six
landmarks in pixels; head pose (Rodrigues vector, translation); the face's centre; the target in 3D;
which eye. The last three are in the camera's frame and millimetres. pXX/Calibration/Camera.mat
holds cameraMatrix and distCoeffs.

Signs. The data set's readme says that all 3D values are in the camera's frame, and that the gaze is
target minus centre; OpenCV's calibration gives that frame x to image-right, y down, z away. The
head model's x axis goes to image-right and its y axis down, so that the identity faces the camera:
the authors' own normalisation takes its x axis for "right", and reads yaw and pitch off its z axis
as (atan2(x, z), asin(y)), which are ours. Images are warped by data normalisation, gaze and head
are rotated with them.
"""

from __future__ import annotations

import re
from pathlib import Path

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree
from mien.evaluate.datasets.gaze_normalization import FACE
from mien.evaluate.datasets.layout import found_below, numbers, root_of
from mien.evaluate.datasets.mpii import Camera, Sample, read_camera, to_gaze_set
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.gaze import score_within
from mien.evaluate.tasks.gaze_set import GazeSet

__all__ = ["MPIIFACEGAZE", "read_mpiifacegaze"]

MARKER, BASES = "p00/p00.txt", ("MPIIFaceGaze", "Data", "MPIIFaceGaze/Data")
WORDS = 27
"""Words of a line that are read; the 28th names an eye."""
PERSON = re.compile(r"p(\d\d)/p\1\.txt")


def read_mpiifacegaze(path: Path) -> GazeSet:
    """Read the labels; images are read and warped when they are asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = root_of(
        path,
        marker=MARKER,
        bases=BASES,
        advice="give the folder that holds p00 to p14, each with its images and Calibration",
    )
    matches = [match for name in tree.names if (match := PERSON.fullmatch(name))]
    samples = [sample for match in matches for sample in _person(tree, int(match[1]))]
    return to_gaze_set(tree, samples, FACE, crop="face", notes=())


def _person(tree: Tree, person: int) -> list[Sample]:
    folder = f"p{person:02}"
    camera = read_camera(tree, f"{folder}/Calibration/Camera.mat")
    labels = f"{folder}/{folder}.txt"
    lines = tree.read_text(labels).splitlines()
    return [
        _sample(tree, labels, number, line.split(), camera)
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]


def _sample(tree: Tree, labels: str, number: int, words: list[str], camera: Camera) -> Sample:
    if len(words) < WORDS:
        raise MienError(
            f"{tree}/{labels}, line {number} has {len(words)} words, not 28; "
            "copy the data set again"
        )
    values = numbers(tree, labels, words[15:WORDS], number)
    folder = labels.split("/")[0]
    return Sample(
        name=f"{folder}/{words[0]}",
        person=int(folder[1:]),
        camera=camera,
        head_vector=values[0:3],
        centre_mm=values[6:9],
        target_mm=values[9:12],
    )


def _run(path: Path, context: EvalContext) -> Result:
    return score_within(read_mpiifacegaze(path), context)


MPIIFACEGAZE = Protocol(
    name="mpiifacegaze",
    factor="gaze",
    title="MPIIFaceGaze: angular error by number of samples, one person by the others",
    layout="p00/p00.txt, p00/day01/0005.jpg, p00/Calibration/Camera.mat, and so on to p14",
    source="University of Stuttgart, Collaborative Artificial Intelligence; CC BY-NC-SA 4.0",
    matches=lambda path: found_below(path, MARKER, BASES),
    run=_run,
)
