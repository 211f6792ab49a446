"""A small training run for tests, in this process or as a program that may be killed."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from mien.data.batches import Sampler
from mien.data.cache import CropCache
from mien.data.loader import Loader, Shard
from mien.data.options import DataOptions
from mien.media.atomic import write_text
from mien.train.config import TrainConfig, override
from mien.train.engine import launch, once_per_node
from mien.train.loop import Fitted, fit
from mien.train.objective import Objective
from mien.train.run_folder import RunFolder, is_first_process
from mien.types import Loss

SIZE = 16
SMALL = [
    "stage1.steps=9",
    "stage1.batch_size=8",
    "stage1.warmup_steps=2",
    "loop.log_every=1",
    "loop.checkpoint_every=2",
    "loop.log_images_every=0",
    "loop.tensorboard=false",
]


class ToyObjective(Objective[nn.Sequential]):
    """Reconstructs an image through a bottleneck; noise and dropout make it random."""

    def __init__(self, *, random: bool = True, nan_at: int = -1, pause_s: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(5)
        super().__init__(
            nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1),
                nn.BatchNorm2d(8) if random else nn.Identity(),
                nn.ReLU(),
                nn.Dropout(0.2 if random else 0.0),
                nn.Conv2d(8, 3, 3, 1, 1),
            )
        )
        with torch.no_grad():
            for parameter in self.module.parameters():
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
        self.random, self.nan_at, self.pause_s = random, nan_at, pause_s
        self.seen: list[int] = []

    def compute(self, batch, step, generator):
        time.sleep(self.pause_s)
        self.seen.append(step)
        small = nn.functional.avg_pool2d(batch["image"], 2)
        made = self.module(batch["input"])
        if self.random:
            made = made + 0.01 * torch.randn(made.shape, generator=generator)
        error = (made - small).abs().mean()
        if step == self.nan_at:
            error = error * float("nan")
        edges = 0.5 * (made.diff(dim=-1) - small.diff(dim=-1)).abs().mean()
        parts = {"error": error, "edges": edges}
        return Loss(error + edges, parts, {"brightness": made.mean()})

    def contact_sheet(self, batch, step):
        return (batch["image"][0].permute(1, 2, 0) * 255).byte().numpy()

    def warnings(self, monitors):
        return ["it is dark"] if monitors["brightness"] < 10 else []


def toy_cache() -> CropCache:
    rng = np.random.default_rng(3)
    crops = rng.integers(0, 256, (40, SIZE + 4, SIZE + 4, 3), dtype=np.uint8)
    clip = np.repeat([-1, 0, 1, 2, 3, 4], [15, 5, 5, 5, 5, 5])
    return CropCache(crops, clip.astype(np.int64), "toy", {})


def toy_loader(config: TrainConfig, shard: Shard | None = None) -> Loader:
    cache = toy_cache()
    sampler = Sampler(
        cache.clip,
        seed=config.loop.seed,
        batch_size=config.stage1.batch_size,
        frames=2,
        stills_fraction=0.5,
    )
    return Loader(
        cache,
        sampler,
        options=DataOptions(),
        image_size=SIZE,
        device=torch.device("cpu"),
        shard=shard,
    )


def toy_run(
    folder: Path, changes: list[str], objective: ToyObjective | None = None, echo=None, data=None
) -> Fitted:
    config = override(TrainConfig(), SMALL + changes)
    run = RunFolder.open(folder, resume=True)
    if is_first_process():
        write_text(run.config, "toy: true\n")
    fabric = launch("cpu", config.loop)
    if data is not None:
        once_per_node(fabric, lambda: made_data(data, fabric))
    shard = Shard(fabric.global_rank, fabric.world_size)
    fitted = fit(
        objective or ToyObjective(),
        toy_loader(config, shard),
        run=run.of_stage("stage1"),
        options=config.loop,
        pace=config.stage1,
        fabric=fabric,
        echo=echo,
    )
    return fitted


def made_data(folder: Path, fabric) -> Path:
    """Stand for the cropping of faces: note who does it, on which node."""
    path = folder / f"node{fabric.node_rank}" / "key"
    path.mkdir(parents=True, exist_ok=True)
    with (path / "made").open("a") as file:
        file.write(f"{fabric.global_rank}\n")
    return path


def main() -> None:
    torch.set_num_threads(1)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pause", type=float, default=0.0)
    parser.add_argument("--plain", action="store_true")
    parser.add_argument("--gradients", type=Path)
    parser.add_argument("--data", type=Path)
    options, changes = parser.parse_known_args()
    objective = ToyObjective(random=not options.plain, pause_s=options.pause)
    toy_run(options.folder, changes, objective, data=options.data)
    if options.gradients is not None and is_first_process():
        gradients = {
            name: p.grad.contiguous()
            for name, p in objective.module.named_parameters()
            if p.grad is not None
        }
        save_file(gradients, options.gradients)


if __name__ == "__main__":
    main()
