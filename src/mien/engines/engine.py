"""What an engine is, torch as one, and the choice between them."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from mien.engines.graphs import tensors_of
from mien.engines.sizes import find_graphs, whole_config
from mien.errors import MienError
from mien.gaze.config import FACE_SIDE
from mien.gaze.cut import EyeViews, luminance
from mien.gaze.emib import EMIB
from mien.gaze.localizer import Found, project_eyes
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = ["ENGINES", "Engine", "TorchEngine", "open_engine"]

ENGINES = ("auto", "onnx", "openvino", "torch")


class Engine(Protocol):
    """Runs the networks that read factors off crops; calls from several threads may overlap."""

    @property
    def name(self) -> str: ...

    def factors(self, images: Tensor, small: Tensor, /, *, features: bool) -> Factors:
        """Return the factors of face crops.

        Args:
            images: RGB in [0, 1] at the size that gaze is read from, on the networks' device.
                [B, 3, H, W].
            small: the same faces at LatentFace's size. [B, 3, S, S].
            features: give `Factors.features` too.
        """
        ...

    def find_eyes(self, half_canvas: Tensor, /) -> Found: ...
    def read_code(self, views: EyeViews, /) -> Tensor: ...


class TorchEngine:
    """The networks themselves, on any device."""

    name = "torch"

    def __init__(self, network: LatentFace, gaze: EMIB | None) -> None:
        self._network, self._gaze = network, gaze

    def factors(self, images: Tensor, small: Tensor, /, *, features: bool) -> Factors:
        """As `Engine.factors`."""
        innermost = small.contiguous(memory_format=torch.channels_last)
        factors = self._network(innermost, features=features)
        if self._gaze is None:
            return factors
        fov_deg, face = self._network.config.fov_deg, None
        if small.shape[-1] == FACE_SIDE:
            face = luminance(small)
        guess = project_eyes(self._gaze.canonical_eyes, factors.pose, fov_deg)
        return replace(factors, gaze=self._gaze(luminance(images), guess, face=face))

    def find_eyes(self, half_canvas: Tensor, /) -> Found:
        """As `EMIB.find_eyes`. [B, 1, 64, 128]."""
        assert self._gaze is not None
        return self._gaze.find_eyes(half_canvas)

    def read_code(self, views: EyeViews, /) -> Tensor:
        """As `EMIB.read_code`. [B, d]."""
        assert self._gaze is not None
        return self._gaze.read_code(views)


def open_engine(
    name: str, network: LatentFace, gaze: EMIB | None, *, reads_gaze: bool = True
) -> Engine:
    """Return the engine of this name for networks on their device.

    Args:
        name: `onnx` (onnxruntime), `openvino`, `torch`; `auto`: onnxruntime on the CPU where it is
            installed and the package holds graphs for networks of these sizes, otherwise torch.
        network: LatentFace, weights loaded.
        gaze: the gaze branch, or None.
        reads_gaze: False: the branch is no more than what the graphs are found by.

    Raises:
        MienError: no such engine, or it cannot run these networks.
    """
    if name not in ENGINES:
        raise MienError(f"engine {str(name)[:40]}: no such engine; take {', '.join(ENGINES)}")
    seen = gaze if reads_gaze else None
    device = next(network.parameters()).device.type
    if name == "torch" or (name == "auto" and device != "cpu"):
        return TorchEngine(network, seen)
    if device != "cpu":
        raise MienError(f"engine {name} runs on the CPU, not on {device}; take engine torch")
    if missing := _missing(name):
        if name == "auto":
            return TorchEngine(network, seen)
        raise MienError(f"engine {name}: {missing}")
    folder = find_graphs(whole_config(network.config, gaze.config if gaze else None))
    if folder is not None:
        return _on_graphs(name, folder, network, seen)
    if name == "auto":
        return TorchEngine(network, seen)
    raise MienError(
        f"engine {name}: the package holds no graphs for networks of these sizes; take engine torch"
    )


def _on_graphs(name: str, folder: Path, network: LatentFace, gaze: EMIB | None) -> Engine:
    from mien.engines.graph_engine import GraphEngine
    from mien.engines.sessions import Sessions

    values = {k: value.numpy() for k, value in tensors_of(network, gaze).items()}
    if name != "openvino":
        return GraphEngine(Sessions(folder, values), sees_eyes=gaze is not None)
    from mien.engines.openvino_sessions import OpenvinoSessions

    return GraphEngine(OpenvinoSessions(folder, values), sees_eyes=gaze is not None)


def _missing(name: str) -> str:
    """Return what to install for an engine; empty where all is there."""
    for package in ("openvino", "onnx") if name == "openvino" else ():
        if importlib.util.find_spec(package) is None:
            return f"{package} is not installed; run: pip install 'mien[openvino]'"
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is not installed; run: pip install onnxruntime"
    return ""
