"""Distillation of LatentFace's encoders: teacher, faces, training, export and report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from mien.card import Card, card_text
from mien.data.people_cache import PeopleCache, margin_of, open_people
from mien.data.sources import Sources, find_sources
from mien.errors import MienError
from mien.latentface.distillation import DistillWeights, Learner, distill_loss, read_all
from mien.latentface.latentface import LatentFace
from mien.latentface.pruning import prune
from mien.media.atomic import write_text
from mien.model import Model, load
from mien.pipeline.encode import to_batch
from mien.train.objective import ImageArray, Objective, Sign, tiled
from mien.train.recipes.data import cache_people, people_loader
from mien.train.recipes.distill_encoder_options import EncoderDistillConfig
from mien.train.recipes.run import Run, start_run
from mien.train.recipes.whole import seen_images, write_whole
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["STAGE", "EncoderObjective", "check", "distill", "student_of"]

STAGE = "distill"
_LEARNED = (
    "autoencoder.trunk.",
    "autoencoder.to_codes.",
    "autoencoder.to_view.",
    "face_embedding.",
)
"""What depends on the encoders' width, and the linear maps right after it."""
_SCALE_BATCHES, _AT_ONCE = 32, 64
_SHEET = 64


class EncoderObjective(Objective[Learner]):
    """Trains a narrower LatentFace to read what its teacher reads; the teacher stays as it is."""

    decays_vectors = False
    signs = (
        Sign(
            *("error/factors", 0.0, 1.5),
            "identity and expression are further off than their mean would be; lower the learning "
            "rate",
        ),
    )

    def __init__(self, module: Learner, teacher: LatentFace, weights: DistillWeights) -> None:
        super().__init__(module)
        self._teacher, self._weights = teacher, weights

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of mien.data.people_loader."""
        with torch.no_grad():
            wanted = read_all(self._teacher, batch["image"])
        return distill_loss(self.module, wanted, batch["image"], self._weights)

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return images as both networks are given them. uint8 [H, W, 3]."""
        return tiled(batch["image"][:_SHEET])


def check(config: EncoderDistillConfig) -> None:
    """Refuse data and weights that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources and load; or a teacher whose encoders cannot be narrower.
    """
    find_sources(config.data.sources)
    _refuse_form(load(config.distill.teacher or None), config)


def distill(
    config: EncoderDistillConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train narrower encoders and export the teacher's weights with them.

    Arguments and errors as of `recipes.recognition.pretrain`; report.json beside the weights holds
    how near the student comes on people held out.

    Returns:
        The folder of the weights.
    """
    this = start_run(config, data, run, device, echo)
    sources, stage = find_sources(data), config.distill
    model = load(stage.teacher or None, engine="torch", device=str(this.fabric.device))
    _refuse_form(model, config)
    teacher = model.network.requires_grad_(requires_grad=False)
    size = teacher.config.image_size
    caches = [open_people(folder) for folder in cache_people(this, sources, size)]
    held, trained = zip(
        *(_divided(cache, stage.held_out_fraction) for cache in caches), strict=True
    )
    with this.initial_weights():
        learner = Learner(student_of(teacher, stage.encoder_width), teacher)
    learner.to(this.fabric.device)
    loader = people_loader(this, trained, stage, size)
    # Another teacher is another run.
    loader.fingerprint = f"{loader.fingerprint}-{model.weights_id}"
    with closing(loader.iterate(0, _SCALE_BATCHES)) as batches, torch.no_grad():
        learner.fit(read_all(teacher, batch["image"]) for batch in batches)
    for buffer in learner.buffers(recurse=False):
        buffer.copy_(this.fabric.broadcast(buffer))
    objective = EncoderObjective(learner, teacher, stage.loss_weights)
    learner.load_state_dict(this.train(objective, loader, STAGE), strict=False)
    if this.is_first:
        errors = _measured(objective, held, size, this.fabric.device)
        _export(this, sources, model, learner.student, errors)
        this.say(f"weights are in {run.exported}")
    this.fabric.barrier()
    return run.exported


def student_of(teacher: LatentFace, width: int) -> LatentFace:
    """Return the teacher with narrower encoders, its strongest channels; the rest stays."""
    student = LatentFace(replace(teacher.config, encoder_width=width))
    own, known = student.state_dict(), teacher.state_dict()
    kept = {name: value for name, value in known.items() if own[name].shape == value.shape}
    student.load_state_dict({**own, **kept})
    prune(student, teacher)
    for name, parameter in student.named_parameters():
        parameter.requires_grad = name.startswith(_LEARNED)
    return student


def _refuse_form(model: Model, config: EncoderDistillConfig) -> None:
    """Refuse a teacher whose encoders cannot be made narrower."""
    sizes, width = model.network.config, config.distill.encoder_width
    where = config.distill.teacher or "the package's weights"
    if sizes.networks != "small":
        raise MienError(f"{where} have networks={sizes.networks}; only small ones are distilled")
    if sizes.neutral != "regression":
        raise MienError(
            f"{where} draw their neutral codes by diffusion, which is not a function of the image "
            "alone; give weights with neutral=regression"
        )
    if sizes.face_embedding_dim and sizes.face_embedding_from == "maps":
        raise MienError(
            f"{where} read the face embedding off the maps, by a fit to clips; give weights of "
            "`mien pretrain recognition`, whose network can be made narrower"
        )
    if width >= sizes.encoders_width:
        raise MienError(
            f"distill.encoder_width is {width}, and {where} have encoders of width "
            f"{sizes.encoders_width}: give a smaller one"
        )


def _divided(cache: PeopleCache, fraction: float) -> tuple[PeopleCache, PeopleCache]:
    """Return the people that are held out, the last ones and at least one, then the others."""
    cut = len(cache) - max(1, round(len(cache) * fraction))
    return (
        PeopleCache(cache.views[cut:], f"{cache.key}-from-{cut}"),
        PeopleCache(cache.views[:cut], f"{cache.key}-to-{cut}"),
    )


def _measured(
    objective: EncoderObjective, caches: Sequence[PeopleCache], size: int, device: torch.device
) -> dict[str, float]:
    """Return the mean of each error over two views of everybody held out."""
    totals: dict[str, float] = {}
    generator, edge, count = torch.Generator().manual_seed(0), margin_of(size), 0
    objective.module.eval()
    for cache in caches:
        views = cache.views[:, :2, edge:-edge, edge:-edge].reshape(-1, size, size, 3)
        for part in np.array_split(views, math.ceil(len(views) / _AT_ONCE)):
            images = to_batch(list(part)).to(device) / 255
            with torch.no_grad():
                loss = objective.compute({"image": images}, 0, generator)
            for name, value in loss.monitors.items():
                name = name.removeprefix("error/")
                totals[name] = totals.get(name, 0.0) + float(value) * len(images)
            count += len(images)
    return {name: total / count for name, total in totals.items()}


def _export(
    run: Run[EncoderDistillConfig],
    sources: Sources,
    teacher: Model,
    student: LatentFace,
    errors: dict[str, float],
) -> None:
    """Write the student's LatentFace with the teacher's gaze branch, and what was measured."""
    config, folder = run.config, run.folder.exported
    images = seen_images(teacher, sources, config.data)
    origin = config.distill.teacher or "the weights of the package"
    trained = [*run.data, f"distilled from {origin}"]
    card = card_text(Card(data=trained, config=asdict(config)))
    write_whole(folder, student, teacher.gaze, card, images, like=teacher.network)
    for name, error in errors.items():
        run.say(
            f"{name}: {error:.3f} of its variance"
            if name != "face_embedding"
            else f"face embedding: mean cosine {1 - error:.3f} to the teacher's"
        )
    write_text(folder / "report.json", json.dumps(errors, indent=1) + "\n")
