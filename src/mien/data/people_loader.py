"""Batches of people's views, seen as different cameras would: reframed, recoloured, degraded."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from mien.data.loader import Shard, ahead
from mien.data.people_cache import PeopleCache
from mien.data.seeds import seed_of
from mien.errors import MienError
from mien.pipeline.encode import to_batch

__all__ = ["PeopleLoader", "photographed"]

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class PeopleLoader:
    """Yields batches for any range of steps; batch k is a pure function of k.

    image: RGB in [0, 1], float32 [B, 3, S, S]; person: number of the person, those of the second
    cache after those of the first, int64 [B]. Rows 2 i and 2 i + 1 are two views of a person, and
    no person comes twice.
    """

    def __init__(
        self,
        caches: list[PeopleCache],
        *,
        image_size: int,
        batch_size: int,
        fraction: float,
        seed: int,
        device: torch.device,
        workers: int = 1,
        shard: Shard | None = None,
    ) -> None:
        """Prepare a loader.

        Args:
            caches: one or two; those of the first come first in every batch.
            image_size: S. Pixels.
            batch_size: B, over all processes.
            fraction: of the batch that the first of two caches gives.
            seed: decides every batch, together with the step.
            device: where batches go.
            workers: threads.
            shard: the part of every batch that this process takes; everything by default.

        Raises:
            MienError: the batch is odd, has more pairs than there are people, or cannot be divided.
        """
        self._caches, self._size, self._seed = caches, image_size, seed
        self._device, self._workers = device, workers
        pairs = batch_size // 2
        first = pairs if len(caches) == 1 else round(pairs * fraction)
        self._pairs = [first, pairs - first][: len(caches)]
        self._check(batch_size)
        shard = shard or Shard()
        mine = np.arange(pairs)[shard.rank :: shard.world_size]
        if pairs % shard.world_size:
            raise MienError(
                f"{pairs} pairs in a batch cannot be divided among {shard.world_size} processes; "
                "give another batch_size"
            )
        self._mine = np.stack([2 * mine, 2 * mine + 1], axis=1).ravel()
        keys = "-".join(cache.key for cache in caches)
        self.fingerprint = f"{keys}-{image_size}-{self._pairs}-{seed}"

    def iterate(self, start: int, stop: int) -> Generator[dict[str, Tensor], None, None]:
        """Yield the batches of steps start, ..., stop - 1 on the device."""
        with ahead(self._batch, start, stop, self._workers) as made:
            for batch in made:
                yield {k: v.to(self._device, non_blocking=True) for k, v in batch.items()}

    def _check(self, batch_size: int) -> None:
        few = min(len(cache) for cache in self._caches)
        if batch_size % 2 or max(self._pairs) > few or min(self._pairs) < 1:
            raise MienError(
                f"a batch of {batch_size} views is to have {self._pairs} pairs of views, and there "
                f"are {[len(cache) for cache in self._caches]} people; give another even batch_size"
            )

    def _batch(self, step: int) -> dict[str, Tensor]:
        rng = np.random.default_rng(seed_of(self._seed, "people", step))
        rows: list[tuple[PeopleCache, int, int]] = []
        people: list[int] = []
        offset = 0
        for cache, count in zip(self._caches, self._pairs, strict=True):
            views = cache.views.shape[1]
            for person in rng.choice(len(cache), count, replace=False):
                two = rng.choice(views, 2, replace=False)
                rows += [(cache, int(person), int(view)) for view in two]
                people += [offset + int(person)] * 2
            offset += len(cache)
        images = []
        for row in self._mine:
            cache, person, view = rows[row]
            own = np.random.default_rng(seed_of(self._seed, "view", step, int(row)))
            images.append(photographed(cache.views[person, view], self._size, own))
        return {
            "image": to_batch(images) / 255,
            "person": torch.tensor([people[row] for row in self._mine]),
        }


def photographed(crop: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Return a crop as another camera, file and detector would give it.

    Args:
        crop: RGB with a margin around the middle `size` pixels. uint8 [P, P, 3].
        size: S, side of what is returned. Pixels.
        rng: source of all choices.

    Returns:
        uint8 [S, S, 3].
    """
    image = _reframed(crop, size, rng)
    if rng.random() < 0.3:
        small = int(rng.integers(size // 3, 7 * size // 8))
        image = cv2.resize(image, (small, small), interpolation=cv2.INTER_AREA)
        enlarge = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
        image = cv2.resize(image, (size, size), interpolation=enlarge)
    if rng.random() < 0.2:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))
    values = _recoloured(image.astype(np.float32) / 255, rng)
    if rng.random() < 0.2:
        noise = rng.normal(0, rng.uniform(0.01, 0.06), values.shape)
        values = values + noise.astype(np.float32)
    image = (values.clip(0, 1) * 255 + 0.5).astype(np.uint8)
    if rng.random() < 0.3:
        quality = int(rng.integers(12, 75))
        stored = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        image = np.asarray(cv2.imdecode(stored, cv2.IMREAD_COLOR), dtype=np.uint8)
    if rng.random() < 0.3:  # something is before the face
        height, width = rng.integers(size // 8, 7 * size // 16, 2)
        y, x = rng.integers(0, size - height), rng.integers(0, size - width)
        image = image.copy()
        image[y : y + height, x : x + width] = rng.integers(0, 256, 3)
    return image


def _reframed(crop: Pixels, size: int, rng: np.random.Generator) -> Pixels:
    """Cut the middle of a crop, shifted, scaled, rotated and in half of the cases mirrored."""
    scale, angle = rng.uniform(0.82, 1.25), np.deg2rad(rng.normal(0, 7))
    shift = rng.uniform(-0.07, 0.07, 2) * size
    cos, sin = np.cos(angle) / scale, np.sin(angle) / scale
    affine = np.array([[cos, -sin, 0], [sin, cos, 0]], np.float32)
    affine[:, 2] = 0.5 * (len(crop) - 1) + shift - affine[:, :2] @ np.full(2, 0.5 * (size - 1))
    image = cv2.warpAffine(
        crop,
        affine,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    mirrored = image[:, ::-1] if rng.random() < 0.5 else image
    return np.ascontiguousarray(mirrored, dtype=np.uint8)


def _recoloured(image: Any, rng: np.random.Generator) -> Any:
    """Return an image in [0, 1] in grey or other colours, brightness and contrast. [H, W, 3]."""
    kind = rng.random()
    if kind < 0.25:
        image = np.repeat((image @ _LUMA)[..., None], 3, axis=-1)
    elif kind < 0.7:
        grey = image.mean(axis=2, keepdims=True)
        image = grey + (image - grey) * np.float32(rng.uniform(0.3, 1.5))
        image = image * (1 + 0.08 * rng.normal(size=3)).astype(np.float32)
    if rng.random() < 0.7:
        image = image.clip(0, 1) ** np.float32(np.exp(rng.normal(0, 0.25)))
        mean, contrast = image.mean(), np.float32(rng.uniform(0.65, 1.3))
        image = (image - mean) * contrast + mean * np.float32(rng.uniform(0.7, 1.25))
    return image
