"""Stage 2 as the loop sees it: codes of clips by the frozen autoencoder, neutral networks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from mien.data.seeds import seed_of
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import leave_one_out, neutral_error
from mien.train.options import LoopOptions
from mien.train.task import Terms

__all__ = ["CodeBatches", "NeutralTask"]


class CodeBatches:
    """Batches of scaled codes from memory; batch k is a pure function of (seed, k)."""

    def __init__(
        self, texture: Tensor, shape: Tensor, *, size: int, seed: int, rank: int, world: int
    ) -> None:
        """Hold the codes of clips.

        Args:
            texture: scaled codes. [C, T, D].
            shape: scaled codes. [C, T, D].
            size: rows in a batch over all processes.
            seed: decides every draw.
            rank: which process this is.
            world: number of processes; each takes its own rows of the same batch.
        """
        self.texture, self.shape = texture, shape
        self.texture_target, self.shape_target = leave_one_out(texture), leave_one_out(shape)
        self.size, self.seed, self.rank, self.world = size, seed, rank, world

    @property
    def fingerprint(self) -> str:
        """Return a hash of the codes and of how they are drawn."""
        codes = torch.cat([self.texture.flatten(), self.shape.flatten()]).cpu().contiguous()
        content = hashlib.sha256(codes.numpy().tobytes())
        content.update(f"{self.size} {self.seed}".encode())
        return content.hexdigest()[:16]

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1."""
        clips, frames = self.texture.shape[:2]
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(seed_of(self.seed, "codes", step))
            clip = torch.randint(clips, (self.size,), generator=generator)
            frame = torch.randint(frames, (self.size,), generator=generator)
            mine = slice(
                self.rank * self.size // self.world, (self.rank + 1) * self.size // self.world
            )
            rows = (clip[mine].to(self.texture.device), frame[mine].to(self.texture.device))
            yield {
                "texture": self.texture[rows],
                "texture_target": self.texture_target[rows],
                "shape": self.shape[rows],
                "shape_target": self.shape_target[rows],
            }


class NeutralTask:
    """Learns the neutral networks of texture and shape; the autoencoder is not touched."""

    def __init__(
        self,
        texture: NeutralDiffusion | NeutralRegressor,
        shape: NeutralDiffusion | NeutralRegressor,
        weighting: str,
    ) -> None:
        self.module = nn.ModuleDict({"texture": texture, "shape": shape})
        self.weighting = weighting

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Terms:  # noqa: ARG002
        """Return the loss of a batch of codes and their clips' leave-one-out means."""
        parts = {
            name: neutral_error(
                network,  # type: ignore[arg-type]
                batch[name],
                batch[f"{name}_target"],
                weighting=self.weighting,
                generator=generator,
            ).mean()
            for name, network in self.module.items()
        }
        return Terms(parts["texture"] + parts["shape"], parts)

    def parameter_groups(self, options: LoopOptions) -> list[dict[str, Any]]:  # noqa: ARG002
        """Return one group: everything learns at one rate."""
        return [{"params": list(self.module.parameters())}]

    def image(self, batch: dict[str, Tensor], step: int) -> None:  # noqa: ARG002
        """Codes have no image."""
        return

    def warnings(self, monitors: Mapping[str, float]) -> list[str]:  # noqa: ARG002
        """Stage 2 has no known way to collapse that its loss does not show."""
        return []
