"""Distillation of the gaze code: teacher, data, training, export, report; the run on one page."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import torch
from lightning_fabric import Fabric

from mien.data.eye_cache import find_eye_sources
from mien.data.eye_loader import EyeLoader
from mien.data.loader import Share
from mien.data.provenance import image_digests
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.gaze.distillation import fit_scale
from mien.gaze.emib import EMIB
from mien.gaze.student import Student, load_student, save_student
from mien.model import Model, load
from mien.train.engine import launch
from mien.train.loop import fit
from mien.train.memory import keep_freed_memory
from mien.train.recipes.distill_data import exam_batches, open_data, teaching_loader
from mien.train.recipes.distill_options import DistillConfig
from mien.train.recipes.distill_report import (
    DistillReport,
    Exam,
    judge,
    report_lines,
    set_exam,
    speeds,
)
from mien.train.recipes.distill_task import DistillTask
from mien.train.run_folder import RunFolder, write_text

__all__ = ["STAGE", "check", "distill", "load_teacher"]

STAGE = "distill"
_SCALE_BATCHES = 8
"""Batches that the spread of the teacher's code is measured on."""


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
    """Teach a student, going on from the run folder's checkpoint, export it and say its worth.

    Args:
        config: everything that decides the run; the length of the code is the teacher's.
        data: folders, zips, tables, videos, `eyes:SOURCE`, `synth:HEAD_MODEL`.
        run: opened run folder.
        device: `cpu`, `cuda`, `mps` or `auto`.
        echo: given every line that a person should see.

    Returns:
        The folder of the student, for `load_student`; report.json in it holds what was measured.

    Raises:
        MienError: bad data, a teacher without a gaze branch or with another length of code, too
            few images with eyes, a device that is not there, a loss that is not finite.
        Interrupted: stopped by a signal; a checkpoint was written.
    """
    keep_freed_memory()
    fabric = launch(device, config.loop)
    model = load_teacher(config.distill.teacher, fabric.device)
    teacher = _refuse_length(config, model)
    found = open_data(config, data, run=run, model=model, fabric=fabric, echo=echo)
    first = fabric.global_rank == 0
    # Before the training, not after it: what cannot be judged need not be trained.
    exam = set_exam(teacher, exam_batches(found, config, fabric)) if first else None
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(config.loop.seed)
        student = Student(config.student, model.weights_id)
    student.to(fabric.device)
    if config.distill.steps:
        lesson = teaching_loader(
            found, config, fabric, Share(fabric.global_rank, fabric.world_size)
        )
        # Another teacher is another run.
        lesson.fingerprint = f"{lesson.fingerprint}-{model.weights_id}"
        _teach(student, teacher, lesson, config, run.of_stage(STAGE), fabric, echo)
    if exam is not None:
        sources = find_eye_sources(data, config.data)
        images = model.images | image_digests([*sources.known, *sources.unknown])
        _export(student, teacher, exam, config, run, images, echo)
    fabric.barrier()
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


def _teach(
    student: Student,
    teacher: EMIB,
    loader: EyeLoader,
    config: DistillConfig,
    stage: RunFolder,
    fabric: Fabric,
    echo: Callable[[str], None],
) -> None:
    """Train the student; it ends with its averaged weights."""
    if fabric.global_rank == 0:
        seed = seed_of(config.loop.seed, "scale")
        generator = torch.Generator(device=fabric.device).manual_seed(seed)
        with closing(loader.iterate(0, _SCALE_BATCHES)) as batches:
            fit_scale(student, teacher, batches, generator=generator)
    for buffer in (student.code_mean, student.code_scale):
        buffer.copy_(fabric.broadcast(buffer))
    fitted = fit(
        DistillTask(student, teacher),
        loader,
        run=stage,
        options=config.loop,
        pace=config.distill,
        fabric=fabric,
        echo=echo,
    )
    student.load_state_dict(fitted.weights)


def _export(
    student: Student,
    teacher: EMIB,
    exam: Exam,
    config: DistillConfig,
    run: RunFolder,
    images: frozenset[str],
    echo: Callable[[str], None],
) -> None:
    """Write the student, read it back as its users will, and say what it is worth."""
    folder = run.exported
    size = save_student(student, folder, _card(config, {}), images=images, overwrite=True)
    device = student.code_mean.device
    final = load_student(folder).to(device)
    report = DistillReport(
        judge(final, exam),
        size,
        sum(parameter.numel() for parameter in final.parameters()),
        speeds(final, teacher, is_face=config.data.crop == "face"),
        torch.get_num_threads(),
        device.type,
    )
    card = _card(config, dict(report.as_results()))
    save_student(student, folder, card, images=images, overwrite=True)
    write_text(folder / "report.json", json.dumps(report.as_json(), indent=1) + "\n")
    for line in report_lines(report):
        echo(line)
    echo(f"the student is in {folder}")


def _card(config: DistillConfig, results: dict[str, str]) -> str:
    """Return the model card of a student."""
    rows = [f"| {name} | {value} |" for name, value in results.items()]
    lines = [
        "# A student of mien's gaze branch",
        "",
        "Grey band of 192 x 80 pixels around the eyes (of a face crop of 224 pixels) to the "
        "teacher's gaze code and an eye score; load it with `mien.gaze.student.load_student`. No "
        "labels were used. A calibration of the teacher's codes serves the student's as well as "
        "the figures below say.",
        "",
        "## Taught with",
        *(f"- {source}" for source in config.data.sources),
        "",
        *(["## Results", "| | |", "|---|---|", *rows, ""] if rows else []),
        "## Not for",
        "Surveillance, or decisions about a person. Where people look can betray what they think "
        "and feel; codes of faces are biometric data in many jurisdictions.",
    ]
    return "\n".join(lines) + "\n"
