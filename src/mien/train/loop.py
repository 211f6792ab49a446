"""The training loop: batch -> loss -> step -> log -> checkpoint. It knows no model.

Everything random is a pure function of (seed, stage, step, process): the batches, their
augmentation and the generator handed to the objective. A checkpoint therefore needs the step, the
weights, their average, the optimiser's state and the log's running sums, and a resumed run gives
the losses of an uninterrupted one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from mien.aliases import current_tensors
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.train import checkpoint
from mien.train.log import Meter, RunLog
from mien.train.objective import Batches, Objective
from mien.train.optim import (
    WeightAverage,
    learning_rate,
    make_optimizer,
    set_learning_rate,
)
from mien.train.options import LoopOptions, Pace
from mien.train.process import Interrupted, StopRequest, stop_on_signals
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["Fitted", "fit"]


@dataclass(frozen=True)
class Fitted:
    """What a finished stage leaves."""

    step: int
    """Optimiser steps done."""
    weights: dict[str, Tensor]
    """The running average of the weights, by the module's own names; what is exported."""


def fit(
    objective: Objective[Any],
    loader: Batches,
    *,
    run: RunFolder,
    options: LoopOptions,
    pace: Pace,
    fabric: Fabric,
    echo: Callable[[str], None] | None = None,
) -> Fitted:
    """Train a stage to its end, resuming from the run folder's checkpoint if there is one.

    The module ends with the last step's weights; their running average is returned.

    Args:
        objective: the module and its loss.
        loader: batches as a function of the step.
        run: the folder, seen from this stage (`RunFolder.of_stage`).
        options: how to run.
        pace: how long and how fast.
        fabric: launched (`engine.launch`).
        echo: given every line that a person should see.

    Raises:
        MienError: a loss or gradient is not finite, or a file cannot be written.
        Interrupted: Ctrl-C, SIGTERM or SIGHUP came; a checkpoint was written.
    """
    training = _Training(objective, loader, run, options, pace, fabric)
    done = training.restore()
    log = RunLog(
        run,
        step=done,
        tensorboard=options.tensorboard,
        echo=echo,
        silent=fabric.global_rank != 0,
    )
    gpus = [fabric.device.index] if fabric.device.type == "cuda" else []
    try:
        if done:
            log.say(f"{run.stage}: resumed from step {done:,} of {pace.steps:,}")
        with torch.random.fork_rng(devices=gpus), stop_on_signals() as request:
            training.go(done, log, request)
    finally:
        log.close()
    return Fitted(pace.steps, {k: v.clone() for k, v in training.average.state().items()})


class _Step(nn.Module):
    """The loss as a forward pass, so that autocast and gradient averaging wrap around it."""

    def __init__(self, objective: Objective[Any], *, compiled: bool) -> None:
        super().__init__()
        self.module = objective.module
        self.unused_parameters = objective.unused_parameters  # read by engine's strategy
        # Not the module: losses call its parts by name, which compiling its forward leaves as is.
        self._compute = torch.compile(objective.compute) if compiled else objective.compute

    def forward(
        self, batch: dict[str, Tensor], step: int, generator: torch.Generator
    ) -> dict[str, dict[str, Tensor]]:
        loss = self._compute(batch, step, generator)
        return {"total": {"total": loss.total}, "parts": loss.parts, "monitors": loss.monitors}


@dataclass(eq=False)
class _Training:
    """One stage while it runs."""

    objective: Objective[Any]
    loader: Batches
    run: RunFolder
    options: LoopOptions
    pace: Pace
    fabric: Fabric

    def __post_init__(self) -> None:
        objective, options, fabric = self.objective, self.options, self.fabric
        if options.channels_last:
            for parameter in objective.module.parameters():
                if parameter.ndim == 4:
                    parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        optimizer = make_optimizer(objective.parameter_groups(options), options, self.pace)
        step = _Step(objective, compiled=options.compile)
        self.step_module, self.optimizer = fabric.setup(step, optimizer)
        self.average = WeightAverage(objective.module, options.ema_decay)
        self.meter = Meter()
        self._checked = False
        self.generator = torch.Generator(device=fabric.device)

    def restore(self) -> int:
        """Put the last checkpoint back and return its step; 0 where there is none."""
        last = checkpoint.load_last(self.run.checkpoints)
        if last is None:
            return 0
        kinds = {"fingerprint": str, "groups": list, "counts": dict}
        if not all(isinstance(last.state.get(key), kind) for key, kind in kinds.items()):
            raise MienError(f"the checkpoint in {self.run.path} is damaged; start anew")
        if last.state["fingerprint"] != self.loader.fingerprint:
            raise MienError(
                f"the data differs from that of the run in {self.run.path}; "
                "give the same data, or start anew with --overwrite"
            )
        tensors = current_tensors(last.tensors)
        checkpoint.restore_module(self.objective.module, checkpoint.under("model", tensors))
        self.average.restore(checkpoint.under("average", tensors))
        checkpoint.restore_optimizer(
            self.optimizer, checkpoint.under("optimizer", tensors), last.state["groups"]
        )
        sums = {k: v.to(self.fabric.device) for k, v in checkpoint.under("meter", tensors).items()}
        self.meter.restore(sums, last.state["counts"])
        return last.step

    def save(self, step: int) -> None:
        """Write a checkpoint; the other processes wait for the first."""
        if self.fabric.global_rank == 0:
            optimizer, groups = checkpoint.optimizer_state(self.optimizer)
            sums, counts = self.meter.state()
            kinds = {
                "model": self.objective.module.state_dict(),
                "average": self.average.state(),
                "optimizer": optimizer,
                "meter": sums,
            }
            tensors = {f"{kind}/{k}": v for kind, each in kinds.items() for k, v in each.items()}
            state: dict[str, Any] = {
                "stage": self.run.stage,
                "seed": self.options.seed,
                "fingerprint": self.loader.fingerprint,
                "counts": counts,
                "groups": groups,
            }
            checkpoint.save(
                self.run.checkpoints, step, tensors, state, keep_last=self.options.keep_last
            )
        self.fabric.barrier()

    def go(self, done: int, log: RunLog, request: StopRequest) -> None:
        """Run the steps that are left."""
        options, steps = self.options, self.pace.steps
        batches = self.loader.iterate(done, steps)
        try:
            for step, batch in enumerate(batches, start=done):
                stop = self._advance(batch, step, request)
                count = step + 1
                if count % options.log_every == 0 or count == steps:
                    self._report(count, log)
                every = options.log_images_every
                if every and (count % every == 0 or count == steps):
                    self._show(batch, count, log)
                if count % options.checkpoint_every == 0 or count == steps or stop:
                    self.save(count)
                if stop:
                    raise self._interrupted(count, request)
            if self._asked(request):  # since the last step: nobody else heard of it
                raise self._interrupted(steps, request)
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    def _interrupted(self, count: int, request: StopRequest) -> Interrupted:
        where = f"checkpoint of step {count:,} is in {self.run.path}"
        return Interrupted(f"stopped: {where}; continue with --resume", request.number or 2)

    def _asked(self, request: StopRequest) -> bool:
        """Return whether any process was asked to stop."""
        asked = torch.tensor(float(request.number is not None), device=self.fabric.device)
        return bool(cast(Tensor, self.fabric.all_reduce(asked, reduce_op="sum")))

    def _advance(self, batch: dict[str, Tensor], step: int, request: StopRequest) -> bool:
        """Take one optimiser step; return whether the run was asked to stop."""
        self._seed(step)
        self.optimizer.zero_grad(set_to_none=True)
        output = self.step_module(batch, step, self.generator)
        loss = Loss(output["total"]["total"], output["parts"], output["monitors"])
        if not self._checked:
            _check_sum(loss)
            self._checked = True
        self.fabric.backward(loss.total)
        norm = self._gradient_norm()
        stop = self._agree(loss, norm, step, request)
        set_learning_rate(self.optimizer, learning_rate(step, self.pace))
        self.optimizer.step()
        self.average.update(step)
        watched = {"total": loss.total, "gradient_norm": norm}
        self.meter.add(watched | loss.parts | loss.monitors)
        return stop

    def _seed(self, step: int) -> None:
        seed = seed_of(self.options.seed, self.run.seed_name, step, self.fabric.global_rank)
        self.generator.manual_seed(seed)
        # Layers such as dropout take no generator: theirs is set too, and put back after the run.
        torch.default_generator.manual_seed(seed)
        if self.fabric.device.type == "cuda":
            torch.cuda.default_generators[self.fabric.device.index].manual_seed(seed)

    def _gradient_norm(self) -> Tensor:
        parameters = [p for p in self.objective.module.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.options.grad_clip:
            torch.nn.utils.clip_grads_with_norm_(parameters, self.options.grad_clip, norm)
        return norm

    def _agree(self, loss: Loss, norm: Tensor, step: int, request: StopRequest) -> bool:
        """Stop all processes where one has a number that is not finite, or was asked to stop."""
        finite = torch.isfinite(loss.total) & torch.isfinite(norm)
        asked = finite.new_tensor(request.number is not None)
        flags = torch.stack([~finite, asked]).float()
        bad, stop = cast(Tensor, self.fabric.all_reduce(flags, reduce_op="sum")).tolist()
        if bad:
            raise self._broken(loss, step)
        return bool(stop)

    def _broken(self, loss: Loss, step: int) -> MienError:
        parts = [name for name, value in loss.parts.items() if not bool(torch.isfinite(value))]
        learned = self.objective.module.named_parameters()
        grads = [n for n, p in learned if p.grad is not None and not bool(p.grad.isfinite().all())]
        if parts:
            what = f"loss term {', '.join(parts)} is"
        elif not bool(torch.isfinite(loss.total)):
            what = "the total loss is"
        else:
            what = f"the gradient of {grads[0] if grads else 'another process'} is"
        return MienError(
            f"{self.run.stage} step {step + 1:,}: {what} not finite; the last good checkpoint is "
            f"kept in {self.run.checkpoints}; try a lower {self.run.stage}.learning_rate"
        )

    def _report(self, count: int, log: RunLog) -> None:
        means = self.meter.means()
        if self.fabric.world_size > 1:
            packed = torch.tensor(list(means.values()), device=self.fabric.device)
            shared = cast(Tensor, self.fabric.all_reduce(packed, reduce_op="mean"))
            means = dict(zip(means, shared.tolist(), strict=True))
        means["learning_rate"] = learning_rate(count - 1, self.pace)
        log.metrics(count, means, batch_size=self.pace.batch_size, steps=self.pace.steps)
        # A pose that has not begun to move is no collapse yet.
        settled = count > 2 * self.pace.warmup_steps
        for warning in self.objective.warnings(means) if settled else ():
            log.say(f"warning: {self.run.stage} step {count:,}: {warning}")

    @torch.no_grad()
    def _show(self, batch: dict[str, Tensor], count: int, log: RunLog) -> None:
        if self.fabric.global_rank == 0:
            with self.fabric.autocast():
                image = self.objective.contact_sheet(batch, count)
            if image is not None:
                log.image(count, image)


def _check_sum(loss: Loss) -> None:
    """What is logged must be what is optimised, to the precision of bf16."""
    parts = torch.stack([part.detach().float() for part in loss.parts.values()]).sum()
    total = loss.total.detach().float()
    if bool(torch.isfinite(total) & ((parts - total).abs() > 0.01 * total.abs() + 1e-6)):
        raise ValueError(f"the parts of the loss sum to {float(parts)}, not to {float(total)}")
