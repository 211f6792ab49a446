"""Codes of clips by the frozen autoencoder: what stage 2 learns from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mien.data.cache import CropCache
from mien.data.loader import ClipStream
from mien.latentface.autoencoder import Autoencoder

__all__ = ["Crops", "clip_codes", "clip_images", "clip_maps"]

Crops = np.ndarray[Any, np.dtype[np.uint8]]


def clip_images(
    pack: CropCache | None,
    stream: ClipStream | None,
    *,
    frames: int,
    stream_clips: int,
    image_size: int,
    rng: np.random.Generator,
) -> Iterator[Crops]:
    """Yield each clip's frames without their margin. uint8 [frames, S, S, 3].

    Args:
        pack: packed crops; stills and clips of one frame are passed over.
        stream: endless rendered clips.
        frames: how many of each clip; shorter ones repeat frames.
        stream_clips: how many clips of the stream.
        image_size: S. Pixels.
        rng: draws the frames.
    """
    if pack is not None:
        room = (pack.crops.shape[1] - image_size) // 2
        inner = slice(room, room + image_size)
        order = np.argsort(pack.clip, kind="stable")
        borders = np.flatnonzero(np.diff(pack.clip[order])) + 1
        for rows in np.split(order, borders):
            if len(rows) > 1 and pack.clip[rows[0]] >= 0:
                chosen = np.resize(rng.permutation(rows), frames)
                yield pack.crops[np.sort(chosen)][:, inner, inner]
    if stream is not None:
        for index in range(stream_clips):
            images = stream.clip(index).images.transpose(0, 2, 3, 1)
            yield images[np.resize(np.arange(len(images)), frames)]


@torch.no_grad()
def clip_codes(
    model: Autoencoder, clips: Iterator[Crops], device: torch.device, say: Callable[[str], None]
) -> tuple[Tensor, Tensor]:
    """Return raw texture and shape codes of every clip, as it is and mirrored.

    Args:
        model: trained; used as it is.
        clips: uint8 [T, S, S, 3] each.
        device: where to encode.
        say: told how far it is.

    Returns:
        Texture codes and shape codes, float32 on the device. Each [2 C, T, D].
    """
    was_training = model.training
    model.eval()
    texture, shape = [], []
    for number, frames in enumerate(clips, start=1):
        images = (
            torch.from_numpy(np.ascontiguousarray(frames)).to(device).permute(0, 3, 1, 2).float()
            / 255
        )
        encoded = model.encode(torch.cat([images, images.flip(-1)]))
        texture.append(encoded.texture.float().unflatten(0, (2, -1)))
        shape.append(encoded.shape.float().unflatten(0, (2, -1)))
        if number % 500 == 0:
            say(f"stage2: {number:,} clips encoded")
    model.train(was_training)
    return torch.cat(texture), torch.cat(shape)


@torch.no_grad()
def clip_maps(
    model: Autoencoder, clips: Iterator[Crops], device: torch.device, *, together: int = 50
) -> Iterator[Tensor]:
    """Yield the encoder's flattened maps of clips, some at a time. Float32 [C, T, F].

    Args:
        model: trained; used as it is.
        clips: uint8 [T, S, S, 3] each, all of one length.
        device: where to encode.
        together: C, clips at a time.
    """
    while part := list(islice(clips, together)):
        frames = np.concatenate(part)
        images = torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255
        yield model.maps(images).flatten(1).unflatten(0, (len(part), -1))
