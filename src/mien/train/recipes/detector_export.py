"""The files of a trained detector: weights, ONNX graph, and what it was learned from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save

from mien import weights
from mien.data.sources import place_of
from mien.detection.export import OPSET, onnx_model
from mien.detection.least_score import ScoreChoice
from mien.detection.network import DetectorNetwork
from mien.errors import MienError
from mien.faces.own import MODEL_FILE
from mien.media.bounded import MIB, read_bytes
from mien.media.names import to_text
from mien.media.outputs import written_together

__all__ = ["DESCRIPTION_FILE", "TENSORS_FILE", "Origin", "export", "load_network"]

TENSORS_FILE = "detector.safetensors"
DESCRIPTION_FILE = "detector.json"
OWN = "mien"
"""Stands for the package's own detector."""
_MOST_BYTES = 8 * MIB


@dataclass(frozen=True)
class Origin:
    """What a detector was learned from."""

    teacher: str
    """Name of the detector whose answers were learned."""
    teacher_sha256: str
    """Of its file."""
    teacher_licence: str
    data: Sequence[str]
    """Sources of faces."""
    backgrounds: Sequence[str]
    """Sources of images without faces."""
    licences: Sequence[str]
    """Of the images, as whoever trained says; empty = not stated."""
    faces: int
    """Images with a face."""
    background_squares: int
    """Squares cut out of images without faces."""
    squares_with_face: int
    """Squares that were left out, for the teacher finds a face there."""
    steps: int
    """Optimiser steps."""
    init_from: str | None = None
    """SHA-256 of the tensors that the network started from; None: random ones."""


def load_network(where: str) -> tuple[DetectorNetwork, str]:
    """Read an exported detector to train it on: the network, and its tensors' SHA-256.

    Args:
        where: folder with detector.safetensors; `mien` is the package's own detector.

    Raises:
        MienError: no such file, or other or damaged tensors.
    """
    folder = resources.files("mien.shipped") if where == OWN else Path(where)
    path = Path(str(folder.joinpath(TENSORS_FILE)))
    content = read_bytes(path, limit=_MOST_BYTES)
    tensors = weights.parse(content, path)
    network = DetectorNetwork()
    weights.check_keys(network.state_dict(), tensors, path)
    if not all(bool(np.isfinite(value).all()) for value in tensors.values()):
        raise MienError(f"{path} has weights that are not finite; train it again")
    network.load_state_dict({k: torch.from_numpy(np.array(x)) for k, x in tensors.items()})
    return network, hashlib.sha256(content).hexdigest()


def export(
    network: DetectorNetwork,
    folder: Path,
    least_score: float,
    choice: ScoreChoice | None,
    origin: Origin,
) -> None:
    """Write detector.safetensors, detector.onnx and detector.json, all or none.

    Args:
        network: in evaluation mode.
        folder: made if need be; the files of an earlier export are replaced.
        least_score: from which on a cell is called a face.
        choice: how it was chosen; None: it was given.
        origin: what the network was learned from.

    Raises:
        MienError: a weight is not finite, or a file cannot be written.
    """
    state = {k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()}
    bad = [name for name, value in state.items() if not bool(torch.isfinite(value).all())]
    if bad:
        raise MienError(f"the detector's weights {bad[0]} are not finite; nothing is exported")
    graph = onnx_model(network)
    description = {
        "sha256": hashlib.sha256(graph).hexdigest(),
        "least_score": least_score,
        "chosen": asdict(choice) if choice else None,
        "opset": OPSET,
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "learned_from": asdict(origin)
        # Names without their places, which are nobody's business.
        | {"data": _names(origin.data), "backgrounds": _names(origin.backgrounds)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    names = (TENSORS_FILE, MODEL_FILE, DESCRIPTION_FILE)
    with written_together([folder / name for name in names], overwrite=True) as places:
        places[0].write_bytes(save(state))
        places[1].write_bytes(graph)
        places[2].write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")


def _names(sources: Sequence[str]) -> list[str]:
    return [to_text(place_of(source).name) for source in sources]
