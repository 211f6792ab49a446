"""The clips of stage 2: which frames they have, and their codes by the frozen autoencoder."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor

from mien.data.cache import CropCache
from mien.data.labels import expression_strength, without_gaze
from mien.latentface.autoencoder import Autoencoder
from mien.train.engine import in_turn

if TYPE_CHECKING:
    from mien.synth.stream import Stream

__all__ = ["ClipCodes", "ClipFrames", "ClipImages", "clip_codes", "clip_maps", "stream_weights"]

_CLIPS_AT_ONCE = 16
_MAP_CLIPS_AT_ONCE = 50
_VIEW = 7

Crops = np.ndarray[Any, np.dtype[np.uint8]]
Numbers = np.ndarray[Any, np.dtype[np.int64]]
Values = np.ndarray[Any, np.dtype[np.float32]]


@dataclass(frozen=True)
class ClipFrames:
    """The frames of one clip."""

    rows: Numbers
    """Of the crop cache; of a clip of the stream its frames. [T]."""
    stream: int = -1
    """Which clip of the stream; -1: none."""
    photograph: bool = False
    """Whether it is a photograph with its views."""
    rendered: bool = False
    """Whether it is of a rendered person."""
    neutral: int = -1
    """Which of the frames of a rendered person shows the least expression; -1: not known."""
    expression: Values | None = None
    """Weights of the expression shapes in the frames of a rendered person; None: not known.
    [T, E]."""


@dataclass(frozen=True)
class ClipImages:
    """The frames of all clips, each once; read when they are asked for."""

    clips: Sequence[ClipFrames]
    """Sorted by the number of their frames."""
    cache: CropCache | None
    """The crop cache."""
    stream: Stream | None
    """Endless rendered clips."""
    image_size: int
    """S. Pixels."""

    @classmethod
    def of(
        cls,
        cache: CropCache | None,
        stream: Stream | None,
        *,
        frames: int,
        stream_clips: int,
        image_size: int,
        rng: np.random.Generator,
        turned: bool = False,
        expression: Values | None = None,
    ) -> ClipImages:
        """Choose the frames: all clips but those of one frame, which say nothing about time.

        Args:
            cache: the crop cache; stills are passed over.
            stream: endless rendered clips.
            frames: how many of each clip at most.
            stream_clips: how many clips of the stream.
            image_size: S. Pixels.
            rng: samples the frames.
            turned: take photographs with their views for clips, too.
            expression: weights of the expression shapes in the crops of rendered people, infinite
                where they are not known, NaN in other crops; None: no neutral frames are wanted.
                [N, E].
        """
        found: list[ClipFrames] = []
        if cache is not None:
            known = np.full((len(cache), 1), np.nan) if expression is None else expression
            for rows in _groups(cache.clip):
                chosen = np.sort(rng.permutation(rows)[:frames])
                rendered = not np.isnan(known[chosen]).any()
                found.append(_shown(ClipFrames(chosen, rendered=rendered), known[chosen]))
            for rows in _groups(cache.photograph) if turned else ():
                chosen = np.sort(rng.permutation(rows)[:frames])
                found.append(ClipFrames(chosen, photograph=True))
        for number in range(stream_clips if stream else 0):
            assert stream is not None
            some = np.arange(min(frames, stream.frames_per_clip))
            weights = np.array([[np.inf]]) if expression is None else stream_weights(stream, number)
            clip = ClipFrames(some, number, rendered=True)
            found.append(_shown(clip, weights[: len(some)]))
        found.sort(key=lambda clip: len(clip.rows))
        return cls(found, cache, stream, image_size)

    def __len__(self) -> int:
        return len(self.clips)

    def read(self, clips: range) -> Crops:
        """Return the frames of some clips without their margin. uint8 [N, S, S, 3]."""
        return np.concatenate([self._of(self.clips[number]) for number in clips])

    def parts(self, clips: int) -> list[range]:
        """Return the numbers of all clips, `clips` at a time, those of a part of one length."""
        found, start = [], 0
        for _, group in groupby(self.clips, lambda clip: len(clip.rows)):
            stop = start + len(list(group))
            found += [range(at, min(at + clips, stop)) for at in range(start, stop, clips)]
            start = stop
        return found

    def frames(self) -> int:
        """Return the number of frames of the longest clip."""
        return len(self.clips[-1].rows)

    def _of(self, clip: ClipFrames) -> Crops:
        if clip.stream < 0:
            assert self.cache is not None
            room = (self.cache.crops.shape[1] - self.image_size) // 2
            inner = slice(room, room + self.image_size)
            return self.cache.crops[clip.rows][:, inner, inner]
        assert self.stream is not None
        return self.stream.clip(clip.stream).images.transpose(0, 2, 3, 1)[clip.rows]


def _groups(numbers: Numbers) -> Iterator[Numbers]:
    """Yield the rows of each number from 0 that two rows or more have."""
    order = np.argsort(numbers, kind="stable")
    borders = np.flatnonzero(np.diff(numbers[order])) + 1
    for rows in np.split(order, borders):
        if len(rows) > 1 and numbers[rows[0]] >= 0:
            yield rows


def _shown(clip: ClipFrames, weights: Values) -> ClipFrames:
    """Return a clip with its expressions, or as it is where one of them is not known."""
    if not np.isfinite(weights).all():
        return clip
    return replace(clip, neutral=int(expression_strength(weights).argmin()), expression=weights)


def stream_weights(stream: Stream, number: int) -> Values:
    """Return the weights of the expression shapes in an endless source's clip. [T, E]."""
    shown = stream.plan(number).frames.expression_weights
    return without_gaze(shown, stream.head.expression_names)


@dataclass(frozen=True)
class ClipCodes:
    """What the autoencoder reads off the frames of clips and of their mirror images.

    The frames of a clip stand before those of its mirror image, and these before the next clip;
    float32 on the device.
    """

    texture: Tensor
    """Raw codes. [2 N, D]."""
    shape: Tensor
    """Raw codes. [2 N, D]."""
    view: Tensor
    """yaw, pitch, roll, radians; x and y of the light's direction; ambient, diffuse. [2 N, 7]."""


@torch.no_grad()
def clip_codes(
    model: Autoencoder,
    clips: ClipImages,
    fabric: Fabric,
    say: Callable[[str], None],
    *,
    at_once: int = _CLIPS_AT_ONCE,
) -> ClipCodes:
    """Return codes, pose and light of clips, as they are and mirrored.

    Args:
        model: trained; used as it is, in evaluation mode.
        clips: at least one.
        fabric: the processes take the clips by turns.
        say: given the progress.
        at_once: clips in a forward pass.
    """
    was_training = model.training
    model.eval()

    def encode(part: range) -> Tensor:
        images = _on_device(clips.read(part), fabric.device).unflatten(0, (len(part), -1))
        both = torch.stack([images, images.flip(-1)], dim=1)
        encoded = model.encode(both.flatten(0, 2))
        light = encoded.light
        lit = [light.direction[:, :2], light.ambient[:, None], light.diffuse[:, None]]
        read = (encoded.texture, encoded.shape, encoded.angles, *lit)
        return torch.cat([values.float() for values in read], dim=1)

    found, done, reported = [], 0, 0
    parts, rows = clips.parts(at_once), 2 * at_once * clips.frames()
    for part, codes in zip(parts, in_turn(parts, encode, fabric, rows=rows), strict=True):
        found.append(codes)
        done += len(part)
        if done // 500 > reported:
            reported = done // 500
            say(f"stage2: {done:,} clips encoded")
    model.train(was_training)
    sizes = [model.config.texture_dim, model.config.shape_dim, _VIEW]
    return ClipCodes(*(values.contiguous() for values in torch.cat(found).split(sizes, dim=1)))


@torch.no_grad()
def clip_maps(
    model: Autoencoder, clips: ClipImages, fabric: Fabric, *, at_once: int = _MAP_CLIPS_AT_ONCE
) -> Iterator[Tensor]:
    """Yield the encoder's flattened maps of clips, some of one length at a time. [C, T, F].

    Args:
        model: trained; used as it is.
        clips: at least one.
        fabric: the processes take the clips by turns.
        at_once: C, clips at a time.
    """

    def encode(part: range) -> Tensor:
        return model.maps(_on_device(clips.read(part), fabric.device)).flatten(1)

    parts, rows = clips.parts(at_once), at_once * clips.frames()
    for part, maps in zip(parts, in_turn(parts, encode, fabric, rows=rows), strict=True):
        yield maps.unflatten(0, (len(part), -1))


def _on_device(frames: Crops, device: torch.device) -> Tensor:
    """Crops uint8 [B, S, S, 3] -> images in [0, 1]. [B, 3, S, S]."""
    frames = np.ascontiguousarray(frames)
    return torch.from_numpy(frames).to(device).permute(0, 3, 1, 2).float() / 255
