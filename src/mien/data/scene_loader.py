"""Batches of scenes as they are seen, with a teacher's answers as targets."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.data.loader import Shard, ahead
from mien.data.scene_cache import SceneCache
from mien.data.scene_targets import join_cells, sample_view, seen, targets
from mien.data.scenes import CANVAS, draw_scene
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.faces.detect import single_threaded_opencv
from mien.faces.grid_detector import STRIDES, GridDetector

__all__ = ["SceneLoader", "SceneMixture", "target_name"]


@dataclass(frozen=True)
class SceneMixture:
    """What makes up a batch."""

    side: int
    """S, of what the network sees; a multiple of 32. Pixels."""
    batch_size: int
    """B, over all processes."""
    views: int
    """Of each scene."""
    seed: int
    """Decides every batch, together with the step."""


def target_name(stride: int) -> str:
    """Return the name of a grid's targets in a batch."""
    return f"target_{stride}"


class SceneLoader:
    """Yields batches for any range of steps; batch k is a pure function of k and the seed.

    image: RGB, uint8 [B, 3, S, S]; target_8, target_16, target_32: see
    `mien.detection.loss.detector_loss`, float32 [B, 16, S/t, S/t]. The views of one scene follow
    one another.
    """

    def __init__(
        self,
        scenes: SceneCache,
        teacher: GridDetector,
        mixture: SceneMixture,
        *,
        device: torch.device,
        workers: int = 1,
        shard: Shard | None = None,
    ) -> None:
        """Prepare a loader.

        Args:
            scenes: what scenes are made of.
            teacher: gives the answers; called from several threads at once.
            mixture: what makes up a batch.
            device: where batches go.
            workers: threads.
            shard: the part of every batch that this process takes; everything by default.

        Raises:
            MienError: the batch cannot be divided into scenes, or these among the processes.
        """
        shard = shard or Shard()
        number, left = divmod(mixture.batch_size, mixture.views)
        if left or number % shard.world_size:
            raise MienError(
                f"a batch of {mixture.batch_size} images cannot be divided into {mixture.views} "
                f"views of each scene for {shard.world_size} processes; give another batch_size"
            )
        self._scenes, self._teacher, self._mixture = scenes, teacher, mixture
        self._device, self._workers = device, workers
        self._mine = range(shard.rank, number, shard.world_size)
        shape = f"{mixture.side}-{mixture.batch_size}-{mixture.views}-{mixture.seed}"
        self.fingerprint = f"{scenes.key}-{teacher.name}-{shape}"

    def iterate(self, start: int, stop: int) -> Generator[dict[str, Tensor], None, None]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        with (
            single_threaded_opencv(self._teacher),
            ahead(self._batch, start, stop, self._workers) as made,
        ):
            for batch in made:
                yield {k: v.to(self._device, non_blocking=True) for k, v in batch.items()}

    def _batch(self, step: int) -> dict[str, Tensor]:
        side = self._mixture.side
        images: list[NDArray[np.uint8]] = []
        wanted: list[list[NDArray[np.float32]]] = []
        for number in self._mine:
            rng = np.random.default_rng(seed_of(self._mixture.seed, "scene", step, number))
            scene = draw_scene(self._scenes.source, rng)
            answers = join_cells(self._teacher.answer(scene), (CANVAS, CANVAS), STRIDES)
            for _ in range(self._mixture.views):
                view = sample_view(side, rng)
                images.append(seen(scene, view, side))
                wanted.append(targets(answers, view, side, STRIDES))
        grids = zip(STRIDES, zip(*wanted, strict=True), strict=True)
        # Seen as channels first, stored with the channel innermost.
        image = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2)
        return {
            "image": image,
            **{target_name(t): torch.from_numpy(np.stack(grid)) for t, grid in grids},
        }
