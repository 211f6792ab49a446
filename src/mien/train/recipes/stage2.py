"""Stage 2 of LatentFace: codes of clips by the frozen autoencoder, batches of them, objective."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mien.data.cache import CropCache
from mien.data.loader import Shard
from mien.data.seeds import seed_of
from mien.latentface.autoencoder import Autoencoder
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import leave_one_out, neutral_error
from mien.train.engine import in_turn
from mien.train.objective import Objective
from mien.types import Loss

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["ClipImages", "CodeBatches", "NeutralObjective", "clip_codes", "clip_maps"]

_CLIPS_AT_ONCE = 16
_MAP_CLIPS_AT_ONCE = 50

Crops = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True)
class ClipImages:
    """The frames of all clips, as many of each; read when they are asked for."""

    rows: Sequence[Numbers]
    """Of each cached clip the rows of its frames. [frames] each."""
    cache: CropCache | None
    """The crop cache."""
    stream: Stream | None
    """Endless rendered clips; they follow the cached ones."""
    frames: int
    """Of each clip; shorter clips repeat frames."""
    stream_clips: int
    """How many clips of the stream."""
    image_size: int
    """S. Pixels."""

    @classmethod
    def of(
        cls,
        cache: CropCache | None,
        stream: Stream | None,
        *,
        frames: int,
        stream_clips: int,
        image_size: int,
        rng: np.random.Generator,
    ) -> ClipImages:
        """Choose the frames: all clips but those of one frame, which say nothing about time.

        Args:
            cache: the crop cache; stills are passed over.
            stream: endless rendered clips.
            frames: how many of each clip.
            stream_clips: how many clips of the stream.
            image_size: S. Pixels.
            rng: samples the frames.
        """
        chosen = []
        if cache is not None:
            order = np.argsort(cache.clip, kind="stable")
            borders = np.flatnonzero(np.diff(cache.clip[order])) + 1
            for rows in np.split(order, borders):
                if len(rows) > 1 and cache.clip[rows[0]] >= 0:
                    chosen.append(np.sort(np.resize(rng.permutation(rows), frames)))
        return cls(chosen, cache, stream, frames, stream_clips if stream else 0, image_size)

    def __len__(self) -> int:
        return len(self.rows) + self.stream_clips

    def read(self, clips: range) -> Crops:
        """Return the frames of some clips without their margin. uint8 [C T, S, S, 3]."""
        return np.concatenate([self._of(number) for number in clips])

    def parts(self, clips: int) -> list[range]:
        """Return the numbers of all clips, `clips` at a time."""
        return [range(at, min(at + clips, len(self))) for at in range(0, len(self), clips)]

    def _of(self, number: int) -> Crops:
        if number < len(self.rows):
            assert self.cache is not None
            room = (self.cache.crops.shape[1] - self.image_size) // 2
            inner = slice(room, room + self.image_size)
            return self.cache.crops[self.rows[number]][:, inner, inner]
        assert self.stream is not None
        images = self.stream.clip(number - len(self.rows)).images.transpose(0, 2, 3, 1)
        return images[np.resize(np.arange(len(images)), self.frames)]


@torch.no_grad()
def clip_codes(
    model: Autoencoder,
    clips: ClipImages,
    fabric: Fabric,
    say: Callable[[str], None],
    *,
    at_once: int = _CLIPS_AT_ONCE,
) -> tuple[Tensor, Tensor]:
    """Return raw texture and shape codes of clips, as they are and mirrored. Each [2 C, T, D].

    Each clip stands before its mirror image; float32 on the device.

    Args:
        model: trained; used as it is, in evaluation mode.
        clips: at least one.
        fabric: the processes take the clips by turns.
        say: given the progress.
        at_once: clips in a forward pass.
    """
    was_training = model.training
    model.eval()

    def encode(part: range) -> Tensor:
        images = _on_device(clips.read(part), fabric.device).unflatten(0, (len(part), -1))
        both = torch.stack([images, images.flip(-1)], dim=1)
        encoded = model.encode(both.flatten(0, 2))
        codes = torch.cat([encoded.texture.float(), encoded.shape.float()], dim=1)
        return codes.unflatten(0, (2 * len(part), -1))

    found, reported = [], 0
    for codes in in_turn(clips.parts(at_once), encode, fabric, rows=2 * at_once):
        found.append(codes)
        done = sum(map(len, found)) // 2
        if done // 500 > reported:
            reported = done // 500
            say(f"stage2: {done:,} clips encoded")
    model.train(was_training)
    texture, shape = torch.cat(found).split(
        [model.config.texture_dim, model.config.shape_dim], dim=2
    )
    return texture.contiguous(), shape.contiguous()


@torch.no_grad()
def clip_maps(
    model: Autoencoder, clips: ClipImages, fabric: Fabric, *, at_once: int = _MAP_CLIPS_AT_ONCE
) -> Iterator[Tensor]:
    """Yield the encoder's flattened maps of clips, some at a time. Float32 [C, T, F].

    Args:
        model: trained; used as it is.
        clips: at least one.
        fabric: the processes take the clips by turns.
        at_once: C, clips at a time.
    """

    def encode(part: range) -> Tensor:
        maps = model.maps(_on_device(clips.read(part), fabric.device))
        return maps.flatten(1).unflatten(0, (len(part), -1))

    yield from in_turn(clips.parts(at_once), encode, fabric, rows=at_once)


def _on_device(frames: Crops, device: torch.device) -> Tensor:
    """Crops uint8 [B, S, S, 3] -> images in [0, 1]. [B, 3, S, S]."""
    frames = np.ascontiguousarray(frames)
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255


class CodeBatches:
    """Batches of scaled codes from memory; batch k is a pure function of (seed, k)."""

    def __init__(
        self, texture: Tensor, shape: Tensor, *, size: int, seed: int, shard: Shard
    ) -> None:
        """Hold the codes of clips.

        Args:
            texture: scaled codes. [C, T, D].
            shape: scaled codes. [C, T, D].
            size: rows in a batch over all processes.
            seed: decides every batch.
            shard: which rows of every batch this process takes.
        """
        self.texture, self.shape = texture, shape
        self.texture_target, self.shape_target = leave_one_out(texture), leave_one_out(shape)
        self.size, self.seed, self.shard = size, seed, shard

    @property
    def fingerprint(self) -> str:
        """Return a hash of the codes and of how batches are made of them."""
        codes = torch.cat([self.texture.flatten(), self.shape.flatten()]).cpu().contiguous()
        content = hashlib.sha256(codes.numpy().tobytes())
        content.update(f"{self.size} {self.seed}".encode())
        return content.hexdigest()[:16]

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1."""
        clips, frames = self.texture.shape[:2]
        rank, world = self.shard.rank, self.shard.world_size
        mine = slice(rank * self.size // world, (rank + 1) * self.size // world)
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(seed_of(self.seed, "codes", step))
            clip = torch.randint(clips, (self.size,), generator=generator)
            frame = torch.randint(frames, (self.size,), generator=generator)
            rows = (clip[mine].to(self.texture.device), frame[mine].to(self.texture.device))
            yield {
                "texture": self.texture[rows],
                "texture_target": self.texture_target[rows],
                "shape": self.shape[rows],
                "shape_target": self.shape_target[rows],
            }


class NeutralObjective(Objective[nn.ModuleDict]):
    """Learns the neutral networks of texture and shape; the autoencoder is not touched.

    It has no known way to collapse that its loss does not show.
    """

    def __init__(
        self,
        texture: NeutralDiffusion | NeutralRegressor,
        shape: NeutralDiffusion | NeutralRegressor,
        weighting: str,
    ) -> None:
        super().__init__(nn.ModuleDict({"texture": texture, "shape": shape}))
        self.weighting = weighting

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
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
        return Loss(parts["texture"] + parts["shape"], parts)
