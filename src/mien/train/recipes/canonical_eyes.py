"""Where the eyes stand in the canonical face: fitted to rendered faces, whose eyes are known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from mien.data.eye_labels import lids_open, read_eye_labels
from mien.gaze.config import FACE_CROP
from mien.gaze.emib import EMIB
from mien.gaze.localizer import fit_canonical_eyes, project_eyes
from mien.latentface.latentface import LatentFace
from mien.media.image import read
from mien.model import prepare

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["FIT_FACES", "fit_to", "fit_to_rendered"]

FIT_FACES = 512
_MIN_FACES = 16

Array = np.ndarray[Any, Any]


@torch.no_grad()
def fit_to(
    branch: EMIB, network: LatentFace, images: Tensor, places: Tensor
) -> tuple[float, float] | None:
    """Fit the canonical eyes; return how far off they were and are on average, pixels of 224.

    With too few faces they stay where they were, and None is returned.

    Args:
        branch: whose canonical eyes are set.
        network: reads the pose.
        images: face crops at the network's size, RGB in [0, 1]. [B, 3, S, S].
        places: the eyes, x, y as fractions of the crop's sides. [B, 2, 2].
    """
    if len(images) < _MIN_FACES:
        return None
    pose, fov_deg = network.autoencoder.encode(images).pose, network.config.fov_deg

    def off() -> float:
        apart = project_eyes(branch.canonical_eyes, pose, fov_deg) - places
        return float(apart.norm(dim=2).mean()) * FACE_CROP

    before = off()
    branch.canonical_eyes.copy_(fit_canonical_eyes(pose, places, fov_deg))
    return before, off()


def fit_to_rendered(
    branch: EMIB, network: LatentFace, folders: Sequence[Path], stream: Stream | None
) -> tuple[float, float] | None:
    """Do the same on rendered faces with open eyes.

    Args:
        branch: on the network's device.
        network: as it will be used.
        folders: places of sources; those of `mien synth` are used.
        stream: endless rendered clips, used where there is no such folder.

    Raises:
        MienError: labels or images cannot be read.
    """
    size, device = network.config.image_size, branch.canonical_eyes.device
    images, places = [], []
    for image, eyes in _of_folders(folders) or _of_stream(stream):
        batch = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None]
        images.append(prepare(batch, (size, size)))
        sides = np.array([image.shape[1], image.shape[0]], dtype=np.float32)
        places.append(torch.from_numpy((eyes + 0.5) / sides).float())
    if not images:
        return None
    network.eval()
    return fit_to(branch, network, torch.cat(images).to(device), torch.stack(places).to(device))


def _of_folders(folders: Sequence[Path]) -> list[tuple[Array, Array]]:
    """Return images [H, W, 3] of all folders alike, and their eyes in pixels [2, 2]."""
    labels = [item for item in read_eye_labels(folders).items() if item[1].open > 0.5]
    chosen = np.linspace(0, len(labels) - 1, min(len(labels), FIT_FACES)).round().astype(int)
    return [(read(labels[k][0]), labels[k][1].eyes) for k in chosen]


def _of_stream(stream: Stream | None) -> Iterator[tuple[Array, Array]]:
    """Yield as many of a stream."""
    number = found = 0
    while stream is not None and found < FIT_FACES:
        clip = stream.clip(number)
        labels, names = clip.labels, stream.head.expression_names
        shown = lids_open(labels.expression_weights, names)
        for frame in np.flatnonzero(shown == 1):
            yield clip.images[frame].transpose(1, 2, 0), labels.landmarks[frame, :2]
        number, found = number + 1, found + len(clip)
