"""The loss of a student: its teacher's code of unlabelled faces.

    L   = L_z + w_s L_s
    L_z = mean_k h((z^_k - z_k) / s_k)       where the teacher sees eyes
    L_s = -s log s^ - (1 - s) log(1 - s^)

z is the teacher's code of the image as it is, s_k the standard deviation of its k-th number over
faces, s its eye score, 0 where the eyes were hidden from the student; z^ and s^ are the student's,
which sees the band shifted, under another lamp and through a worse camera; h is the Huber function.
Mirrored images are mirrored for both: their code is another one. All of it is a choice of ours;
the paper states that its code can be distilled without labels, not how.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.config import FACE_CROP, FACE_SIDE
from mien.gaze.cut import EyeImage, normalised, sample_at
from mien.gaze.emib import EMIB
from mien.gaze.student import BAND_HEIGHT, BAND_WIDTH, Student
from mien.gaze.variation import image_of, sample_lenses
from mien.gaze.windows import cut_upright
from mien.types import Loss

__all__ = [
    "Coded",
    "Targets",
    "degraded",
    "distill_loss",
    "fit_scale",
    "shaded",
    "targets_of",
    "vary_bands",
]

_SCORE = 0.2  # w_s
# Fractions of the batch whose eyes the student cannot see: behind dark glasses, or out of the band.
_GLASSES, _ELSEWHERE = 0.06, 0.04
_ELSEWHERE_PX = 60.0
# What detectors' eye points may be off by, and their crops' scale.
_SHIFT, _MAX_LOG_SCALE = (6.0, 4.0), 0.06
_RAMP, _GAMMA, _NOISE = 0.25, 0.3, 0.03
_BLUR_PROB, _BLUR_PX, _BLUR_REACH = 0.3, 1.5, 3
_DEAD = 0.01  # a number of the code whose std is this fraction of the largest carries nothing


class Coded(Protocol):
    """A network that learns codes as z-scores."""

    code_mean: Tensor
    code_scale: Tensor


@dataclass(frozen=True)
class Targets:
    """A teacher's outputs for images, which are the training targets of a student."""

    code: Tensor
    """Its gaze code. [B, d]."""
    score: Tensor
    """Its eye score, in [0, 1]. [B]."""
    eyes: Tensor
    """Where it finds the eyes. Pixels of the image [B, 2, 2]."""

    @property
    def seen(self) -> Tensor:
        """Return whether it sees eyes, so that the code means something. Bool [B]."""
        return self.score > 0.5


@torch.no_grad()
def targets_of(teacher: EMIB, image: EyeImage, guess: Tensor | None = None) -> Targets:
    """Run a teacher on canvases as when faces are embedded: it finds the eyes itself.

    Args:
        teacher: in evaluation mode.
        image: canvases. B of them.
        guess: as of `EMIB.forward`; None: in the middle of the canvas. [B, 2, 2].
    """
    found, logit = teacher.locate_eyes(image.pixels, guess, is_face=False)
    moved = (found.eyes - image.eyes) * (FACE_SIDE / FACE_CROP)
    located = replace(image, eyes=found.eyes, face_eyes=image.face_eyes + moved)
    code = teacher.bottleneck(normalised(cut_upright(located, teacher.config))).mean
    return Targets(code.float(), logit.float().sigmoid(), found.eyes)


@torch.no_grad()
def fit_scale(
    student: Coded,
    teacher: EMIB,
    batches: Iterable[dict[str, Tensor]],
    *,
    generator: torch.Generator,
) -> None:
    """Set the student's `code_mean` and `code_scale` from its teacher's codes of batches.

    Args:
        student: learns z-scores; changed in place, or left as it is where fewer than two faces
            show eyes.
        teacher: gives the codes.
        batches: of mien.data.eye_loader.
        generator: flips half of the images, as training does.
    """
    codes = [student.code_mean.new_zeros(0, len(student.code_mean))]
    for batch in batches:
        targets = targets_of(teacher, image_of(batch, mirror=True, generator=generator))
        codes.append(targets.code[targets.seen])
    seen = torch.cat(codes)
    if len(seen) > 1:
        std = seen.std(dim=0)
        student.code_mean.copy_(seen.mean(dim=0))
        student.code_scale.copy_(std.clamp_min(float(_DEAD * std.max()) or 1.0))


def distill_loss(
    student: Student, teacher: EMIB, batch: dict[str, Tensor], *, generator: torch.Generator
) -> Loss:
    """Return the loss of one step on a batch of canvases (see mien.data.eye_loader).

    Args:
        student: learns; its scale is set (`fit_scale`).
        teacher: gives the targets, and is not changed.
        batch: unlabelled; `open` is not read.
        generator: gives the augmentation.
    """
    image = image_of(batch, mirror=True, generator=generator)
    targets = targets_of(teacher, image)
    bands, hidden = vary_bands(image.pixels, targets.eyes, generator)
    code, logit = student.read(bands)
    wanted = (targets.code - student.code_mean) / student.code_scale
    counted = (targets.seen & ~hidden).float()
    rows = counted.sum().clamp_min(1)
    distance = F.huber_loss(code.float(), wanted, reduction="none").mean(dim=1)
    score = torch.where(hidden, 0.0, targets.score)
    parts = {
        "code": (distance * counted).sum() / rows,
        "score": _SCORE * F.binary_cross_entropy_with_logits(logit.float(), score),
    }
    missed = ((code.detach().float() - wanted).square().mean(dim=1) * counted).sum() / rows
    agreed = ((logit.detach() > 0) == (score > 0.5)).float().mean()
    monitors = {
        "code_error": missed,
        "score_agreed": agreed,
        "eyes_seen": targets.seen.float().mean(),
    }
    total = torch.stack(list(parts.values())).sum()
    return Loss(total, {k: v.detach() for k, v in parts.items()}, monitors)


def vary_bands(pixels: Tensor, eyes: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Cut eye bands as an inexact detector would, under another lamp, with a worse camera.

    Args:
        pixels: luminance in [0, 1] of canvases. [B, 1, H, W].
        eyes: x, y of both eyes. Pixels [B, 2, 2].
        generator: gives every random number.

    Returns:
        Bands, luminance in [0, 1] [B, 1, 80, 192], and whether their eyes are hidden, bool [B].
    """
    count, device = len(pixels), pixels.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand((count, *shape), generator=generator, device=device)

    kind = uniform()
    dark, away = kind < _GLASSES, kind > 1 - _ELSEWHERE
    pixels = torch.where(dark[:, None, None, None], _with_glasses(pixels, eyes, uniform), pixels)
    side = torch.where(uniform(1) < 0.5, -_ELSEWHERE_PX, _ELSEWHERE_PX)
    shift = (2 * uniform(2) - 1) * pixels.new_tensor(_SHIFT)
    scale = ((2 * uniform(1) - 1) * _MAX_LOG_SCALE).exp()
    # Half of them keep their pixels as they are: a resampled band is always a little blurred.
    sharp = uniform(1) < 0.5
    shift, scale = torch.where(sharp, shift.round(), shift), torch.where(sharp, 1.0, scale)
    far = pixels.new_tensor([0.0, 1.0]) * side * away[:, None]
    bands = _sample(pixels, eyes.mean(dim=1).round() + shift + far, scale)
    return degraded(shaded(bands, uniform), uniform, generator), dark | away


def _with_glasses(pixels: Tensor, eyes: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """Put two dark lenses before the eyes. [B, 1, H, W]."""
    lens = sample_lenses(pixels, eyes, uniform)
    shade = 0.02 + 0.2 * uniform(1, 1, 1) + 0.1 * uniform(1, 1, 1) * pixels
    return torch.where(lens, shade, pixels)


def _sample(pixels: Tensor, middle: Tensor, scale: Tensor) -> Tensor:
    """Sample bands around x, y [B, 2] at `scale` [B, 1] image pixels each, clamped to borders."""
    across = torch.arange(BAND_WIDTH, device=pixels.device) - BAND_WIDTH // 2
    down = torch.arange(BAND_HEIGHT, device=pixels.device) - BAND_HEIGHT // 2
    x, y = middle[:, :1] + across * scale, middle[:, 1:] + down * scale
    size = (len(pixels), BAND_HEIGHT, BAND_WIDTH)
    places = torch.stack([x[:, None].expand(size), y[:, :, None].expand(size)], dim=-1)
    return sample_at(pixels, places)


def shaded(images: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """Bend the brightness and let it rise to one side; mean and contrast the student removes.

    Args:
        images: luminance in [0, 1]. [B, 1, H, W].
        uniform: shape without B => uniform numbers in [0, 1) [B, *shape].
    """
    gamma = ((2 * uniform(1, 1, 1) - 1) * _GAMMA).exp()
    x = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    y = torch.linspace(-1, 1, images.shape[-2], device=images.device)[:, None]
    slope = (2 * uniform(2, 1, 1, 1) - 1) * _RAMP
    lamp = 1 + slope[:, 0] * x + slope[:, 1] * y
    return (images.clamp(1e-3, 1) ** gamma * lamp).clamp(0, 1)


def degraded(images: Tensor, uniform: Callable[..., Tensor], generator: torch.Generator) -> Tensor:
    """Blur some (a normal distribution, up to 1.5 px wide), and add noise to all.

    Arguments as of `shaded`; `generator` gives the noise.
    """
    count, reach = len(images), _BLUR_REACH
    width = uniform(1) * _BLUR_PX * (uniform(1) < _BLUR_PROB)
    offsets = torch.arange(-reach, reach + 1, device=images.device)
    kernel = torch.exp(-0.5 * (offsets / width.clamp_min(0.1)) ** 2)
    kernel = kernel / kernel.sum(dim=1, keepdim=True)
    # One group for each image: every one has its own kernel.
    wide = F.pad(images.transpose(0, 1), (reach, reach, reach, reach), mode="replicate")
    wide = F.conv2d(wide, kernel[:, None, None, :], groups=count)
    blurred = F.conv2d(wide, kernel[:, None, :, None], groups=count).transpose(0, 1)
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    return (blurred + noise * uniform(1, 1, 1) * _NOISE).clamp(0, 1)
