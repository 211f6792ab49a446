"""The loss of a narrower gaze branch: its teacher's code and eyes of unlabelled faces.

    L   = L_z + w_e L_e + w_m L_m + w_s L_s
    L_z = mean_k h((z^_k - z_k) / s_k)             where the teacher sees eyes
    L_e = mean_i h(|e^_i - e_i| / 4 px)            where the teacher sees eyes
    L_m = mean_i KL(m_i || m^_i)                   where the teacher sees eyes
    L_s = -s log s^ - (1 - s) log(1 - s^)

e_i are the two eyes that the teacher's eye localizer finds on a canvas cut off the middle, m_i the
heat maps that they are the centres of, which tell where to look long before the centres agree, s
its score; e^_i, m^_i and s^ are the student's, which sees that canvas through a worse camera. z is
the teacher's code of the views around the teacher's eyes, shifted, turned, relit, some without the
face, and z^ the student's of the same views; s_k is the standard deviation of the code's k-th
number over faces, h the Huber function. Mirrored images are mirrored for both. EM-AE is the
teacher's and not trained. All of it is a choice of ours.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mien.gaze.bottleneck import FullFaceBottleneck
from mien.gaze.config import FACE_CROP, FACE_SIDE, GazeConfig
from mien.gaze.cut import EyeImage, EyeViews, cut_views, normalised
from mien.gaze.distillation import degraded, shaded
from mien.gaze.emib import EMIB
from mien.gaze.localizer import EyeLocalizer
from mien.gaze.localizer_objective import Moved, moved, with_sunglasses
from mien.gaze.pruning import prune_bottleneck, prune_localizer
from mien.gaze.variation import image_of, jitter, relit, sample_affine
from mien.types import Loss

__all__ = ["NarrowBranch", "narrow_loss", "off_middle"]

_EYES, _MAPS, _SCORE, _NEAR_PX = 0.5, 0.2, 0.1, 4.0
# Fractions of the batch whose eyes nobody can see: behind dark glasses, or off the canvas.
_GLASSES, _ELSEWHERE, _ELSEWHERE_PX = 0.06, 0.06, 75.0
# What the head pose's guess of the eyes is off by: on half of the canvases little.
_SHIFT, _SMALL_SHIFT, _SMALL = (26.0, 18.0), 0.25, 0.5
_COARSE_PROB = 0.3
_NO_FACE_PROB, _JITTER_PX = 0.2, 1.0


class NarrowBranch(nn.Module):
    """What is learned of a narrower gaze branch: eye localizer and FF-IB, whose codes are z-scores.

    `put_into` brings them to the teacher's units.
    """

    code_mean: Tensor
    code_scale: Tensor

    def __init__(self, config: GazeConfig) -> None:
        super().__init__()
        self.localizer = EyeLocalizer(config.localizer_width)
        self.bottleneck = FullFaceBottleneck(config)
        self.register_buffer("code_mean", torch.zeros(config.code_dim))
        self.register_buffer("code_scale", torch.ones(config.code_dim))

    @torch.no_grad()
    def start_from(self, teacher: EMIB) -> None:
        """Take the teacher's strongest channels over; the scale is set before."""
        prune_localizer(self.localizer, teacher.localizer)
        prune_bottleneck(self.bottleneck, teacher.bottleneck)
        head = self.bottleneck.head
        head.weight.div_(self.code_scale[:, None])
        head.bias.sub_(self.code_mean).div_(self.code_scale)

    @torch.no_grad()
    def put_into(self, branch: EMIB) -> None:
        """Give a branch of the same sizes these networks, with codes in the teacher's units."""
        branch.localizer.load_state_dict(self.localizer.state_dict())
        branch.bottleneck.load_state_dict(self.bottleneck.state_dict())
        head = branch.bottleneck.head
        head.weight.mul_(self.code_scale[:, None])
        head.bias.mul_(self.code_scale).add_(self.code_mean)


def narrow_loss(
    student: NarrowBranch, teacher: EMIB, batch: dict[str, Tensor], *, generator: torch.Generator
) -> Loss:
    """Return the loss of one step on a batch of canvases (see mien.data.eye_loader).

    Args:
        student: learns; its scale is set (`mien.gaze.distillation.fit_scale`).
        teacher: gives the targets, and is not changed.
        batch: unlabelled; `open` is not read.
        generator: gives the augmentation.
    """
    image = image_of(batch, mirror=True, no_face=_NO_FACE_PROB, generator=generator)
    taken, hidden = off_middle(image, generator)
    small = F.avg_pool2d(taken.canvas, 2)
    with torch.no_grad():
        found, maps = teacher.localizer.find_with_maps(small)
        eyes, score = found.eyes, found.logit.sigmoid()
        views = _views(teacher, _located(image, taken.to_image(eyes)), generator)
        wanted = (teacher.bottleneck(views).mean - student.code_mean) / student.code_scale
    seen = ((score > 0.5) & ~hidden).float()
    rows = seen.sum().clamp_min(1)
    code = student.bottleneck(views).mean
    distance = F.huber_loss(code, wanted, reduction="none").mean(dim=1)
    guess, own_maps = student.localizer.find_with_maps(_worse(small, generator))
    apart = (guess.eyes - eyes).norm(dim=2)
    near = F.huber_loss(apart / _NEAR_PX, torch.zeros_like(apart), reduction="none").mean(dim=1)
    apart_maps = F.kl_div(
        own_maps.log_softmax(dim=2), maps.log_softmax(dim=2), reduction="none", log_target=True
    )
    parts = {
        "code": (distance * seen).sum() / rows,
        "eyes": _EYES * (near * seen).sum() / rows,
        "maps": _MAPS * (apart_maps.sum(dim=2).mean(dim=1) * seen).sum() / rows,
        "score": _SCORE * F.binary_cross_entropy_with_logits(guess.logit, score),
    }
    missed = ((code.detach() - wanted).square().mean(dim=1) * seen).sum() / rows
    monitors = {
        "code_error": missed,
        "eyes_px": (apart.detach().mean(dim=1) * seen).sum() / rows,
        "score_agreed": ((guess.logit.detach() > 0) == (score > 0.5)).float().mean(),
        "eyes_seen": (score > 0.5).float().mean(),
    }
    total = torch.stack(list(parts.values())).sum()
    return Loss(total, {k: v.detach() for k, v in parts.items()}, monitors)


def off_middle(image: EyeImage, generator: torch.Generator) -> tuple[Moved, Tensor]:
    """Cut canvases off the middle, turned and scaled, some without eyes to be seen.

    Args:
        image: canvases. B of them.
        generator: gives every random number.

    Returns:
        The canvases, and whether their eyes are hidden, bool [B].
    """
    count, device = len(image), image.pixels.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=device)

    kind = uniform()
    dark, away = kind < _GLASSES, kind > 1 - _ELSEWHERE
    shaded_eyes = with_sunglasses(image.pixels, image.eyes, uniform)
    pixels = torch.where(dark[:, None, None, None], shaded_eyes, image.pixels)
    reach = torch.where(uniform(1) < _SMALL, _SMALL_SHIFT, 1.0)
    shift = (2 * uniform(2) - 1) * reach * image.eyes.new_tensor(_SHIFT)
    side = torch.where(uniform(1) < 0.5, -_ELSEWHERE_PX, _ELSEWHERE_PX)
    shift = shift + side * away[:, None] * image.eyes.new_tensor([0.0, 1.0])
    return moved(pixels, shift, uniform), dark | away


def _located(image: EyeImage, eyes: Tensor) -> EyeImage:
    """Return images with other eyes. Pixels [B, 2, 2]."""
    change = (eyes - image.eyes) * (FACE_SIDE / FACE_CROP)
    return replace(image, eyes=eyes, face_eyes=image.face_eyes + change)


def _views(teacher: EMIB, image: EyeImage, generator: torch.Generator) -> EyeViews:
    """Cut what both see of the eyes, turned, shifted and under another lamp."""
    affine = sample_affine(image, generator)
    shift = jitter(image, _JITTER_PX, generator)
    views = cut_views(image, teacher.config, affine=affine, jitter=shift)
    return normalised(relit(views, generator))


def _worse(small: Tensor, generator: torch.Generator) -> Tensor:
    """Return canvases as a worse camera would have taken them: coarse, blurred, noisy, relit."""

    def uniform(*shape: int) -> Tensor:
        return torch.rand((len(small), *shape), generator=generator, device=small.device)

    size = small.shape[-2:]
    coarse = F.interpolate(F.avg_pool2d(small, 2), size=size, mode="bilinear", align_corners=False)
    canvases = torch.where(uniform(1, 1, 1) < _COARSE_PROB, coarse, small)
    return degraded(shaded(canvases, uniform), uniform, generator)
