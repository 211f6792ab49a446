"""Checkpoints: safetensors for tensors, JSON for the rest; written whole or not at all.

A checkpoint is a folder step_000123 with tensors.safetensors and state.json. It is written under a
temporary name and renamed; then the file `last` is pointed at it; then older ones are removed. A
process killed at any moment leaves `last` pointing at a whole checkpoint.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mien.errors import MienError
from mien.media.atomic import write_text
from mien.media.bounded import MIB, read_json, read_text
from mien.media.faults import fault, fault_in_text

__all__ = [
    "Checkpoint",
    "load_last",
    "optimizer_state",
    "restore_module",
    "restore_optimizer",
    "save",
    "under",
]

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """What was read back."""

    step: int
    """Optimiser steps that were done."""
    tensors: dict[str, Tensor]
    """By name, such as model/trunk.weight; on the CPU."""
    state: dict[str, Any]
    """Everything that is not a tensor."""


def save(
    folder: Path,
    step: int,
    tensors: Mapping[str, Tensor],
    state: Mapping[str, Any],
    *,
    keep_last: int,
) -> Path:
    """Write a checkpoint, point `last` at it and remove all but the newest `keep_last`.

    Raises:
        MienError: it could not be written (full disk, no permission); older ones are untouched.
    """
    target = folder / f"step_{step:06d}"
    if _last_name(folder) == target.name:
        return target
    temporary = folder / f".step_{step:06d}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left_over in folder.glob(".step_*"):
            shutil.rmtree(left_over)
        temporary.mkdir()
        plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
        save_file(plain, temporary / "tensors.safetensors")
        text = json.dumps({"format": FORMAT, "step": step, **state}, indent=1)
        (temporary / "state.json").write_text(text, encoding="utf-8")
        if target.exists():  # left by a run that was killed before it moved `last`
            shutil.rmtree(target)
        temporary.replace(target)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        reason = fault(error) if isinstance(error, OSError) else fault_in_text(error)
        raise MienError(f"cannot write checkpoint {target}: {reason}") from error
    write_text(folder / "last", target.name)
    _prune(folder, keep_last, target.name)
    return target


def load_last(folder: Path) -> Checkpoint | None:
    """Return the checkpoint that `last` points at, or None where there is none.

    Raises:
        MienError: it cannot be read, or another version wrote it.
    """
    name = _last_name(folder)
    if name is None:
        return None
    path = folder / name
    advice = f"write the name of another one into {folder / 'last'} or start anew"
    if not os.path.lexists(path / "state.json"):
        raise MienError(f"there is no checkpoint {path}; {advice}")
    state = read_json(path / "state.json", advice=advice)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        found = state.get("format") if isinstance(state, dict) else None
        raise MienError(f"checkpoint {path} has format {found}, not {FORMAT}; start anew")
    if not isinstance(state.get("step"), int):
        raise MienError(f"checkpoint {path} has no step; {advice}")
    try:
        tensors = load_file(path / "tensors.safetensors")
    except (OSError, ValueError, SafetensorError) as error:
        raise MienError(f"checkpoint {path} cannot be read ({error}); {advice}") from error
    return Checkpoint(state["step"], tensors, state)


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose name starts with `prefix/`, named without it."""
    start = f"{prefix}/"
    return {name.removeprefix(start): t for name, t in tensors.items() if name.startswith(start)}


def optimizer_state(optimizer: torch.optim.Optimizer) -> tuple[dict[str, Tensor], list[Any]]:
    """Return an optimiser's tensors as `index/entry`, and its parameter groups as plain values."""
    state = optimizer.state_dict()
    tensors = {
        f"{index}/{name}": torch.as_tensor(value)
        for index, entries in state["state"].items()
        for name, value in entries.items()
    }
    return tensors, state["param_groups"]


def restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor], groups: list[Any]
) -> None:
    """Put back what optimizer_state returned; each tensor takes its parameter's memory format."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split("/", 1)
        parameter = parameters[int(index)]
        if value.shape == parameter.shape:
            value = torch.empty_like(parameter, device="cpu", dtype=value.dtype).copy_(value)
        state.setdefault(int(index), {})[name] = value
    for group in groups:
        group["betas"] = tuple(group["betas"])
    optimizer.load_state_dict({"state": state, "param_groups": groups})


def restore_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Put weights and buffers back.

    Raises:
        MienError: they are those of another model.
    """
    try:
        module.load_state_dict(dict(tensors))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise MienError(f"the checkpoint is of another model ({reason}); start anew") from error


def _last_name(folder: Path) -> str | None:
    pointer = folder / "last"
    if not os.path.lexists(pointer):
        return None
    name = read_text(pointer, limit=MIB).strip()
    if name and not re.fullmatch(r"step_\d+", name):
        raise MienError(f"{pointer} names no checkpoint; write one's name into it, or start anew")
    return name or None


def _prune(folder: Path, keep_last: int, newest: str) -> None:
    # What stands after the newest was left by a run that was rolled back.
    steps = {path.name: int(path.name.removeprefix("step_")) for path in folder.glob("step_*")}
    past = sorted((name for name in steps if steps[name] <= steps[newest]), key=lambda n: steps[n])
    for name in steps.keys() - set(past[-keep_last:]):
        shutil.rmtree(folder / name, ignore_errors=True)
