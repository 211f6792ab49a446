"""MPIIGaze (Zhang et al., CVPR 2015), its evaluation subset: eye-region crops before laptops.

Data/Original/pXX/dayYY/annotation.txt has one line an image, the n-th for 000n.jpg, 41 numbers:
24 for eye landmarks, 2 for the target on the screen, then in the camera's frame and millimetres the
target (27-29), the head's Rodrigues vector (30-32) and translation (33-35), and the centres of the
right (36-38) and the left eye (39-41). Data/Original/pXX/Calibration/Camera.mat holds the camera.
"Evaluation Subset/sample list for eye image/pXX.txt" names the frames, as "day01/0005.jpg left".

The images show both eyes and are black elsewhere. A eye-region crop is warped out of them by
data normalisation about the middle between the eyes, and gaze is taken from there: one row a frame,
whichever eye the list names. Data/Normalized is not read: its patches show one eye each, by another
camera for either, and its gaze labels are bent by the scaling of the 2015 normalisation, as its
authors say. So errors are not those of the single-eye protocol.

Signs as for MPIIFaceGaze: the same authors, cameras and head model.
"""

from __future__ import annotations

import re
from pathlib import Path

from mien.errors import MienError
from mien.evaluate.datasets.files import Tree
from mien.evaluate.datasets.gaze_normalization import EYE_CROP
from mien.evaluate.datasets.layout import found_below, numbers, root_of
from mien.evaluate.datasets.mpii import Camera, Sample, read_camera, to_gaze_set
from mien.evaluate.protocol import EvalContext, Protocol, Result
from mien.evaluate.tasks.gaze import score_within
from mien.evaluate.tasks.gaze_set import GazeSet

__all__ = ["MPIIGAZE", "read_mpiigaze"]

ORIGINAL, LISTS = "Data/Original", "Evaluation Subset/sample list for eye image"
BASES = ("MPIIGaze",)
FRAME = re.compile(r"(day\d+)/(\d+)\.jpg")
VALUES = 41


def read_mpiigaze(path: Path) -> GazeSet:
    """Read the labels of the evaluation subset; images are read and warped when asked for.

    Raises:
        MienError: a file is missing or damaged, or SciPy is not installed.
    """
    tree = root_of(
        path,
        marker=ORIGINAL,
        bases=BASES,
        advice='give the folder that holds "Data" and "Evaluation Subset"',
    )
    lists = sorted(name for name in tree.under(LISTS).names if re.fullmatch(r"p\d\d\.txt", name))
    if not lists:
        raise MienError(f"{tree}/{LISTS}/p00.txt is missing; it comes with the data set")
    samples = [sample for name in lists for sample in _person(tree, name)]
    return to_gaze_set(
        tree,
        samples,
        EYE_CROP,
        crop="eyes",
        notes=("eye-region crops, gaze from the middle between them: not the single-eye task",),
    )


def _person(tree: Tree, listed: str) -> list[Sample]:
    folder = f"{ORIGINAL}/{listed.removesuffix('.txt')}"
    camera = read_camera(tree, f"{folder}/Calibration/Camera.mat")
    frames: dict[tuple[str, str], None] = {}
    for number, line in enumerate(tree.read_text(f"{LISTS}/{listed}").splitlines(), start=1):
        match = FRAME.match(line.strip())
        if match is None and line.strip():
            raise MienError(
                f"{tree}/{LISTS}/{listed}, line {number} is not like day01/0005.jpg left"
            )
        if match is not None:
            frames[match[1], match[2]] = None
    labels = {day: _lines(tree, f"{folder}/{day}/annotation.txt") for day, _ in frames}
    return [_sample(tree, folder, day, frame, labels[day], camera) for day, frame in sorted(frames)]


def _lines(tree: Tree, name: str) -> list[str]:
    return tree.read_text(name).splitlines()


def _sample(
    tree: Tree, folder: str, day: str, frame: str, lines: list[str], camera: Camera
) -> Sample:
    labels, line = f"{folder}/{day}/annotation.txt", int(frame)
    words = lines[line - 1].split() if 1 <= line <= len(lines) else []
    if len(words) != VALUES:
        raise MienError(
            f"{tree}/{labels}, line {line} has {len(words)} numbers, not {VALUES}; "
            "copy the data set again"
        )
    values = numbers(tree, labels, words, line)
    return Sample(
        name=f"{folder}/{day}/{frame}.jpg",
        person=int(folder[-2:]),
        camera=camera,
        head_vector=values[29:32],
        centre_mm=(values[35:38] + values[38:41]) / 2,
        target_mm=values[26:29],
    )


def _run(path: Path, context: EvalContext) -> Result:
    return score_within(read_mpiigaze(path), context)


MPIIGAZE = Protocol(
    name="mpiigaze",
    factor="gaze",
    title="MPIIGaze, eye-region crops: angular error by number of samples, one by the others",
    layout=(
        "Data/Original/p00/day01/annotation.txt and 0001.jpg, Data/Original/p00/Calibration/"
        'Camera.mat, "Evaluation Subset/sample list for eye image/p00.txt", and so on to p14'
    ),
    source="University of Stuttgart, Collaborative Artificial Intelligence; CC BY-NC-SA 4.0",
    matches=lambda path: found_below(path, f"{ORIGINAL}/p00", BASES),
    run=_run,
)
