"""Stage 2 of LatentFace: batches of the codes of clips, and the objective."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from mien.data.loader import Shard
from mien.data.seeds import seed_of
from mien.latentface.neutral import NeutralDiffusion, NeutralRegressor
from mien.latentface.stage2 import (
    apart_from_neutral,
    leave_one_out,
    neutral_error,
    principal,
    taken_off,
)
from mien.train.objective import Objective
from mien.train.options import Stage2Options
from mien.train.recipes.clips import ClipImages
from mien.types import Loss

__all__ = ["CodeBatches", "Layout", "NeutralObjective"]


@dataclass(frozen=True)
class Layout:
    """Where the frames of each clip stand among all codes; mirror images are clips, too."""

    start: Tensor
    """Row of the first frame of each clip. int64 [C]."""
    length: Tensor
    """How many frames it has, ascending. int64 [C]."""
    photograph: Tensor
    """Whether it is a photograph with its views. bool [C]."""
    rendered: Tensor
    """Whether it is of a rendered person. bool [C]."""
    neutral: Tensor
    """Which of the frames of a rendered person is neutral; -1: not known. int64 [C]."""
    shown: Tensor
    """Weights of the expression shapes where they are known. [M, E]."""
    shown_rows: Tensor
    """Rows of these frames among all codes, not mirrored. int64 [M]."""

    @classmethod
    def of(cls, clips: ClipImages) -> Layout:
        """Return that of `clip_codes`."""

        def each(values: list[int]) -> Tensor:
            return torch.tensor(values).repeat_interleave(2)

        length = each([len(clip.rows) for clip in clips.clips])
        start = length.cumsum(0) - length
        known = [k for k, clip in enumerate(clips.clips) if clip.expression is not None]
        shown = [torch.from_numpy(clips.clips[k].expression).float() for k in known]
        rows = [torch.arange(len(w)) + start[2 * k] for k, w in zip(known, shown, strict=True)]
        return cls(
            start,
            length,
            each([clip.photograph for clip in clips.clips]),
            each([clip.rendered for clip in clips.clips]),
            each([clip.neutral for clip in clips.clips]),
            torch.cat(shown) if shown else torch.empty(0, 0),
            torch.cat(rows) if rows else torch.empty(0, dtype=torch.int64),
        )

    def clips(self, codes: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the clips of each length: which, and their codes. [N, D] -> [C, T, D]."""
        lengths, counts = self.length.unique_consecutive(return_counts=True)
        stop = counts.cumsum(0).tolist()
        parts = codes.split((lengths * counts).tolist())
        for at, count, part in zip(stop, counts.tolist(), parts, strict=True):
            yield slice(at - count, at), part.unflatten(0, (count, -1))

    def each_frame(self, of_clips: Tensor) -> Tensor:
        """Return values of clips for every frame. [C] -> [N]."""
        return of_clips.repeat_interleave(self.length)

    def targets(self, codes: Tensor) -> Tensor:
        """Return for each frame the mean code of its clip's other frames. [N, D] -> [N, D]."""
        return torch.cat([leave_one_out(part).flatten(0, 1) for _, part in self.clips(codes)])

    def expressions(self, codes: Tensor) -> Tensor:
        """Return d of rendered people's frames; as many, in one order, of all codes. [M, D]."""
        found = []
        for which, part in self.clips(codes):
            chosen = self.rendered[which]
            found.append(apart_from_neutral(part[chosen], self.neutral[which][chosen]))
        return torch.cat(found)


class CodeBatches:
    """Batches of scaled codes from memory; batch k is a pure function of (seed, k)."""

    def __init__(
        self,
        texture: Tensor,
        shape: Tensor,
        layout: Layout,
        *,
        options: Stage2Options,
        seed: int,
        shard: Shard,
    ) -> None:
        """Hold the codes of clips.

        Args:
            texture: scaled codes. [N, D].
            shape: scaled codes. [N, D].
            layout: of the clips.
            options: rows in a batch over all processes, and what is done with photographs.
            seed: decides every batch.
            shard: which rows of every batch this process takes.
        """
        self.codes = {"texture": texture, "shape": shape}
        self.layout, self.options, self.seed, self.shard = layout, options, seed, shard
        self.targets = {name: layout.targets(codes) for name, codes in self.codes.items()}
        self.expressions: dict[str, Tensor] = {}
        if options.added_expression or options.removed_directions:
            self.expressions = {n: layout.expressions(codes) for n, codes in self.codes.items()}
        if options.removed_directions:
            photographs = layout.each_frame(layout.photograph)
            for name, targets in self.targets.items():
                directions = principal(self.expressions[name], options.removed_directions)
                targets[photographs] = taken_off(targets[photographs], directions)

    @property
    def fingerprint(self) -> str:
        """Return a hash of the codes and of how batches are made of them."""
        content = hashlib.sha256()
        for tensor in (*self.codes.values(), *self.targets.values(), self.layout.length):
            content.update(tensor.cpu().contiguous().numpy().tobytes())
        stage = self.options
        shares = f"{stage.turned_fraction} {stage.added_expression} {stage.added_scale}"
        content.update(f"{stage.batch_size} {self.seed} {shares}".encode())
        return content.hexdigest()[:16]

    def iterate(self, start: int, stop: int) -> Iterator[dict[str, Tensor]]:
        """Yield the batches of steps start, ..., stop - 1."""
        size, rank, world = self.options.batch_size, self.shard.rank, self.shard.world_size
        mine = slice(rank * size // world, (rank + 1) * size // world)
        for step in range(start, stop):
            generator = torch.Generator().manual_seed(seed_of(self.seed, "codes", step))
            clip = self._clips(generator)
            place = torch.rand(size, generator=generator, dtype=torch.float64)
            frame = (place * self.layout.length[clip]).long()
            add = self._added(self.layout.photograph[clip], generator, mine)
            rows = (self.layout.start[clip] + frame)[mine]
            batch = {}
            for name, codes in self.codes.items():
                here = rows.to(codes.device)
                batch[name] = add(name, codes[here])
                batch[f"{name}_target"] = self.targets[name][here]
            yield batch

    def _clips(self, generator: torch.Generator) -> Tensor:
        """Return the clip of each row of the whole batch. [B]."""
        size, fraction = self.options.batch_size, self.options.turned_fraction
        photograph = self.layout.photograph
        if fraction is None:
            return torch.randint(len(photograph), (size,), generator=generator)
        # Rows of both kinds by turns, so that all processes get some.
        turns = np.floor(np.arange(size + 1) * fraction)
        wanted = torch.from_numpy(np.diff(turns) > 0)
        found = torch.empty(size, dtype=torch.int64)
        for kind in (True, False):
            places, some = wanted == kind, (photograph == kind).nonzero()[:, 0]
            count = int(places.sum())
            if count:
                found[places] = some[torch.randint(len(some), (count,), generator=generator)]
        return found

    def _added(
        self, photograph: Tensor, generator: torch.Generator, mine: slice
    ) -> Callable[[str, Tensor], Tensor]:
        """Return what adds expressions s d to this process's codes of a kind. [B, D] -> [B, D]."""
        share, scale = self.options.added_expression, self.options.added_scale
        if not share:
            return lambda _, codes: codes
        size = len(photograph)
        chosen = photograph & (torch.rand(size, generator=generator) < share)
        strength = (torch.rand(size, generator=generator) * 2 - 1) * scale * chosen
        # Texture and shape of one frame.
        pairs = len(self.expressions["texture"])
        pair = torch.randint(pairs, (size,), generator=generator)[mine]

        def add(name: str, codes: Tensor) -> Tensor:
            apart = self.expressions[name][pair.to(codes.device)]
            return codes + strength[mine, None].to(codes) * apart

        return add


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
