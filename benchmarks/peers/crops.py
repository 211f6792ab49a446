"""Faces cut out for the peers exactly as for mien, once for all of them.

The package's own `factors_by_weights` reads, detects and crops; where its model would encode, crops
are kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mien.errors import MienError
from mien.evaluate.by_weights import factors_by_weights
from mien.evaluate.protocol import Images
from mien.latentface.config import ModelConfig
from mien.latentface.latentface import LatentFace
from mien.model import Model
from mien.types import Factors, Light, Pose

__all__ = ["SIZE", "CropStore", "Cut", "key_of"]

SIZE = 64
"""Side of the crops that every method sees, mien's `small` preset too. Pixels."""


@dataclass(frozen=True)
class Cut:
    """The faces of images."""

    found: NDArray[np.bool_]
    """As in `FactorColumns`. [N]."""
    detected: NDArray[np.bool_]
    """As in `FactorColumns`. [N]."""
    crops: NDArray[np.uint8]
    """RGB of the images with a face, in order; memory-mapped. [found, SIZE, SIZE, 3]."""


class CropStore:
    """Cuts the faces of images, and caches them: every peer asks for the same ones."""

    def __init__(
        self,
        folder: Path,
        *,
        detector: str = "auto",
        batch_size: int = 64,
        workers: int | None = None,
    ) -> None:
        """Prepare a store.

        Args:
            folder: where crops are kept; the caller's to remove.
            detector: as for `factors_by_weights`.
            batch_size: faces at a time.
            workers: threads that read and search; None: as `factors_by_weights` has it.
        """
        self._folder, self._detector = folder, detector
        self._batch_size, self._workers = batch_size, workers
        self._known: dict[str, Cut] = {}

    def __call__(self, images: Images) -> Cut:
        """Return the faces of images.

        Raises:
            MienError: an image cannot be read, or the images are eye-region crops.
        """
        if images.crop == "eyes":
            raise MienError("the peers see whole faces, not eye-region crops")
        key = key_of(images)
        if key not in self._known:
            self._known[key] = self._cut(images, self._folder / f"{key}.u8")
        return self._known[key]

    def clear(self) -> None:
        """Forget all crops, on the disk too."""
        self._known.clear()
        for path in self._folder.glob("*.u8"):
            path.unlink()

    def _cut(self, images: Images, path: Path) -> Cut:
        with path.open("wb") as file:
            model = Model(_keeper(lambda crops: file.write(np.ascontiguousarray(crops).data)))
            describe = factors_by_weights(
                model,
                detector=self._detector,
                batch_size=self._batch_size,
                workers=self._workers,
            )
            described = describe(images, ("texture_code",))
        count = int(described.found.sum())
        if path.stat().st_size != count * SIZE * SIZE * 3:
            raise RuntimeError("factors_by_weights shows a model other crops than it finds faces")
        shape = (count, SIZE, SIZE, 3)
        crops = np.memmap(path, np.uint8, "r", shape=shape) if count else np.empty(shape, np.uint8)
        return Cut(described.found, described.detected, crops)


class _Keeper(LatentFace):
    """In the place of a model: passes on the crops that it is shown, and gives empty factors."""

    def __init__(self, keep: Callable[[NDArray[np.uint8]], object]) -> None:
        super().__init__(
            ModelConfig(
                image_size=SIZE,
                texture_dim=1,
                shape_dim=1,
                width=8,
                feature_dim=8,
                neutral="regression",
                neutral_width=8,
                neutral_blocks=1,
            )
        )
        self._keep = keep

    def forward(self, images: Tensor, *, features: bool = False) -> Factors:  # noqa: ARG002
        """Keep crops in [0, 1]. [B, 3, H, W]."""
        pixels = (images * 255).round().to(torch.uint8)
        self._keep(pixels.permute(0, 2, 3, 1).cpu().numpy())
        rows = len(images)
        nothing, axis = torch.zeros(rows, 1), torch.eye(3)
        light = Light(torch.ones(rows), torch.ones(rows), -axis[2].repeat(rows, 1))
        pose = Pose(axis.repeat(rows, 1, 1), torch.zeros(rows, 3))
        return Factors(
            neutral_texture=nothing,
            neutral_shape=nothing,
            expression_texture=nothing,
            expression_shape=nothing,
            pose=pose,
            light=light,
        )


def _keeper(keep: Callable[[NDArray[np.uint8]], object]) -> _Keeper:
    with torch.random.fork_rng(devices=[]):  # its weights are never used
        return _Keeper(keep)


def key_of(images: Images) -> str:
    """Return a name of images: of how they are called and cut, and of the pixels of a few.

    A protocol may ask for images and for their mirror images, perhaps under the same names.
    """
    hashed = hashlib.sha256()
    boxes = b"" if images.boxes is None else np.ascontiguousarray(images.boxes).tobytes()
    hashed.update(repr((images.names, images.crop, images.fallback)).encode() + boxes)
    last = len(images) - 1
    for row in sorted({0, last // 3, 2 * last // 3, last}) if last >= 0 else ():
        pixels = images.read(row)
        hashed.update(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return hashed.hexdigest()[:24]
