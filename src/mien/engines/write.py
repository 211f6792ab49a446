"""A part of a model to an ONNX file: the one place that calls torch's exporter."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Mapping
from typing import Any

import torch

from mien.engines.graphs import Graph, plain
from mien.errors import MienError

__all__ = ["OPSET", "to_onnx", "to_program", "without_weights"]

OPSET = 20


def to_program(graph: Graph) -> torch.export.ExportedProgram:
    """Return a graph as torch's exporter traces it, any number of rows.

    Strict tracing: `torch.onnx.export` by itself fixes the batch without a word where classes have
    a length.
    """
    examples = tuple(graph.inputs.values())
    batch = torch.export.Dim("batch", min=1, max=4096)
    shapes = tuple({0: batch} for _ in examples)
    with torch.no_grad(), _quiet():
        return torch.export.export(
            plain(graph.module), examples, dynamic_shapes=shapes, strict=True
        )


def to_onnx(graph: Graph) -> Any:
    """Return a graph as an `onnx.ModelProto`, weights inside under the modules' own names.

    Raises:
        MienError: the exporter fixed the batch's size, which the file must leave free.
        ModuleNotFoundError: onnx or onnxscript are not installed.
    """
    import onnx  # noqa: F401 - named first where the extra is missing
    import onnxscript  # noqa: F401

    program = to_program(graph)
    with torch.no_grad(), _quiet():
        written = torch.onnx.export(
            program,
            (),
            dynamo=True,
            opset_version=OPSET,
            optimize=False,
            verbose=False,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
        )
    assert written is not None
    proto = written.model_proto
    _name_batch(graph, proto)
    for node in proto.graph.node:  # where in the sources each came from
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    del proto.graph.value_info[:]
    return proto


def _name_batch(graph: Graph, proto: Any) -> None:
    """Call the first side of all inputs and outputs `batch`; raise where it is a number."""
    for value in (*proto.graph.input, *proto.graph.output):
        first = value.type.tensor_type.shape.dim[0]
        if not first.dim_param:
            rows = first.dim_value
            raise MienError(f"the graph {graph.name} takes {rows} rows only: not written")
    for value in proto.graph.input:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for value in proto.graph.output:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


@contextlib.contextmanager
def _quiet() -> Any:
    """Keep the exporter's progress and its warnings of packages that nobody needs to itself."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def without_weights(proto: Any, owned: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """Take the weights out of a graph.

    Args:
        proto: from `to_onnx`; changed.
        owned: name that a tensor has in the graph => its name in a file of weights; what else the
            graph holds are its constants, which stay.

    Returns:
        The graph, in which weights are said to lie elsewhere, and which tensor of the file each of
        its weights is.
    """
    from onnx import TensorProto

    names: dict[str, str] = {}
    for tensor in proto.graph.initializer:
        if tensor.name not in owned:
            continue
        names[tensor.name] = owned[tensor.name]
        tensor.ClearField("raw_data")
        tensor.ClearField("float_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", "0")):
            tensor.external_data.add(key=key, value=value)
    return proto, names
