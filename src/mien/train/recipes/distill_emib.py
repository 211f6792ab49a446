"""Distillation of a narrower gaze branch: teacher, data, objective, training, export and report."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from mien.card import Card, card_text
from mien.data.eye_cache import find_eye_sources
from mien.data.provenance import image_hashes
from mien.errors import MienError
from mien.gaze.config import GazeConfig
from mien.gaze.emib import EMIB
from mien.gaze.emib_distillation import NarrowBranch, narrow_loss
from mien.media.atomic import write_text
from mien.model import Model, load
from mien.train.objective import Objective, Sign
from mien.train.recipes.data import eye_loader
from mien.train.recipes.distill import CODE_SIGNS, STAGE, WORSE, load_teacher, set_scale
from mien.train.recipes.distill_data import open_data, validation_batches
from mien.train.recipes.distill_emib_options import DistillEmibConfig
from mien.train.recipes.distill_emib_report import (
    BranchReport,
    BranchValidation,
    branch_fidelity,
    branch_speeds,
    branch_validation,
)
from mien.train.recipes.gaze_objectives import LOST_PX
from mien.train.recipes.run import Run, start_run
from mien.train.recipes.whole import write_whole
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["NarrowObjective", "check", "distill", "narrowed"]


class NarrowObjective(Objective[NarrowBranch]):
    """Trains a narrower eye localizer and FF-IB; the teacher stays as it is."""

    decays_vectors = False
    signs = (
        *CODE_SIGNS,
        Sign(
            *("eyes_px", 0.0, LOST_PX),
            "the eyes are not found yet; give more --steps or another learning rate",
        ),
    )

    def __init__(self, module: NarrowBranch, teacher: EMIB) -> None:
        super().__init__(module)
        self._teacher = teacher

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of canvases."""
        return narrow_loss(self.module, self._teacher, batch, generator=generator)


def narrowed(config: DistillEmibConfig, teacher: EMIB) -> GazeConfig:
    """Return the student's sizes: the teacher's, but for those of the networks that are learned.

    Raises:
        MienError: they contradict the teacher's.
    """
    try:
        return replace(teacher.config, variational=False, **asdict(config.student))
    except ValueError as error:
        raise MienError(f"the student's sizes do not fit its teacher: {error}") from error


def check(config: DistillEmibConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: bad sources, a teacher without a gaze branch, or sizes that do not fit it.
    """
    find_eye_sources(config.data.sources, config.data)
    narrowed(config, _teacher_of(load_teacher(config.distill.teacher)))


def distill(
    config: DistillEmibConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train a narrower branch and export the teacher's weights with it in the branch's place.

    Arguments, result and errors as of `recipes.gaze.pretrain`; report.json in the exported folder
    holds what was measured.

    Raises:
        MienError: also a teacher without a gaze branch, too few images with eyes.
    """
    this = start_run(config, data, run, device, echo)
    device_of = this.fabric.device
    model = load_teacher(config.distill.teacher, device_of)
    teacher = _teacher_of(model)
    sizes = narrowed(config, teacher)
    sources = find_eye_sources(data, config.data)
    found = open_data(this, sources, model)
    # Before the training, not after it: what cannot be measured need not be trained.
    held = branch_validation(teacher, validation_batches(found, this)) if this.is_first else None
    with this.initial_weights():
        student = NarrowBranch(sizes)
    student.to(device_of)
    if config.distill.steps:
        loader = eye_loader(this, found.cache, found.stream, config.distill)
        # Another teacher is another run.
        loader.fingerprint = f"{loader.fingerprint}-{model.weights_id}"
        set_scale(this, student, teacher, loader)
        student.start_from(teacher)
        student.load_state_dict(this.train(NarrowObjective(student, teacher), loader, STAGE))
    if held is not None:
        images = model.images | image_hashes([*sources.known, *sources.unknown])
        _export(this, model, _with(student, teacher, sizes), held, images)
    this.fabric.barrier()
    return run.exported


def _teacher_of(model: Model) -> EMIB:
    teacher = model.gaze
    assert teacher is not None
    return teacher


def _with(student: NarrowBranch, teacher: EMIB, sizes: GazeConfig) -> EMIB:
    """Return the teacher's branch with the student's eye localizer and FF-IB."""
    branch = EMIB(sizes).to(teacher.canonical_eyes.device)
    learned = ("localizer.", "bottleneck.")
    kept = {k: v for k, v in teacher.state_dict().items() if not k.startswith(learned)}
    branch.load_state_dict(kept, strict=False)
    student.put_into(branch)
    return branch


def _export(
    run: Run[DistillEmibConfig],
    model: Model,
    branch: EMIB,
    held: BranchValidation,
    images: frozenset[str],
) -> None:
    """Write the weights, read them back as their users will, and measure the branch."""
    config, folder, whole = run.config, run.folder.exported, model.network
    write_whole(folder, whole, branch, _card(config, {}), images, like=whole)
    device = branch.canonical_eyes.device
    final, teacher = _teacher_of(load(folder, engine="torch")).to(device), _teacher_of(model)
    report = BranchReport(
        branch_fidelity(final, held),
        _learned(final),
        _learned(teacher),
        branch_speeds(final, teacher, is_face=config.data.crop == "face"),
        torch.get_num_threads(),
        device.type,
    )
    results, worse = dict(report.as_results()), report.fidelity.code.r2 < 0
    if worse:
        results["Warning"] = WORSE
    write_whole(folder, whole, branch, _card(config, results), images, like=whole)
    write_text(folder / "report.json", json.dumps(asdict(report), indent=1) + "\n")
    for name, value in results.items():
        run.say(f"{name}: {value}")
    if worse:
        run.say(f"warning: {WORSE}")
    run.say(f"weights are in {folder}")


def _learned(branch: EMIB) -> int:
    """Return the number of parameters of the networks that are learned here."""
    return sum(
        p.numel() for part in (branch.localizer, branch.bottleneck) for p in part.parameters()
    )


def _card(config: DistillEmibConfig, results: Mapping[str, str]) -> str:
    """Return the model card."""
    base = config.distill.teacher or "the weights of the package"
    trained = [*config.data.sources, f"all but the eye localizer and FF-IB: that of {base}"]
    return card_text(Card(data=trained, results=results, config=asdict(config)))
