"""Fabric: which device, how many processes, which precision, and what processes do together."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from mien.errors import MienError
from mien.train.options import LoopOptions

__all__ = ["check_device", "choose_precision", "in_turn", "launch", "once_per_node"]

_PATIENCE = timedelta(hours=6)  # a node may be cropping the data for all of its processes

T = TypeVar("T")


def launch(device: str, options: LoopOptions) -> Fabric:
    """Return a Fabric whose processes are running.

    Args:
        device: "cpu", "cuda", "mps", or "auto" for the best that is there.
        options: devices, num_nodes and precision.

    Raises:
        MienError: there is no such device here; never a silent run on the CPU.
    """
    accelerator = check_device(device)
    devices, nodes = _processes(options)
    available = torch.cuda.device_count() if accelerator == "cuda" else devices
    if devices > available:
        raise MienError(f"loop.devices={devices}, but this machine has {available} GPUs")
    alone = devices * nodes == 1
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it announces its precision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about unused devices: they were not asked for
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=cast("Any", choose_precision(options.precision, device)),
            strategy="auto" if alone else _several(accelerator),
        )
        fabric.launch()
    return fabric


def check_device(device: str) -> str:
    """Return the accelerator of a device name, or raise MienError where it is not there."""
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if device == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if present[name])
    if device not in present:
        raise MienError(f"unknown device {device!r}; give auto, {', '.join(present)}")
    if not present[device]:
        raise MienError(f"--device {device}: torch finds none here; give --device cpu, or install")
    return device


def choose_precision(precision: str, device: str) -> str:
    """Return the precision that is meant by "auto" on this machine, or the one that was given.

    Without instructions for it bfloat16 is emulated, ten times slower than float32 on a processor.

    Args:
        precision: of LoopOptions.
        device: as for `check_device`.
    """
    if precision != "auto":
        return precision
    accelerator = check_device(device)
    if accelerator == "cuda":
        native = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        native = accelerator == "cpu" and _cpu_has_bfloat16()
    return "bf16-mixed" if native else "32-true"


def _cpu_has_bfloat16() -> bool:
    """Return whether torch finds bfloat16 instructions: AVX-512 BF16, AMX, or those of ARM."""
    if hasattr(torch.cpu, "get_capabilities"):  # in newer torch
        found = torch.cpu.get_capabilities()
        return any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "sve_bf16"))
    names = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in names)


def _processes(options: LoopOptions) -> tuple[int, int]:
    """Return processes a machine and machines; torchrun decides where nothing was asked for."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "0"))
    asked = options.devices, options.num_nodes
    if world == 1 or not local or asked == (local, world // local):
        return asked
    if asked != (1, 1):
        raise MienError(
            f"torchrun started {local} processes on each of {world // local} machines, but "
            f"loop.devices={asked[0]} loop.num_nodes={asked[1]} ask for others; leave these out"
        )
    return local, world // local


def _several(accelerator: str) -> DDPStrategy:
    backend = "nccl" if accelerator == "cuda" else "gloo"
    return _StageDDP(process_group_backend=backend, timeout=_PATIENCE)


class _StageDDP(DDPStrategy):
    """Looks for unused parameters, which costs time, only where the objective may have some."""

    def setup_module(self, module: nn.Module) -> DistributedDataParallel:
        unused = bool(getattr(module, "unused_parameters", True))
        self._ddp_kwargs["find_unused_parameters"] = unused
        return super().setup_module(module)


def once_per_node(fabric: Fabric, build: Callable[[], Path]) -> Path:
    """Return a folder that the first process of this node built; the node's others wait for it.

    Args:
        fabric: launched.
        build: makes a folder whose name is a hash of what is in it.

    Raises:
        MienError: as build; or the nodes built different things.
    """
    built = str(build()) if fabric.local_rank == 0 else ""
    if fabric.world_size == 1:
        return Path(built)
    found: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(found, (fabric.node_rank, built))
    folders = {node: Path(folder) for node, folder in found if folder}
    if len({folder.name for folder in folders.values()}) > 1:
        raise MienError("the nodes see different data; give every node the same files")
    return folders[fabric.node_rank]


def in_turn(
    parts: Sequence[T], compute: Callable[[T], Tensor], fabric: Fabric, *, rows: int
) -> Iterator[Tensor]:
    """Yield compute(part) for all parts, in order and in every process; each is computed once.

    The numbers do not depend on how many processes there are, which take the parts by turns.

    Args:
        parts: of some work; all processes have the same.
        compute: gives the rows of a part. [R, ...].
        fabric: launched.
        rows: the largest R of all parts.
    """
    for first in range(0, len(parts), fabric.world_size):
        together = min(fabric.world_size, len(parts) - first)
        # A process without a part in the last round computes one again, to gather the same shapes.
        mine = compute(parts[first + min(fabric.global_rank, together - 1)])
        if fabric.world_size == 1:
            yield mine
            continue
        lengths = fabric.all_gather(torch.tensor(len(mine), device=mine.device))
        padded = mine.new_zeros(rows, *mine.shape[1:])
        padded[: len(mine)] = mine
        gathered = fabric.all_gather(padded)
        assert isinstance(gathered, Tensor)
        assert isinstance(lengths, Tensor)
        for length, part in zip(lengths.tolist()[:together], gathered[:together], strict=True):
            yield part[:length]
