"""The package's graphs as onnxruntime sessions over the weights of a model; NumPy in and out.

The package holds the graphs of its networks without weights, some kilobytes each, under a digest
of the networks' sizes; the weights are those that were loaded. Nothing is exported, downloaded or
stored when a model is opened. `tools/write_graphs.py` makes the graphs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from mien.errors import MienError
from mien.faces.session import one_thread
from mien.types import Factors, GazeCode, Light, Pose

__all__ = [
    "FACE_OUTPUTS",
    "FIRST_OUTPUTS",
    "GAZE_OUTPUTS",
    "Sessions",
    "factors_of",
    "outputs_of",
]

FACE_OUTPUTS = (
    "neutral_texture",
    "neutral_shape",
    "expression_texture",
    "expression_shape",
    "pose_rotation",
    "pose_translation",
    "light_ambient",
    "light_diffuse",
    "light_direction",
)
"""What every graph of faces gives, in this order; `face_embedding` follows where weights have it,
then, of the whole encoder, what GAZE_OUTPUTS names."""
GAZE_OUTPUTS = ("gaze_code", "eyes_found", "eyes", "eye_score")
FIRST_OUTPUTS = ("first_eyes", "first_logit", "middle", "far")
"""What the graph of the first look at faces gives besides: eyes in pixels, how likely they are
there, and where and whether to look once more."""
_FACE_EMBEDDING = "face_embedding"

Array = NDArray[Any]


def outputs_of(*, face_embedding: bool, gaze: bool) -> tuple[str, ...]:
    """Return the names of a graph's factors, in their order."""
    embedding = (_FACE_EMBEDDING,) if face_embedding else ()
    return (*FACE_OUTPUTS, *embedding, *(GAZE_OUTPUTS if gaze else ()))


def factors_of(found: Mapping[str, Any]) -> Factors:
    """Return factors of a graph's outputs by name: tensors or arrays, a row a face."""
    codes = (found[name] for name in FACE_OUTPUTS[:4])
    rotation, translation, *light = (found[name] for name in FACE_OUTPUTS[4:])
    gaze = GazeCode(*(found[n] for n in GAZE_OUTPUTS)) if GAZE_OUTPUTS[0] in found else None
    pose, lamp = Pose(rotation, translation), Light(*light)
    embedding = found.get(_FACE_EMBEDDING)
    return Factors(*codes, pose=pose, light=lamp, gaze=gaze, face_embedding=embedding)


class Sessions:
    """Sessions over a folder's graphs; one thread a call, and none that waits by spinning.

    Each is opened when it is first asked for. Calls from several threads may overlap.
    """

    engine = "onnx"

    def __init__(self, folder: Path, tensors: Mapping[str, Array]) -> None:
        """Take the folder and the weights: float32, of any shape, by name."""
        self._folder, self._tensors = folder, tensors
        self._opened: dict[str, tuple[Any, list[str], list[str]]] = {}
        self._lock = threading.Lock()

    def run(self, name: str, *given: Array) -> dict[str, Array]:
        """Return a graph's outputs by name.

        Args:
            name: of the graph's file.
            given: its inputs in their order, a row a face.

        Raises:
            MienError: the graph is missing or damaged, or was made for other networks.
        """
        session, inputs, outputs = self.open(name)
        feed = {k: np.ascontiguousarray(v) for k, v in zip(inputs, given, strict=True)}
        return dict(zip(outputs, map(np.asarray, session.run(None, feed)), strict=True))

    def factors(self, grey: Array | None, small: Array, *, features: bool) -> Factors:
        """Return the factors of face crops, as arrays.

        Args:
            grey: luminance in [0, 1], float32, at the size that gaze is read from; None where the
                weights have no gaze branch. [B, 1, H, W].
            small: RGB in [0, 1] at LatentFace's size. [B, 3, S, S].
            features: read `Factors.features` too.
        """
        if grey is None:
            found = self.run("face", small)
        else:
            found = self.run("encoder", grey, small)
            found |= self._gaze(grey, small, *(found.pop(name) for name in FIRST_OUTPUTS))
        maps = found.pop("maps")
        factors = factors_of(found)
        if not features:
            return factors
        mirrored = self.run("face", small[..., ::-1])["maps"]
        return replace(factors, features=(maps + mirrored) / 2)

    def _gaze(
        self, grey: Array, small: Array, eyes: Array, logit: Array, middle: Array, far: Array
    ) -> dict[str, Array]:
        """Locate those eyes once more that are far from the guess, and read the gaze of all."""
        (rows,) = far.nonzero()
        if len(rows):  # no engine is asked for none: onnxruntime would crash
            eyes[rows], logit[rows] = self.run("again", grey[rows], middle[rows]).values()
        return self.run("look", grey, small, eyes, logit)

    def open(self, name: str) -> tuple[Any, list[str], list[str]]:
        """Return a graph's session, its inputs and its outputs; errors as of `run`."""
        with self._lock:
            if name not in self._opened:
                session = self._open(self._folder / f"{name}.onnx")
                inputs = [value.name for value in session.get_inputs()]
                outputs = [value.name for value in session.get_outputs()]
                self._opened[name] = session, inputs, outputs
            return self._opened[name]

    def _open(self, path: Path) -> Any:
        try:
            weights = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            return self._compile(path, {k: self._tensors[name] for k, name in weights.items()})
        except Exception as error:  # those of the engines share no base class
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise MienError(
                f"engine {self.engine} cannot use {path}: {reason[:200]}; install the package "
                "again, or take engine torch"
            ) from error

    def _compile(self, path: Path, weights: Mapping[str, Array]) -> Any:
        """Return a graph with its weights, by name in the graph, as a session."""
        values = [_value(array) for array in weights.values()]
        chosen = one_thread()
        chosen.add_external_initializers(list(weights), values)
        return onnxruntime.InferenceSession(
            path.read_bytes(), chosen, providers=["CPUExecutionProvider"]
        )


def _value(array: Array) -> Any:
    return cast("Any", onnxruntime.OrtValue).ortvalue_from_numpy(np.ascontiguousarray(array))
