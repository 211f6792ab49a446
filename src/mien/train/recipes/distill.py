"""Distillation of the gaze code: teacher, data, objective, training, export and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.data.eye_cache import find_eye_sources
from mien.data.eye_loader import EyeLoader
from mien.data.provenance import image_hashes
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.gaze.distillation import Coded, distill_loss, fit_scale, vary_bands
from mien.gaze.emib import EMIB
from mien.gaze.student import Student, cut_band, load_student, save_student
from mien.gaze.variation import image_of
from mien.media.atomic import write_text
from mien.model import Model, load
from mien.train.objective import ImageArray, Objective, Sign
from mien.train.recipes.data import eye_loader
from mien.train.recipes.distill_data import open_data, validation_batches
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.distill_report import (
    DistillReport,
    ValidationSet,
    fidelity_of,
    speeds,
    validation_set,
)
from mien.train.recipes.run import Run, start_run
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = [
    "CODE_SIGNS",
    "STAGE",
    "WORSE",
    "DistillObjective",
    "check",
    "distill",
    "load_teacher",
    "set_scale",
]

STAGE = "distill"
_SCALE_BATCHES = 8
"""Batches that mean and standard deviation of the teacher's code are measured on."""
_SHEET_COLUMNS = 6
WORSE = (
    "the student's code is worse than the mean of its teacher's (R2 below 0): do not use it; train "
    "longer (--steps) or on more images"
)
_MIN_SEEN = 0.5  # fraction of images with eyes below which there is little to learn from
CODE_SIGNS = (
    Sign(
        *("eyes_seen", _MIN_SEEN, math.inf),
        "the teacher sees eyes in {:.0%} of the images; is --crop right?",
    ),
    Sign(
        *("code_error", 0.0, 1.5),
        "the code is further off than its mean would be; lower the learning rate",
    ),
)
"""Of any student that learns a code as z-scores."""


class DistillObjective(Objective[Student]):
    """Trains a student to give its teacher's code; the teacher stays as it is."""

    decays_vectors = False
    signs = CODE_SIGNS

    def __init__(self, module: Student, teacher: EMIB) -> None:
        super().__init__(module)
        self._teacher = teacher

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of canvases."""
        return distill_loss(self.module, self._teacher, batch, generator=generator)

    @torch.no_grad()
    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:
        """Return bands as they are, and below them as the student sees them."""
        image = image_of({name: value[:_SHEET_COLUMNS] for name, value in batch.items()})
        generator = torch.Generator(device=image.pixels.device).manual_seed(step)
        varied, _ = vary_bands(image.pixels, image.eyes, generator)
        rows = [cut_band(image.pixels, image.eyes), varied]
        sheet = torch.cat([torch.cat(list(row.float()), dim=2) for row in rows], dim=1)
        grey = (sheet[0].clamp(0, 1) * 255).byte().cpu().numpy()
        return np.repeat(grey[..., None], 3, axis=2)


def load_teacher(where: str, device: torch.device | str = "cpu") -> Model:
    """Load a model that has a gaze branch.

    Args:
        where: a folder or a hub id; "" = the package's own weights.
        device: where to.

    Raises:
        MienError: no such weights, or weights without a gaze branch.
    """
    model = load(where or None, device=str(device))
    if model.gaze is None:
        raise MienError(
            f"{where or 'the shipped weights'} have no gaze branch to learn from; give --weights "
            "of a run of `mien pretrain gaze`"
        )
    return model


def check(config: DistillConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: bad sources, or a teacher without a gaze branch or with another length of code.
    """
    find_eye_sources(config.data.sources, config.data)
    _refuse_length(config, load_teacher(config.distill.teacher))


def distill(
    config: DistillConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train a student, export it and measure it; the length of the code is the teacher's.

    Arguments and errors as of `recipes.latentface.pretrain`; data may be `eyes:SOURCE` too.

    Returns:
        The folder of the student, for `load_student`; report.json in it holds what was measured.

    Raises:
        MienError: also a teacher without a gaze branch or with another length of code, too few
            images with eyes.
    """
    this = start_run(config, data, run, device, echo)
    device_of = this.fabric.device
    model = load_teacher(config.distill.teacher, device_of)
    teacher = _refuse_length(config, model)
    sources = find_eye_sources(data, config.data)
    found = open_data(this, sources, model)
    # Before the training, not after it: what cannot be measured need not be trained.
    held = validation_set(teacher, validation_batches(found, this)) if this.is_first else None
    with this.initial_weights():
        student = Student(config.student, model.weights_id)
    student.to(device_of)
    if config.distill.steps:
        loader = eye_loader(this, found.cache, found.stream, config.distill)
        # Another teacher is another run.
        loader.fingerprint = f"{loader.fingerprint}-{model.weights_id}"
        set_scale(this, student, teacher, loader)
        student.load_state_dict(this.train(DistillObjective(student, teacher), loader, STAGE))
    if held is not None:
        images = model.images | image_hashes([*sources.known, *sources.unknown])
        _export(this, student, teacher, held, images)
    this.fabric.barrier()
    return run.exported


def _refuse_length(config: DistillConfig, model: Model) -> EMIB:
    """Return the teacher, unless its code has another length than the student's."""
    teacher = model.gaze
    assert teacher is not None
    if config.student.code_dim != teacher.config.code_dim:
        raise MienError(
            f"student.code_dim is {config.student.code_dim}, but the teacher's code has "
            f"{teacher.config.code_dim} numbers; give student.code_dim={teacher.config.code_dim}"
        )
    return teacher


def set_scale(run: Run[Any], student: Coded, teacher: EMIB, loader: EyeLoader) -> None:
    """Measure the teacher's code in the first process and give all of them its scale.

    Args:
        run: gives the seed.
        student: its `code_mean` and `code_scale` are set.
        teacher: in evaluation mode.
        loader: gives the images.
    """
    if run.is_first:
        seed = seed_of(run.config.loop.seed, "scale")
        generator = torch.Generator(device=run.fabric.device).manual_seed(seed)
        with closing(loader.iterate(0, _SCALE_BATCHES)) as batches:
            fit_scale(student, teacher, batches, generator=generator)
    for buffer in (student.code_mean, student.code_scale):
        buffer.copy_(run.fabric.broadcast(buffer))


def _export(
    run: Run[DistillConfig],
    student: Student,
    teacher: EMIB,
    held: ValidationSet,
    images: frozenset[str],
) -> None:
    """Write the student, read it back as its users will, and measure it."""
    config, folder = run.config, run.folder.exported
    size = save_student(student, folder, _card(config, {}), images=images, overwrite=True)
    device = student.code_mean.device
    final = load_student(folder).to(device)
    report = DistillReport(
        fidelity_of(final, held),
        size,
        sum(parameter.numel() for parameter in final.parameters()),
        speeds(final, teacher, is_face=config.data.crop == "face"),
        torch.get_num_threads(),
        device.type,
    )
    results, worse = dict(report.as_results()), report.fidelity.r2 < 0
    if worse:
        results["Warning"] = WORSE
    save_student(student, folder, _card(config, results), images=images, overwrite=True)
    write_text(folder / "report.json", json.dumps(asdict(report), indent=1) + "\n")
    for name, value in results.items():
        run.say(f"{name}: {value}")
    if worse:
        run.say(f"warning: {WORSE}")
    run.say(f"the student is in {folder}")


def _card(config: DistillConfig, results: Mapping[str, str]) -> str:
    """Return the model card of a student."""
    rows = [f"| {name} | {value} |" for name, value in results.items()]
    lines = [
        "# A student of mien's gaze branch",
        "",
        "Grey band of 192 x 80 pixels around the eyes (of a face crop of 224 pixels) to the "
        "teacher's gaze code and an eye score; load it with `mien.gaze.student.load_student`. No "
        "labels were used. A calibration of the teacher's codes serves the student's as well as "
        "the figures below show.",
        "",
        "## Trained on",
        *(f"- {source}" for source in config.data.sources),
        "",
        *(["## Results", "| | |", "|---|---|", *rows, ""] if rows else []),
        "## Not for",
        "Surveillance, or decisions about a person. Where people look can betray what they think "
        "and feel; codes of faces are biometric data in many jurisdictions.",
    ]
    return "\n".join(lines) + "\n"
