"""What an engine is, torch as one, and the choice between them."""

from __future__ import annotations

import importlib.util
from typing import Protocol

import torch
from torch import Tensor

from mien.errors import MienError
from mien.gaze.cut import EyeViews
from mien.gaze.emib import EMIB
from mien.gaze.localizer import Found
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = ["ENGINES", "Engine", "TorchEngine", "open_engine"]

ENGINES = ("auto", "onnx", "torch")


class Engine(Protocol):
    """Runs the networks that read factors off crops; calls from several threads may overlap."""

    name: str

    def factors(self, small: Tensor, /, *, features: bool) -> Factors: ...
    def find_eyes(self, half_canvas: Tensor, /) -> Found: ...
    def read_code(self, views: EyeViews, /) -> Tensor: ...


class TorchEngine:
    """The networks themselves, on any device."""

    name = "torch"

    def __init__(self, network: LatentFace, gaze: EMIB | None) -> None:
        self._network, self._gaze = network, gaze

    def factors(self, small: Tensor, /, *, features: bool) -> Factors:
        """Crops at the model's image size, [B, 3, S, S] -> factors without gaze."""
        innermost = small.contiguous(memory_format=torch.channels_last)
        return self._network(innermost, features=features)

    def find_eyes(self, half_canvas: Tensor, /) -> Found:
        """As `EMIB.find_eyes`. [B, 1, 64, 128]."""
        assert self._gaze is not None
        return self._gaze.find_eyes(half_canvas)

    def read_code(self, views: EyeViews, /) -> Tensor:
        """As `EMIB.read_code`. [B, d]."""
        assert self._gaze is not None
        return self._gaze.read_code(views)


def open_engine(name: str, network: LatentFace, gaze: EMIB | None) -> Engine:
    """Return the engine of this name for networks on their device.

    Args:
        name: `onnx` (onnxruntime), `torch`; `auto`: onnxruntime on the CPU where it is installed
            and the package holds graphs for networks of these sizes, otherwise torch.
        network: LatentFace, weights loaded.
        gaze: the gaze branch, or None.

    Raises:
        MienError: no such engine, or it cannot run these networks.
    """
    if name not in ENGINES:
        raise MienError(f"engine {str(name)[:40]}: no such engine; take {', '.join(ENGINES)}")
    device = next(network.parameters()).device.type
    if name == "torch" or (name == "auto" and device != "cpu"):
        return TorchEngine(network, gaze)
    if device != "cpu":
        raise MienError(f"engine onnx runs on the CPU, not on {device}; take engine torch")
    if importlib.util.find_spec("onnxruntime") is None:
        if name == "auto":
            return TorchEngine(network, gaze)
        raise MienError("engine onnx: onnxruntime is not installed; run: pip install onnxruntime")
    from mien.engines.onnx_engine import find_graphs, open_onnx

    folder = find_graphs(network, gaze)
    if folder is not None:
        return open_onnx(folder, network, gaze)
    if name == "auto":
        return TorchEngine(network, gaze)
    raise MienError(
        "engine onnx: the package holds no graphs for networks of these sizes; take engine torch"
    )
