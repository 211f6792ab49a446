"""Milliseconds a face: all methods alternate, round after round; a busy moment affects them all.

On a processor it is processor time that counts, which other programs on the machine change little;
with a GPU it is the time that passes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np
import torch
from benchmarks.peers.crops import SIZE
from benchmarks.peers.shapes import SHAPES, Shape
from numpy.typing import NDArray
from torch import nn

from mien.model import Model

__all__ = ["BATCH", "crops_for_speed", "mien_encoder", "milliseconds_a_face", "shape_rows"]

BATCH = 32


def milliseconds_a_face(
    methods: Mapping[str, Callable[[], object]],
    *,
    faces: int = BATCH,
    rounds: int = 15,
    warm_up: int = 2,
) -> dict[str, float]:
    """Return the median time of each method for a face.

    Args:
        methods: name => what describes `faces` faces; where another process does, it returns the
            seconds which that took, a float.
        faces: that each call describes.
        rounds: in each of which every method is called once.
        warm_up: rounds before these, not counted.
    """
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for number in range(warm_up + rounds):
        for name, call in methods.items():
            start = clock()
            elsewhere = call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= warm_up:
                own = clock() - start
                seconds[name].append(elsewhere if isinstance(elsewhere, float) else own)
    return {name: 1000 * float(np.median(each)) / faces for name, each in seconds.items()}


def crops_for_speed(count: int = BATCH, side: int = SIZE) -> NDArray[np.uint8]:
    """Return made-up crops: how long a face takes does not depend on whose it is. [B, S, S, 3]."""
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)


def mien_encoder(model: Model, crops: NDArray[np.uint8]) -> Callable[[], object]:
    """Return what reads mien's factors of the face, all but the gaze, which no peer has."""
    lean = Model(model.network, weights_id=model.weights_id)
    return lambda: lean.encode(torch.from_numpy(crops).permute(0, 3, 1, 2)).to("cpu")


def shape_rows(*, device: str = "cpu", rounds: int = 3) -> list[dict[str, str | int | float]]:
    """Return name, parameters, side of the crop and time a face of the published encoders."""
    built = [(shape, _build(shape, device)) for shape in SHAPES]
    calls = {shape.name: _call(network, shape, device) for shape, network in built}
    times = milliseconds_a_face(calls, rounds=rounds, warm_up=1)
    return [
        {
            "name": shape.name,
            "parameters": sum(p.numel() for p in network.parameters()),
            "crop_px": shape.side,
            "ms_a_face": times[shape.name],
        }
        for shape, network in built
    ]


def _build(shape: Shape, device: str) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return shape.make().eval().requires_grad_(requires_grad=False).to(device)


def _call(network: nn.Module, shape: Shape, device: str) -> Callable[[], object]:
    crops = torch.from_numpy(crops_for_speed(side=shape.side)).permute(0, 3, 1, 2)

    def call() -> object:
        with torch.inference_mode():
            return network(crops.to(device).float() / 255).cpu()

    return call
