"""The loss of the eye localizer: labelled places and lids of eyes, and hidden eyes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.gaze.config import CANVAS_HEIGHT, CANVAS_MIDDLE, CANVAS_WIDTH
from mien.gaze.cut import offsets, sample_at
from mien.gaze.localizer import EyeLocalizer
from mien.gaze.variation import image_of, rotation_of, sample_lenses
from mien.types import Loss

__all__ = ["Moved", "localizer_loss", "moved", "with_sunglasses"]

_SHIFT = (26.0, 18.0)
# Radians, and the natural logarithm of the scale factor.
_MAX_ROTATION, _MAX_LOG_SCALE = 0.2, 0.15
# Fractions of the batch with hidden eyes: dark glasses, or a place without eyes.
_SUNGLASSES, _ELSEWHERE = 0.12, 0.12


@dataclass(frozen=True)
class Moved:
    """Canvases cut out of canvases, and the way there and back for points."""

    canvas: Tensor
    """Luminance in [0, 1]. [B, 1, CANVAS_HEIGHT, CANVAS_WIDTH]."""
    affine: Tensor
    """Offsets from the middle in `canvas` => offsets in the image. [B, 2, 2]."""
    middle: Tensor
    """Of the canvas. Pixels [2]."""
    shift: Tensor
    """From the middle to the place in the image that `canvas` is cut around. Pixels [B, 2]."""

    def from_image(self, points: Tensor) -> Tensor:
        """Return where points of the image stand in `canvas`. Pixels [B, N, 2]."""
        inverse = torch.linalg.inv(self.affine).transpose(1, 2)
        return (points - (self.middle + self.shift)[:, None]) @ inverse + self.middle

    def to_image(self, points: Tensor) -> Tensor:
        """Return where points of `canvas` stand in the image. Pixels [B, N, 2]."""
        turned = (points - self.middle) @ self.affine.transpose(1, 2)
        return turned + (self.middle + self.shift)[:, None]


def localizer_loss(
    localizer: EyeLocalizer, batch: dict[str, Tensor], *, generator: torch.Generator
) -> Loss:
    """Return the distance to the true eyes and the cross-entropy of whether they can be seen.

    Args:
        localizer: the network.
        batch: of mien.data.eye_loader; `open` must be known for some rows.
        generator: gives the augmentation.
    """
    image = image_of(batch, mirror=True, generator=generator)
    count, device = len(image), image.pixels.device

    def uniform(*shape: int) -> Tensor:
        return torch.rand(count, *shape, generator=generator, device=device)

    kind = uniform()
    dark, away = kind < _SUNGLASSES, kind > 1 - _ELSEWHERE
    pixels = torch.where(
        dark[:, None, None, None],
        with_sunglasses(image.pixels, image.eyes, uniform),
        image.pixels,
    )
    shift = (2 * uniform(2) - 1) * image.eyes.new_tensor(_SHIFT)
    # Away: so far above, below or beside that neither eye is on the canvas.
    far = torch.where(uniform(1) < 0.5, 1.0, -1.0) * image.eyes.new_tensor([0.0, 75.0])
    shift = shift + far * away[:, None]
    taken = moved(pixels, shift, uniform)
    eyes = taken.from_image(image.eyes)
    light = (0.6 * uniform() - 0.3).exp()[:, None, None, None]
    canvas = taken.canvas.clamp(1e-3, 1) ** light * (0.6 + 0.6 * uniform())[:, None, None, None]
    found = localizer((canvas + 0.02 * (uniform(1, 1, 1) - 0.5)).clamp(0, 1))
    known = ~(away | dark)
    near = (found.eyes - eyes).norm(dim=2)
    # Huber: eyes that a hand or hair hides must not pull at all others.
    place = F.huber_loss(near, torch.zeros_like(near), reduction="none", delta=4.0).mean(dim=1)
    place = (place * known).sum() / known.sum().clamp_min(1) / 8
    truth = torch.where(known, batch["open"], 0.0)
    labelled = truth.isfinite()
    entropy = F.binary_cross_entropy_with_logits(found.logit, truth.nan_to_num(), reduction="none")
    score = (entropy * labelled).sum() / labelled.sum().clamp_min(1)
    right = ((found.logit > 0).float() == truth)[labelled].float().sum() / labelled.sum().clamp_min(
        1
    )
    monitors = {
        "error_px": near[known].detach().mean() if known.any() else near.new_zeros(()),
        "score_accuracy": right.detach(),
    }
    parts = {"place": place, "score": score}
    return Loss(place + score, {k: v.detach() for k, v in parts.items()}, monitors)


def with_sunglasses(pixels: Tensor, eyes: Tensor, uniform: Callable[..., Tensor]) -> Tensor:
    """Paint two dark lenses over the eyes. [B, 1, H, W]."""
    rows = torch.arange(pixels.shape[-2], device=pixels.device)[None, None, :, None]
    lens = sample_lenses(pixels, eyes, uniform)
    shade = 0.02 + 0.15 * uniform(1, 1, 1)
    # Some let a little of the face through, and the sky is mirrored in most.
    through = 0.12 * uniform(1, 1, 1)
    sky = 0.25 * uniform(1, 1, 1) * (1 - rows / pixels.shape[-2])
    return torch.where(lens, shade + through * pixels + sky * uniform(1, 1, 1), pixels)


def moved(pixels: Tensor, shift: Tensor, uniform: Callable[..., Tensor]) -> Moved:
    """Shift, rotate and scale canvases.

    Args:
        pixels: luminance in [0, 1] of canvases. [B, 1, H, W].
        shift: of the middle. Pixels [B, 2].
        uniform: shape without B => uniform numbers in [0, 1) [B, *shape].
    """
    angle = (2 * uniform() - 1) * _MAX_ROTATION
    affine = rotation_of(angle, ((2 * uniform() - 1) * _MAX_LOG_SCALE).exp())
    middle = pixels.new_tensor(CANVAS_MIDDLE)
    around = offsets((CANVAS_HEIGHT, CANVAS_WIDTH), CANVAS_MIDDLE, pixels.device).to(pixels.dtype)
    source = torch.einsum("bij,hwj->bhwi", affine, around) + (middle + shift)[:, None, None]
    return Moved(sample_at(pixels, source), affine, middle, shift)
