"""onnxruntime in torch's place on the CPU: half the time a face when faces come one by one.

The package holds the graphs of its networks without weights, a few kilobytes each, under a digest
of the networks' sizes; the weights are those that were loaded. Nothing is exported, downloaded or
stored when a model is opened. `tools/write_graphs.py` makes the graphs.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from mien.engines.graphs import factors_of
from mien.errors import MienError
from mien.faces.session import one_thread
from mien.gaze.cut import EyeViews
from mien.gaze.emib import EMIB
from mien.gaze.localizer import Found
from mien.latentface.latentface import LatentFace
from mien.types import Factors

__all__ = [
    "OnnxEngine",
    "digest_of",
    "find_graphs",
    "graphs_folder",
    "open_onnx",
    "tensors_of",
]


class OnnxEngine:
    """Sessions over the networks' graphs; one thread a call, and none that waits by spinning."""

    name = "onnx"

    def __init__(self, sessions: dict[str, onnxruntime.InferenceSession]) -> None:
        """Take sessions for `face` and, where there is a gaze branch, `localizer` and `gaze`."""
        self._sessions = {
            name: (session, [each.name for each in session.get_inputs()])
            for name, session in sessions.items()
        }

    def factors(self, small: Tensor, /, *, features: bool) -> Factors:
        """Crops at the model's image size, [B, 3, S, S] -> factors without gaze."""
        *parts, maps = self._run("face", small)
        factors = factors_of(parts)
        if not features:
            return factors
        mirrored = self._run("face", small.flip(-1))[-1]
        return replace(factors, features=(maps + mirrored) / 2)

    def find_eyes(self, half_canvas: Tensor, /) -> Found:
        """As `EMIB.find_eyes`. [B, 1, 64, 128]."""
        return Found(*self._run("localizer", half_canvas))

    def read_code(self, views: EyeViews, /) -> Tensor:
        """As `EMIB.read_code`. [B, d]."""
        (code,) = self._run(
            "gaze",
            views.eyes,
            views.band,
            views.face,
            views.band_eyes,
            views.face_eyes,
            views.has_face,
        )
        return code

    def _run(self, name: str, *given: Tensor) -> list[Tensor]:
        session, names = self._sessions[name]
        feed = {k: v.contiguous().numpy() for k, v in zip(names, given, strict=True)}
        return [torch.from_numpy(np.asarray(x)) for x in session.run(None, feed)]


def graphs_folder() -> Path:
    """Return the folder of the package's graphs: one folder each for networks of some sizes."""
    return Path(__file__).parent.parent / "shipped" / "graphs"


def digest_of(network: LatentFace, gaze: EMIB | None) -> str:
    """Return 12 hex digits for the networks' sizes and options."""
    sizes = {k: v for k, v in asdict(network.config).items() if k != "gaze"}
    sizes["gaze"] = None if gaze is None else asdict(gaze.config)
    return hashlib.sha256(json.dumps(sizes, sort_keys=True).encode()).hexdigest()[:12]


def find_graphs(network: LatentFace, gaze: EMIB | None) -> Path | None:
    """Return the folder of graphs for networks of these sizes; None where the package has none."""
    folder = graphs_folder() / digest_of(network, gaze)
    return folder if folder.is_dir() else None


def open_onnx(folder: Path, network: LatentFace, gaze: EMIB | None) -> OnnxEngine:
    """Open sessions over a folder's graphs with the weights of networks on the CPU.

    Raises:
        MienError: a graph is missing or damaged, or was made for other networks.
    """
    owners: dict[str, nn.Module] = {"face": network}
    if gaze is not None:
        owners |= {"localizer": gaze.localizer, "gaze": gaze.bottleneck}
    return OnnxEngine({k: _open(folder / f"{k}.onnx", owner) for k, owner in owners.items()})


def _open(path: Path, owner: nn.Module) -> onnxruntime.InferenceSession:
    try:
        weights = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        tensors = tensors_of(owner)
        values = {k: _value(tensors[name]) for k, name in weights.items()}
        chosen = one_thread()
        chosen.add_external_initializers(list(values), list(values.values()))
        return onnxruntime.InferenceSession(
            path.read_bytes(), chosen, providers=["CPUExecutionProvider"]
        )
    except Exception as error:  # onnxruntime's errors share no base class
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise MienError(
            f"engine onnx cannot use {path}: {reason[:200]}; install the package again, or take "
            "engine torch"
        ) from error


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """Return all parameters and buffers of a module by name, of any shape."""
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _value(tensor: Tensor) -> Any:
    return onnxruntime.OrtValue.ortvalue_from_numpy(tensor.detach().contiguous().numpy())
