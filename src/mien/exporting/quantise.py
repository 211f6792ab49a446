"""An ONNX graph to 8-bit weights and activations, and how far that takes it from torch.

Static quantisation of convolutions and matrix products, weights channel by channel, ranges of
activations from crops; all else stays in floating point.
"""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from mien.exporting.parts import Part, Run, answers

__all__ = ["LEAST_CROPS", "SHIFT", "SMALL", "calibrating", "far_off", "quantised", "shifts"]

SMALL = ("gaze",)
"""Graphs that go into 8 bits: of these alone no score of `mien eval` moved by half a point."""
SHIFT = 0.05
"""Largest shift of any output with which a graph is written in 8 bits."""
LEAST_CROPS = 32
"""So many crops are the ranges taken from, at least."""
_KINDS = ["Conv", "Gemm", "MatMul"]


def calibrating(part: Part) -> tuple[Part, Part]:
    """Return a part with every other crop, to take ranges from, and with the rest, to compare."""
    one, other = (tuple(x[first::2] for x in part.inputs) for first in (0, 1))
    return Part(part.graph, one), Part(part.graph, other)


def quantised(proto: Any, part: Part) -> Any:
    """Return a graph in 8 bits, as an `onnx.ModelProto`.

    Args:
        proto: the graph in floating point.
        part: what it was made of, with the inputs that the ranges are taken from.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory() as name, _quiet():
        given, plain, done = (Path(name) / f"{each}.onnx" for each in ("given", "plain", "done"))
        onnx.save_model(proto, str(given))  # of a graph in memory the quantiser moves the weights
        quant_pre_process(str(given), str(plain), skip_symbolic_shape=True)
        quantize_static(
            str(plain),
            str(done),
            cast("Any", _Rows(part)),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_KINDS,
        )
        return onnx.load(str(done))


class _Rows:
    """Inputs one crop at a time, as the quantiser asks for them."""

    def __init__(self, part: Part) -> None:
        self._rows = self._each(part)

    @staticmethod
    def _each(part: Part) -> Iterator[dict[str, Any]]:
        for row in range(len(part.inputs[0])):
            given = zip(part.graph.inputs, part.inputs, strict=True)
            yield {name: x[row : row + 1].contiguous().numpy() for name, x in given}

    def get_next(self) -> dict[str, Any] | None:
        return next(self._rows, None)


@torch.no_grad()
def shifts(part: Part, run: Run) -> Mapping[str, float]:
    """Return how far a graph's outputs are from torch, measured by their own variation.

    Of numbers: the root mean square of the difference over that of the deviations from the mean
    over all crops; of yes and no: the share that differs.
    """
    found, wanted = answers(part, run)
    each = zip(part.graph.outputs, found, wanted, strict=True)
    return {name: _shift(a, b) for name, a, b in each}


def _shift(found: Tensor, wanted: Tensor) -> float:
    if wanted.dtype == torch.bool:
        return float((found != wanted).float().mean())
    varied = (wanted - wanted.mean(dim=0)).square().mean()
    return float(((found - wanted).square().mean() / varied.clamp_min(1e-12)).sqrt())


def far_off(shifted: Mapping[str, float]) -> str:
    """Return which output is too far from torch in 8 bits, and how far; empty: none."""
    name, worst = max(shifted.items(), key=lambda each: each[1])
    if worst <= SHIFT:  # not so where it is no number
        return ""
    return f"in 8 bits {name} shifts by {worst:.2f} of its variation, more than {SHIFT:g}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the quantiser's advice to itself: what it warns of is compared with torch anyway."""
    import onnxruntime

    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    onnxruntime.set_default_logger_severity(3)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logger.setLevel(before)
        onnxruntime.set_default_logger_severity(2)  # its own
