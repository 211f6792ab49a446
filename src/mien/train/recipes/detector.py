"""Training of the face detector: scenes, a teacher's answers, export; the run on one page."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.swa_utils import update_bn

from mien.data.loader import Shard
from mien.data.reading import PieceCropper
from mien.data.scene_cache import (
    SceneCache,
    build_background_cache,
    build_face_cache,
    open_scenes,
)
from mien.data.scene_loader import SceneLoader, SceneMixture, target_name
from mien.data.seeds import seed_of
from mien.data.sources import Sources, find_sources
from mien.detection.least_score import (
    LOWEST_SCORE,
    ScoreChoice,
    as_detector,
    choose_least_score,
    refuse_empty,
)
from mien.detection.loss import detector_loss
from mien.detection.network import DetectorNetwork
from mien.errors import MienError
from mien.faces.detect import WholeImage
from mien.faces.grid_detector import STRIDES, GridDetector
from mien.faces.yunet import YUNET_SHA256, YunetDetector
from mien.train.engine import once_per_node
from mien.train.objective import ImageArray, Objective, Sign
from mien.train.recipes.detector_export import Origin, export, load_network
from mien.train.recipes.detector_options import DetectorOptions, DetectorTrainConfig
from mien.train.recipes.detector_sheet import sheet
from mien.train.recipes.run import Run, start_run
from mien.train.run_folder import RunFolder
from mien.types import Loss

__all__ = ["DetectorObjective", "Teacher", "check", "mend_statistics", "open_teacher", "pretrain"]

_SHEET = 8
_READER = PieceCropper(0, 0, WholeImage())
"""Reads whole images."""
_STATISTICS_BATCHES = 64
"""Batches that means and variances of the exported network's maps are measured on."""
FACES, NO_FACES = "faces", "no_faces"
"""Folders of data.validation."""


@dataclass(frozen=True)
class Teacher:
    """Whose answers are learned."""

    detector: GridDetector
    sha256: str
    """Of its file."""
    licence: str


def open_teacher() -> Teacher:
    """Return YuNet.

    Raises:
        MienError: its file is missing or damaged.
    """
    return Teacher(YunetDetector(), YUNET_SHA256, "MIT")


def check(config: DetectorTrainConfig) -> None:
    """Refuse data that a run cannot be made of, before anything is written.

    Raises:
        MienError: as find_sources; no teacher; a folder of validation images is missing.
        ModuleNotFoundError: onnx is missing, which the export needs.
    """
    _faces_of(config)
    _backgrounds_of(config)
    _validation(config.data.validation)
    open_teacher()
    _start(config.detector)
    import onnx  # noqa: F401 - a run must not fail at its end


def pretrain(
    config: DetectorTrainConfig,
    *,
    data: list[str],
    run: RunFolder,
    device: str = "auto",
    echo: Callable[[str], None] = lambda _: None,
) -> Path:
    """Train the network and export it as weights and as an ONNX graph.

    Arguments, result and errors as of `recipes.latentface.pretrain`.
    """
    this = start_run(config, data, run, device, echo)
    stage, teacher = config.detector, open_teacher()
    scenes = _cached(this, teacher.detector)
    mixture = SceneMixture(stage.side, stage.batch_size, stage.views, config.loop.seed)
    with this.initial_weights():
        network, start = _start(stage)
    network = network.to(this.fabric.device)
    validation = _validation(config.data.validation)
    if validation:  # before the training, not after it
        refuse_empty(teacher.detector, *_images(validation))

    def loader(shard: Shard) -> SceneLoader:
        where, workers = this.fabric.device, config.data.workers
        return SceneLoader(
            scenes, teacher.detector, mixture, device=where, workers=workers, shard=shard
        )

    found = this.train(DetectorObjective(network), loader(this.shard), "detector")
    network.load_state_dict(found)
    if this.is_first:
        mend_statistics(network, loader(Shard()), stage)
        choice = None
        if validation:
            student = as_detector(network, LOWEST_SCORE)
            choice = choose_least_score(student, teacher.detector, *_images(validation))
        _say(this, choice)
        least = choice.least_score if choice else stage.least_score
        backgrounds = list(config.data.backgrounds)
        origin = _origin(this, scenes, teacher, backgrounds, start)
        export(network, run.exported, least, choice, origin)
        this.say(f"the detector is in {run.exported}")
    this.fabric.barrier()
    return run.exported


class DetectorObjective(Objective[DetectorNetwork]):
    """The teacher's score, box and landmarks at every cell."""

    decays_vectors = False
    signs = (
        Sign(
            *("score_on_faces", 0.05, math.inf),
            "collapse: no cell is taken for a face ({:.3f}); lower the learning rate",
        ),
        Sign(
            *("score_off_faces", 0.0, 0.3),
            "collapse: every cell is taken for a face ({:.3f}); lower the learning rate",
        ),
    )

    def compute(self, batch: dict[str, Tensor], step: int, generator: torch.Generator) -> Loss:  # noqa: ARG002
        """Return the loss of a batch of mien.data.scene_loader."""
        wanted = [batch[target_name(stride)] for stride in STRIDES]
        return detector_loss(self.module(batch["image"]), wanted)

    def contact_sheet(self, batch: dict[str, Tensor], step: int) -> ImageArray:  # noqa: ARG002
        """Return images with the faces of targets (green) and predictions (orange) on them."""
        images = batch["image"][:_SHEET]
        # In training mode the running statistics would learn from the sheet.
        self.module.eval()
        try:
            maps = self.module(images)
        finally:
            self.module.train()
        wanted = [batch[target_name(stride)][:_SHEET, :15] for stride in STRIDES]
        return sheet(images, wanted, [m.float() for m in maps])


@torch.no_grad()
def mend_statistics(
    network: DetectorNetwork, loader: SceneLoader, stage: DetectorOptions
) -> DetectorNetwork:
    """Measure what batch normalisation subtracts and divides by anew, for these very weights.

    The running statistics of training are those of the last steps' weights, not of their average.
    The batches are those that would have come next. The network ends in evaluation mode.
    """
    batches = loader.iterate(stage.steps, stage.steps + _STATISTICS_BATCHES)
    with contextlib.closing(batches):
        update_bn((batch["image"] for batch in batches), network)
    return network.eval()


def _start(stage: DetectorOptions) -> tuple[DetectorNetwork, str | None]:
    """Return the network that training starts with, and which one that is."""
    return load_network(stage.init_from) if stage.init_from else (DetectorNetwork(), None)


def _faces_of(config: DetectorTrainConfig) -> Sources:
    found = find_sources(config.data.sources)
    if found.streams:
        raise MienError(
            "synth:HEAD_MODEL is no source of photographs; render people by `mien synth` and give "
            "their folder"
        )
    return found


def _backgrounds_of(config: DetectorTrainConfig) -> Sources:
    if not config.data.backgrounds:
        raise MienError("no images without faces; give --backgrounds FOLDER")
    found = find_sources(config.data.backgrounds)
    if found.streams:
        raise MienError("--backgrounds takes images without faces, not synth:HEAD_MODEL")
    return found


def _cached(run: Run[DetectorTrainConfig], teacher: GridDetector) -> SceneCache:
    """Return faces and backgrounds, cut out once per node."""
    options, seed = run.config.data, seed_of(run.config.loop.seed, "backgrounds")
    shared: dict[str, Any] = {"teacher": teacher, "options": options, "report": run.say}
    faces, backgrounds = _faces_of(run.config).pieces, _backgrounds_of(run.config).pieces
    return open_scenes(
        once_per_node(run.fabric, lambda: build_face_cache(faces, run.cache, **shared)),
        once_per_node(
            run.fabric,
            lambda: build_background_cache(backgrounds, run.cache, seed=seed, **shared),
        ),
    )


def _validation(folder: str) -> tuple[Sources, Sources] | None:
    """Return the validation images with faces and those without; None where none are given."""
    if not folder:
        return None
    for name in (FACES, NO_FACES):
        if not Path(folder, name).is_dir():
            raise MienError(
                f"data.validation: {folder} has no folder {name}; put photographs with faces into "
                f"{FACES} and others into {NO_FACES}"
            )
    return find_sources([Path(folder, FACES)]), find_sources([Path(folder, NO_FACES)])


def _images(found: tuple[Sources, Sources]) -> list[Iterator[NDArray[np.uint8]]]:
    """Return the images of both sources that can be read, one by one."""

    def each(sources: Sources) -> Iterator[NDArray[np.uint8]]:
        for piece in sources.pieces:
            with contextlib.suppress(MienError):
                for _, pixels in _READER.frames(piece):
                    yield pixels

    return [each(sources) for sources in found]


def _say(run: Run[DetectorTrainConfig], choice: ScoreChoice | None) -> None:
    if choice is None:
        least = run.config.detector.least_score
        run.say(f"least score {least:g} (detector.least_score); data.validation chooses it")
        return
    run.say(
        f"least score {choice.least_score:g}: finds {choice.recall:.1%} of the teacher's "
        f"{choice.faces:,} validation faces, {choice.false_faces:,} false faces, the teacher "
        f"{choice.teacher_false_faces:,}"
    )


def _origin(
    run: Run[DetectorTrainConfig],
    scenes: SceneCache,
    teacher: Teacher,
    backgrounds: list[str],
    start: str | None,
) -> Origin:
    source = scenes.source
    return Origin(
        teacher=teacher.detector.name,
        teacher_sha256=teacher.sha256,
        teacher_licence=teacher.licence,
        data=run.data,
        backgrounds=backgrounds,
        licences=list(run.config.data.licences),
        faces=len(source.faces),
        background_squares=len(source.backgrounds),
        squares_with_face=scenes.with_face,
        steps=run.config.detector.steps,
        init_from=start,
    )
