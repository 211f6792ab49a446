"""The network as an ONNX graph: batch normalisation folded into the convolutions before it.

The graph is put together node by node, so it is the same whatever torch's own exporter does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from mien.detection.network import CHANNELS, DetectorNetwork
from mien.faces.grid_detector import STRIDES

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["OPSET", "onnx_model"]

OPSET = 17
"""Version of the operators; ONNX Runtime has it since 1.12."""
_IR_VERSION = 8
"""Version of the file format that came with them."""


def onnx_model(network: DetectorNetwork) -> bytes:
    """Return the file of a network in evaluation mode, float32.

    Input `image`: RGB, uint8 [1, H, W, 3], H and W multiples of 32. Outputs `grid_8`, `grid_16`,
    `grid_32`: a row for each cell, row by row, of its score 0 to 1, box and landmarks
    (`mien.detection.network`). float32 [1, H/t W/t, 15].

    Raises:
        ModuleNotFoundError: the package onnx is missing.
        ValueError: the network is in training mode.
    """
    if network.training:
        raise ValueError("a network in evaluation mode is wanted")
    from onnx import checker, numpy_helper

    graph = _Graph()
    moved = graph.node("Transpose", ["image"], perm=[0, 3, 1, 2])
    pixels = graph.node("Cast", [moved], to=1)  # float32
    scaled = graph.node("Div", [pixels, graph.constant(np.float32(127.5))])
    x = graph.layer(network.stem, graph.node("Sub", [scaled, graph.constant(np.float32(1))]))
    levels: list[str] = []
    for stage in network.stages:
        x = graph.layer(stage, x)
        levels.append(x)
    above = ""
    for k in reversed(range(len(STRIDES))):
        y = graph.layer(network.lateral[k], levels[k])
        if above:
            y = graph.node("Add", [y, graph.doubled(above)])
        above = graph.layer(network.smooth[k], graph.node("Relu", [y]))
        graph.answer(graph.layer(network.heads[k], above), f"grid_{STRIDES[k]}")
    model = graph.model([numpy_helper.from_array(v, n) for n, v in graph.constants.items()])
    checker.check_model(model)
    return model.SerializeToString(deterministic=True)


class _Graph:
    """Nodes and constants, added in order; a value is known by the name that its node gives it."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}

    def constant(self, value: Any) -> str:
        """Add an array."""
        name = f"c{len(self.constants)}"
        self.constants[name] = np.asarray(value)
        return name

    def node(self, kind: str, inputs: list[str], names: Sequence[str] = (), **how: Any) -> str:
        """Add an operation whose outputs have these names, or one of its own; return the first."""
        from onnx import helper

        outputs = list(names) or [f"v{len(self.nodes)}"]
        self.nodes.append(helper.make_node(kind, inputs, outputs, **how))
        return outputs[0]

    def layer(self, module: nn.Module, x: str) -> str:
        """Add a module's operations."""
        if isinstance(module, nn.Sequential):
            layers = list(module)
            while layers:
                first = layers.pop(0)
                after = layers[0] if layers else None
                if isinstance(first, nn.Conv2d) and isinstance(after, nn.BatchNorm2d):
                    first = fuse_conv_bn_eval(first, after)
                    del layers[0]
                x = self.layer(first, x)
            return x
        if isinstance(module, nn.ReLU):
            return self.node("Relu", [x])
        if isinstance(module, nn.Conv2d):
            return self._convolution(module, x)
        # A block: its convolutions, with a residual or without.
        y = self.layer(module.get_submodule("conv"), x)
        return self.node("Relu", [self.node("Add", [x, y]) if module.residual else y])

    def _convolution(self, module: nn.Conv2d, x: str) -> str:
        assert module.bias is not None
        arrays = (module.weight, module.bias)
        inputs = [self.constant(each.detach().cpu().contiguous().numpy()) for each in arrays]
        pads = [int(side) for side in module.padding] * 2
        strides, groups = list(module.stride), module.groups
        return self.node("Conv", [x, *inputs], strides=strides, pads=pads, group=groups)

    def doubled(self, x: str) -> str:
        """Add an enlargement by two: every value four times."""
        scales = self.constant(np.array([1, 1, 2, 2], np.float32))
        how = {"nearest_mode": "floor", "coordinate_transformation_mode": "asymmetric"}
        return self.node("Resize", [x, "", scales], mode="nearest", **how)

    def answer(self, x: str, name: str) -> None:
        """Add an output: cells row by row, the score's logit through a sigmoid."""
        rows = self.node("Transpose", [x], perm=[0, 2, 3, 1])
        rows = self.node("Reshape", [rows, self.constant(np.array([1, -1, CHANNELS]))])
        sizes = self.constant(np.array([1, CHANNELS - 1]))
        parts = [f"{name}_logit", f"{name}_rest"]
        self.node("Split", [rows, sizes], parts, axis=2)
        score = self.node("Sigmoid", parts[:1])
        self.node("Concat", [score, parts[1]], [name], axis=2)

    def model(self, constants: list[Any]) -> ModelProto:
        """Return the whole, with its inputs and outputs."""
        from onnx import TensorProto, helper

        def described(name: str, kind: int, shape: list[Any]) -> Any:
            return helper.make_tensor_value_info(name, kind, shape)

        names = [f"grid_{stride}" for stride in STRIDES]
        graph = helper.make_graph(
            self.nodes,
            "mien face detector",
            [described("image", TensorProto.UINT8, [1, "height", "width", 3])],
            [described(n, TensorProto.FLOAT, [1, f"{n}_cells", CHANNELS]) for n in names],
            constants,
        )
        versions = [helper.make_opsetid("", OPSET)]
        return helper.make_model(
            graph, opset_imports=versions, ir_version=_IR_VERSION, producer_name="mien"
        )
