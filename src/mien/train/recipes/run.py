"""A run of a recipe in this process: its options, folder and device, and how a stage is trained."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from lightning_fabric import Fabric
from torch import Tensor

from mien.data.loader import Shard
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.objective import Batches, Objective
from mien.train.process import keep_freed_memory
from mien.train.run_folder import RunFolder

__all__ = ["Run", "start_run"]

Config = TypeVar("Config")


@dataclass(frozen=True)
class Run(Generic[Config]):
    """What all parts of a recipe need."""

    config: Config
    """Everything that decides the run."""
    data: list[str]
    """Sources."""
    folder: RunFolder
    fabric: Fabric
    """Launched."""
    echo: Callable[[str], None]
    """Given every line that a person should see, in the first process alone."""

    @property
    def options(self) -> Any:
        """The configuration, for what all recipes' configurations have: data, loop and stages."""
        return self.config

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes."""
        return self.fabric.global_rank == 0

    @property
    def shard(self) -> Shard:
        """Which part of every batch this process takes."""
        return Shard(self.fabric.global_rank, self.fabric.world_size)

    @property
    def cache(self) -> Path:
        """The folder of the crop cache."""
        return Path(self.options.data.cache or self.folder.cache)

    @contextmanager
    def initial_weights(self) -> Iterator[None]:
        """Make networks from one generator of initial weights, the same in every process."""
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.options.loop.seed)
            yield

    def train(self, objective: Objective[Any], loader: Batches, stage: str) -> dict[str, Tensor]:
        """Train a stage to its end and return the averaged weights, by the module's own names."""
        return fit(
            objective,
            loader,
            run=self.folder.of_stage(stage),
            options=self.options.loop,
            pace=getattr(self.config, stage),
            fabric=self.fabric,
            echo=self.echo,
        ).weights


def start_run(
    config: Config, data: list[str], folder: RunFolder, device: str, echo: Callable[[str], None]
) -> Run[Config]:
    """Launch the processes of a run; arguments and errors as of the recipes."""
    keep_freed_memory()
    fabric = launch(device, getattr(config, "loop"))  # noqa: B009 - of any recipe's configuration
    return Run(config, data, folder, fabric, echo if fabric.global_rank == 0 else _nothing)


def _nothing(line: str) -> None:
    """Print nothing: the first process prints for all."""
