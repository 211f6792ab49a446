"""Fabric: which device, how many processes, which precision."""

from __future__ import annotations

import logging
import os
import warnings
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy

from mien.errors import MienError
from mien.train.options import LoopOptions

__all__ = ["check_device", "launch"]

_PATIENCE = timedelta(hours=6)  # the first process may be packing the data of all


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
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it praises its precision
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # advice about unused devices: they were not asked for
        fabric = Fabric(
            accelerator=accelerator,
            devices=devices,
            num_nodes=nodes,
            precision=options.precision,
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


def _processes(options: LoopOptions) -> tuple[int, int]:
    """Return processes a machine and machines; torchrun's word counts where nothing was asked."""
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
    # Stages may leave parameters out (a branch that a batch without clips does not take).
    return DDPStrategy(
        process_group_backend=backend, timeout=_PATIENCE, find_unused_parameters=True
    )
