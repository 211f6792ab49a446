"""OpenVINO over the same graphs as onnxruntime."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mien.engines.sessions import Sessions
from mien.engines.side_by_side import threads

__all__ = ["OpenvinoSessions"]


class OpenvinoSessions(Sessions):
    """Graphs compiled by OpenVINO; one thread a call, as many calls side by side as cores."""

    engine = "openvino"

    def _compile(self, path: Path, weights: Mapping[str, NDArray[Any]]) -> Any:
        openvino: Any = importlib.import_module("openvino")
        core = openvino.Core()
        model = core.read_model(_with_weights(path, weights))
        return _Session(core.compile_model(model, "CPU", _options()))


def _options() -> dict[str, Any]:
    """Return options for one thread a call, at full precision, on whatever core is free.

    OpenVINO counts the threads of all calls together. Pinned, several processes would sit on the
    same core.
    """
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads(),
        "NUM_STREAMS": threads(),
        "ENABLE_CPU_PINNING": False,
    }


def _with_weights(path: Path, weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a graph of the package as an ONNX file with its weights inside."""
    onnx: Any = importlib.import_module("onnx")
    proto = onnx.load(str(path), load_external_data=False)
    for tensor in proto.graph.initializer:
        if tensor.name in weights:
            array = np.ascontiguousarray(weights[tensor.name])
            tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))
    return proto.SerializeToString()


@dataclass(frozen=True)
class _Port:
    """An input or output as onnxruntime's sessions describe it."""

    name: str
    shape: list[int | str]


class _Session:
    """A compiled graph, called as a session of onnxruntime is; from several threads, too."""

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._own = threading.local()

    def get_inputs(self) -> list[_Port]:
        return [_port(each) for each in self._compiled.inputs]

    def get_outputs(self) -> list[_Port]:
        return [_port(each) for each in self._compiled.outputs]

    def run(self, _: None, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
        if not hasattr(self._own, "request"):  # a request serves one call at a time
            self._own.request = self._compiled.create_infer_request()
        found = self._own.request.infer(dict(feed))
        return [found[k].copy() for k in range(len(self._compiled.outputs))]


def _port(port: Any) -> _Port:
    sides = [each.get_length() if each.is_static else "batch" for each in port.partial_shape]
    return _Port(port.any_name, sides)
