"""Data as the recipes share it: rendered streams, and eye images that are cropped once per node."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mien.data.eye_cache import EyeCache, EyeSources, build_eye_cache
from mien.data.eye_loader import EyeLoader, EyeMixture
from mien.data.loader import Shard
from mien.data.people_cache import PeopleCache, build_photograph_cache, build_rendered_cache
from mien.data.people_loader import PeopleLoader
from mien.data.seeds import seed_of
from mien.data.sources import Piece, Sources
from mien.errors import MienError
from mien.gaze.emib import EMIB
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.train.engine import once_per_node
from mien.train.options import MixedPace, Pace
from mien.train.recipes.run import Run

if TYPE_CHECKING:
    from mien.synth.head_model import HeadModel
    from mien.synth.stream import Stream

__all__ = [
    "LocalizerSearch",
    "cache_eyes",
    "cache_people",
    "eye_loader",
    "load_head",
    "open_stream",
    "people_loader",
]


def load_head(models: Sequence[Path]) -> HeadModel | None:
    """Return the head model of a run's synth: source, or None where none is given.

    Args:
        models: head models of the run's sources.

    Raises:
        MienError: several models, or one that cannot be read.
    """
    if len(models) > 1:
        raise MienError("give one synth:HEAD_MODEL; several cannot be mixed")
    from mien.synth import head_model  # the renderer is slow to import

    return head_model.load_head_model(models[0]) if models else None


def open_stream(run: Run[Any], models: Sequence[Path], size: int) -> Stream | None:
    """Return the stream of a head model, or None where none is given.

    Args:
        run: gives the seed and the frames of each clip.
        models: head models of the run's sources.
        size: side of the images. Pixels.

    Raises:
        MienError: as load_head.
    """
    head = load_head(models)
    if head is None:
        return None
    from mien.synth.stream import Stream

    seed, frames = seed_of(run.options.loop.seed, "stream"), run.options.data.stream_frames
    return Stream(head, seed=seed, frames_per_clip=frames, size=size)


def cache_people(run: Run[Any], sources: Sources, size: int) -> list[Path]:
    """Return the folders of rendered people, then of photographs, where there are such.

    Args:
        run: its data options are PeopleDataOptions.
        sources: of the run.
        size: S, side of the face crops. Pixels.
    """
    options, seed = run.config.data, seed_of(run.config.loop.seed, "people")
    head = load_head(sources.streams)
    shared = {"image_size": size, "options": options, "seed": seed, "report": run.say}
    builds: list[Callable[[], Path]] = []
    if head is not None:
        builds.append(lambda: build_rendered_cache(head, run.cache, **shared))
    if sources.pieces:
        builds.append(lambda: build_photograph_cache(sources.pieces, head, run.cache, **shared))
    return [once_per_node(run.fabric, build) for build in builds]


def people_loader(
    run: Run[Any], caches: Sequence[PeopleCache], stage: Pace, size: int
) -> PeopleLoader:
    """Return the batches of a stage.

    Args:
        run: its data options are PeopleDataOptions; gives seed, device and threads.
        caches: one or two.
        stage: size of the batches.
        size: S, side of the face crops. Pixels.
    """
    data = run.options.data
    return PeopleLoader(
        list(caches),
        image_size=size,
        batch_size=stage.batch_size,
        fraction=data.rendered_fraction,
        seed=run.options.loop.seed,
        device=run.fabric.device,
        workers=data.workers,
        shard=run.shard,
    )


def cache_eyes(
    run: Run[Any], sources: EyeSources, pieces: Sequence[Piece], search: LocalizerSearch | None
) -> list[Path]:
    """Crop pieces into a cache, once per node; return its folder, or nothing without pieces.

    Args:
        run: gives the options and the folder of caches.
        sources: hold the labels.
        pieces: some of the sources'.
        search: finds the eyes that neither labels nor the detector give.

    Raises:
        MienError: as build_eye_cache; or the nodes see different data.
    """
    if not pieces:
        return []

    def build() -> Path:
        return build_eye_cache(
            pieces,
            sources.labels,
            run.cache,
            options=run.options.data,
            search=search,
            report=run.say,
        )

    return [once_per_node(run.fabric, build)]


def eye_loader(
    run: Run[Any],
    cache: EyeCache | None,
    stream: Stream | None,
    stage: MixedPace,
    *,
    shard: Shard | None = None,
    labelled: bool = False,
) -> EyeLoader:
    """Return the batches of a stage.

    Args:
        run: gives seed, device and threads.
        cache: images; None where everything comes from the stream.
        stream: endless rendered clips.
        stage: sizes and fractions of the batches.
        shard: which part of every batch; by default this process's.
        labelled: take only images whose eyes are labelled.
    """
    data = run.options.data
    mixture = EyeMixture(
        seed=run.options.loop.seed,
        batch_size=stage.batch_size,
        frames=stage.frames,
        stills_fraction=stage.stills_fraction,
        eye_crop_fraction=getattr(stage, "eye_crop_fraction", None),
        stream_fraction=data.stream_fraction,
        labelled=labelled,
    )
    return EyeLoader(
        cache,
        mixture,
        device=run.fabric.device,
        workers=data.workers,
        shard=shard or run.shard,
        stream=stream,
    )


class LocalizerSearch:
    """Finds the eyes of unlabelled training images by a gaze branch's localizer."""

    def __init__(self, network: LatentFace, branch: EMIB) -> None:
        """Take the networks as they are; later training of them changes nothing here.

        Args:
            network: gives the pose of faces.
            branch: gaze branch with a trained eye localizer.
        """
        # A model freezes what it is given, and the branch is still to be trained.
        self._model = Model(network, gaze=copy.deepcopy(branch))
        hashed = hashlib.blake2b(digest_size=12)
        kinds = {
            "pose": network.autoencoder.state_dict(),
            "localizer": branch.localizer.state_dict(),
            "eyes": {"canonical_eyes": branch.canonical_eyes},
        }
        for kind, tensors in kinds.items():
            for name, tensor in sorted(tensors.items()):
                hashed.update(f"{kind}/{name}".encode())
                hashed.update(tensor.detach().cpu().contiguous().numpy().tobytes())
        self.name = hashed.hexdigest()

    def __call__(
        self, images: np.ndarray[Any, np.dtype[np.uint8]], *, eye_crops: bool
    ) -> tuple[np.ndarray[Any, np.dtype[np.float32]], np.ndarray[Any, np.dtype[np.bool_]]]:
        """Return eyes as fractions of the sides [B, 2, 2] and whether they are seen [B].

        Args:
            images: RGB face crops, or eye-region crops. uint8 [B, H, W, 3].
            eye_crops: which they are.
        """
        batch = torch.from_numpy(images).permute(0, 3, 1, 2)
        found = self._model.encode_eyes(batch) if eye_crops else self._model.encode(batch).gaze
        assert found is not None
        return found.eyes.float().cpu().numpy(), found.eyes_found.cpu().numpy()
