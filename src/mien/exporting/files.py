"""Graphs to files of a format: each compared with torch first, all written or none."""

from __future__ import annotations

import importlib
import json
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.engines.write import OPSET, to_onnx, to_program
from mien.errors import MienError
from mien.exporting.parts import Part, Run, compare
from mien.exporting.quantise import (
    LEAST_CROPS,
    SMALL,
    calibrating,
    far_off,
    quantised,
    shifts,
)
from mien.media.folder import made_folder
from mien.media.outputs import check_outputs, written_together
from mien.version import VERSION

__all__ = ["ENDINGS", "FORMATS", "TOLERANCE", "Exported", "check_format", "export", "files_of"]

FORMATS = ("onnx", "openvino", "torch")
ENDINGS = {"onnx": (".onnx",), "openvino": (".xml", ".bin"), "torch": (".pt2",)}
TOLERANCE = 5e-3
"""Largest difference of any output to torch with which a file is written."""


@dataclass(frozen=True)
class Exported:
    """A graph that was written."""

    path: Path
    parity: Mapping[str, float]
    """Output => largest difference to torch; of yes and no how many differ."""
    kept_float: str | None = None
    """None: in floating point; empty: in 8 bits; else why it is not in 8 bits after all."""


def check_format(form: str, *, external_data: bool = False, int8: bool = False) -> None:
    """Raise MienError for a format that is not known, or that has not what is asked for."""
    if form not in FORMATS:
        raise MienError(f"--format {form[:40]}: no such format; take {', '.join(FORMATS)}")
    if external_data and form != "onnx":
        raise MienError(f"--external-data is for --format onnx, not for {form}")
    if int8 and form != "onnx":
        raise MienError(f"--int8 is for --format onnx, not for {form}")


def files_of(
    names: Sequence[str], out: Path, form: str, *, external_data: bool = False
) -> list[list[Path]]:
    """Return the files that each graph becomes."""
    endings = (*ENDINGS[form], ".onnx.data") if external_data else ENDINGS[form]
    return [[out / f"{name}{ending}" for ending in endings] for name in names]


def export(
    parts: Sequence[Part],
    out: Path,
    form: str,
    *,
    weights_sha256: str,
    external_data: bool = False,
    int8: bool = False,
    overwrite: bool = False,
) -> list[Exported]:
    """Write graphs to a folder and return how far each of them is from torch.

    Args:
        parts: graphs with inputs.
        out: folder, made where it does not exist.
        form: onnx, openvino or torch.
        weights_sha256: checksum of the weights' file, stored in every file.
        external_data: put weights of ONNX beside the file, in NAME.onnx.data.
        int8: write `quantise.SMALL` in 8 bits, where that stays near torch; every other row of its
            inputs gives the ranges, the rest is what is compared.
        overwrite: whether files that are there may be replaced.

    Raises:
        MienError: the format is not known, a file may not be written, a graph is too far from torch
            or its batch is not free. Then nothing is written.
        ModuleNotFoundError: the format's packages are not installed.
    """
    check_format(form, external_data=external_data, int8=int8)
    if int8:
        _check_int8(parts)
    files = files_of([p.graph.name for p in parts], out, form, external_data=external_data)
    flat = [path for each in files for path in each]
    check_outputs(flat, overwrite=overwrite)
    about = {"mien": VERSION, "weights_sha256": weights_sha256, "opset": str(OPSET)}
    write = {"onnx": partial(_onnx, int8=int8), "openvino": _openvino, "torch": _torch}[form]
    done = []
    with made_folder(out), written_together(flat, overwrite=overwrite) as places:
        at = iter(places)
        for part, paths in zip(parts, files, strict=True):
            there = [next(at) for _ in paths]
            done.append(replace(write(part, there, about), path=paths[0]))
    return done


def _measured(part: Part, run: Run, about: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """Return a graph's parity, and what is stored in its file; raise where it is too far off."""
    parity = compare(part, run)
    name, worst = max(parity.items(), key=lambda each: each[1])
    if not worst <= TOLERANCE:  # what is no number, too
        raise MienError(
            f"the graph {part.graph.name} differs from torch by {worst:.2g} in {name}, more than "
            f"{TOLERANCE:g}: nothing was written"
        )
    return parity, {**about, **_facts(parity, part)}


def _facts(parity: Mapping[str, float], part: Part) -> dict[str, str]:
    """Return what every file says of its parity."""
    return {"parity_to_torch": json.dumps(parity), "parity_crops": str(len(part.inputs[0]))}


def _check_int8(parts: Sequence[Part]) -> None:
    if not any(part.graph.name in SMALL for part in parts):
        raise MienError(f"--int8 is for the graph {SMALL[0]}, which these weights do not have")
    if len(parts[0].inputs[0]) < 2 * LEAST_CROPS:
        raise MienError(f"--int8 takes ranges from crops: give at least {2 * LEAST_CROPS} --crops")


def _onnx(
    part: Part, places: Sequence[Path], about: Mapping[str, str], *, int8: bool = False
) -> Exported:
    proto = to_onnx(part.graph)
    if int8 and part.graph.name in SMALL:
        return _int8(proto, part, places, about)
    parity, kept = _measured(part, _run_onnx(proto.SerializeToString()), about)
    _save(proto, part, places, kept)
    return Exported(places[0], parity)


def _int8(proto: Any, part: Part, places: Sequence[Path], about: Mapping[str, str]) -> Exported:
    """Write a graph in 8 bits, or as it is where that takes it too far from torch."""
    for_ranges, unseen = calibrating(part)
    small = quantised(proto, for_ranges)
    run = _run_onnx(small.SerializeToString())
    shifted = shifts(unseen, run)
    if reason := far_off(shifted):
        parity, kept = _measured(unseen, _run_onnx(proto.SerializeToString()), about)
        _save(proto, part, places, kept)
        return Exported(places[0], parity, reason)
    parity = compare(unseen, run)
    ranges = {"int8_calibration_crops": str(len(for_ranges.inputs[0]))}
    kept = {**about, **_facts(parity, unseen), **ranges, "int8_shift": json.dumps(shifted)}
    _save(small, part, places, kept)
    return Exported(places[0], parity, "")


def _run_onnx(source: bytes | str) -> Run:
    import onnxruntime

    from mien.faces.session import one_thread

    session = onnxruntime.InferenceSession(source, one_thread(), providers=["CPUExecutionProvider"])
    for value in session.get_inputs():
        if value.shape[0] != "batch":
            raise MienError(f"a graph takes {value.shape[0]} rows only: nothing was written")
    return _runner(session)


def _save(proto: Any, part: Part, places: Sequence[Path], kept: Mapping[str, str]) -> None:
    """Write a graph and what is kept of it, and run what was written."""
    import onnx

    for key, value in kept.items():
        proto.metadata_props.add(key=key, value=value)
    beside = {"location": places[1].name, "size_threshold": 1024} if len(places) > 1 else {}
    onnx.save_model(proto, str(places[0]), save_as_external_data=bool(beside), **beside)
    _run_onnx(str(places[0]))([x[:1] for x in part.inputs])


def _runner(session: Any) -> Run:
    names = [value.name for value in session.get_inputs()]

    def run(given: Sequence[Tensor]) -> list[Tensor]:
        feed = {k: v.contiguous().numpy() for k, v in zip(names, given, strict=True)}
        return [torch.from_numpy(np.asarray(x)) for x in session.run(None, feed)]

    return run


def _openvino(part: Part, places: Sequence[Path], about: Mapping[str, str]) -> Exported:
    openvino: Any = importlib.import_module("openvino")

    core = openvino.Core()
    model = core.read_model(to_onnx(part.graph).SerializeToString())
    exact = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = core.compile_model(model, "CPU", exact)

    def run(given: Sequence[Tensor]) -> list[Tensor]:
        found = compiled([x.contiguous().numpy() for x in given])
        return [torch.from_numpy(np.array(found[k])) for k in range(len(compiled.outputs))]

    parity, kept = _measured(part, run, about)
    for key, value in kept.items():
        model.set_rt_info(value, ["mien", key])
    openvino.save_model(model, str(places[0]), compress_to_fp16=False)
    for value in core.read_model(str(places[0])).inputs:
        if value.partial_shape[0].is_static:
            raise MienError(f"{places[0].name} has a fixed number of rows: nothing was written")
    return Exported(places[0], parity)


def _torch(part: Part, places: Sequence[Path], about: Mapping[str, str]) -> Exported:
    program = to_program(part.graph)
    module = program.module()

    def run(given: Sequence[Tensor]) -> Sequence[Tensor]:
        found = module(*given)
        return (found,) if isinstance(found, Tensor) else found

    parity, kept = _measured(part, run, about)
    with warnings.catch_warnings():  # of tensors that share memory: all are on the CPU
        warnings.simplefilter("ignore", UserWarning)
        torch.export.save(program, str(places[0]), extra_files={"mien.json": json.dumps(kept)})
    return Exported(places[0], parity)
