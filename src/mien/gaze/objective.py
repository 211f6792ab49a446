"""The loss of EM-IB: eyes reconstructed from a code, surroundings without it, swapped eyes.

    L   = L_a + w_u L_u + w_c L_c + w_r R
    L_a = l(D(E(m * x), z), x)  where m = 0       eye-attended steps
    L_u = |D(E(m' * x), z') - x|  where m' = 0    eye-unattended steps, z' = another face's code
    L_c = -log( exp(s(z_i, z~_i) / tau) / sum_k exp(s(z_i, z~_k) / tau) )    k over a clip's frames
    R   = KL(q(z|x) || N(0, 1))                   nats, where the bottleneck is variational

x is a face, m and m' masks (1 = kept), z its code, E and D EM-AE's halves, z~_k the code of the
eyes of frame k in the surroundings of another frame of the clip under other light (the eye swap),
s the cosine of their projections. l adds to the L1 distance that of the image gradients
at three scales, which is where an iris differs from its blur. The paper names these parts; their
form, weights and sizes are choices of ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mien.fields import Amount, Fraction, Positive, Range, check_fields
from mien.gaze.bottleneck import eye_masks
from mien.gaze.cut import EyeViews, cut_views, normalised
from mien.gaze.emib import EMIB
from mien.gaze.layers import patches
from mien.gaze.variation import image_of, jitter, relit, sample_affine
from mien.types import Loss

__all__ = ["GazeWeights", "contrast", "emib_loss", "emib_sheet", "eye_distance"]


@dataclass(frozen=True)
class GazeWeights:
    """How much each part counts, and how the steps alternate; choices of ours."""

    attended_weight: Amount = 1.0
    """Of the eyes' reconstruction."""
    unattended_weight: Amount = 0.5
    """w_u; 0 = no eye-unattended steps."""
    unattended_every: Annotated[int, Range(2, 10**6)] = 8
    """Every n-th step is eye-unattended, the others are eye-attended."""
    contrastive_weight: Amount = 0.0
    """w_c; 0 = no eye swaps, which measured better at every weight tried."""
    temperature: Positive = 0.1
    """tau of the contrastive loss."""
    kl_weight: Amount = 0.0
    """w_r, for a variational bottleneck."""
    visible_fraction: Fraction = 0.5
    """Fraction of the patches that EM-AE sees in eye-attended steps."""
    unattended_visible_fraction: Fraction = 0.25
    """The same in eye-unattended steps."""
    no_face_prob: Fraction = 0.3
    """Probability that the whole face is hidden, so that eye-region crops are understood too."""
    eye_jitter_std: Amount = 1.0
    """Standard deviation of the shift of the eyes' places. Pixels."""

    def __post_init__(self) -> None:
        check_fields(self, "emib.loss_weights")


def emib_loss(
    model: EMIB,
    batch: dict[str, Tensor],
    weights: GazeWeights,
    *,
    step: int,
    generator: torch.Generator,
) -> Loss:
    """Return the loss of one step on a batch of canvases (see mien.data.eye_loader)."""
    views, again = _vary(model, batch, weights, generator)
    target = normalised(views)
    seen = normalised(relit(views, generator))
    bottleneck = model.bottleneck(seen)
    code = bottleneck.sample(generator)
    parts: dict[str, Tensor] = {}
    monitors = {"code_std": code.detach().std(dim=0).mean()}
    injected = code if model.config.injected else None
    if weights.unattended_weight and (step + 1) % weights.unattended_every == 0:
        other = torch.randperm(len(code), generator=generator, device=code.device)
        parts["unattended"] = weights.unattended_weight * _unattended(
            model,
            target,
            None if injected is None else injected.detach()[other],
            weights,
            generator,
        )
    elif weights.attended_weight:
        visible = model.autoencoder.encode(
            target, keep=weights.visible_fraction, generator=generator
        )
        images = model.autoencoder.decode_eyes(visible, injected, target)
        parts["attended"] = weights.attended_weight * eye_distance(images, target.eyes)
    if model.config.variational:
        divergence = bottleneck.rate().mean()
        monitors["kl_nats"] = divergence.detach()
        parts["kl"] = weights.kl_weight * divergence
    if weights.contrastive_weight:
        swapped = normalised(relit(again, generator))
        swapped = swapped.with_surroundings(swapped[_neighbours(batch["clip"])])
        positive = model.bottleneck(swapped).mean
        loss, accuracy = contrast(
            model.projector(bottleneck.mean),
            model.projector(positive),
            batch["clip"],
            weights.temperature,
        )
        monitors["swap_accuracy"] = accuracy.detach()
        parts["contrastive"] = weights.contrastive_weight * loss
    if not parts:
        # FF-IB without any loss would not be touched: keep the graph whole.
        parts["nothing"] = 0.0 * code.sum()
    total = torch.stack(list(parts.values())).sum()
    return Loss(total, {k: v.detach() for k, v in parts.items()}, monitors)


def eye_distance(images: Tensor, target: Tensor) -> Tensor:
    """Return l: L1 of the eyes and of their gradients at three scales. [B, 2, 1, H, W] -> []."""
    one, other = images.flatten(0, 1), target.flatten(0, 1)
    total = (one - other).abs().mean()
    for _ in range(3):
        difference = one - other
        total = total + (difference[..., 1:] - difference[..., :-1]).abs().mean()
        total = total + (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
        one, other = F.avg_pool2d(one, 2), F.avg_pool2d(other, 2)
    return total


def contrast(
    code: Tensor, swapped: Tensor, clip: Tensor, temperature: float
) -> tuple[Tensor, Tensor]:
    """Return L_c, and the fraction of frames whose nearest swapped code is their own.

    Args:
        code: projections of the frames as they are. [B, P].
        swapped: of the same eyes in other surroundings. [B, P].
        clip: frames of one clip share a number; stills (-1) are one another's negatives. [B].
        temperature: tau.
    """
    one, other = F.normalize(code.float(), dim=1), F.normalize(swapped.float(), dim=1)
    logits = (one @ other.T / temperature).masked_fill(clip[:, None] != clip[None], -math.inf)
    own = torch.arange(len(code), device=code.device)
    return F.cross_entropy(logits, own), (logits.argmax(dim=1) == own).float().mean()


@torch.no_grad()
def emib_sheet(
    model: EMIB, batch: dict[str, Tensor], *, count: int = 12
) -> np.ndarray[tuple[int, int, int], np.dtype[np.uint8]]:
    """Show the first `count` images' eyes, one below another.

    From left to right: as they are, with their own code, with the next image's, with the mean.
    """
    views = normalised(cut_views(image_of(batch), model.config))[slice(count)]
    code = model.bottleneck(views).mean
    rows = [views.eyes]
    for each in (code, code.roll(-1, dims=0), code.mean(dim=0, keepdim=True).expand_as(code)):
        rows.append(model.render_eyes(views, each))
    lines = [torch.cat([torch.cat([e[0], e[1]], dim=2) for e in row], dim=1) for row in rows]
    sheet = torch.cat(lines, dim=2)[0].float() * 0.18 + 0.5
    grey = (sheet.clamp(0, 1) * 255).byte().cpu().numpy()
    return np.repeat(grey[..., None], 3, axis=2)


def _vary(
    model: EMIB, batch: dict[str, Tensor], weights: GazeWeights, generator: torch.Generator
) -> tuple[EyeViews, EyeViews]:
    """Cut the same images twice with other shifts of the eyes' places; not yet normalised."""
    image = image_of(batch, mirror=True, no_face=weights.no_face_prob, generator=generator)
    affine = sample_affine(image, generator)
    cuts = [
        cut_views(
            image,
            model.config,
            affine=affine,
            jitter=jitter(image, weights.eye_jitter_std, generator),
        )
        for _ in range(2 if weights.contrastive_weight else 1)
    ]
    return cuts[0], cuts[-1]


def _unattended(
    model: EMIB,
    target: EyeViews,
    code: Tensor | None,
    weights: GazeWeights,
    generator: torch.Generator,
) -> Tensor:
    """Return L_u: the band's patches that were not seen, without the eyes."""
    config = model.config
    visible = model.autoencoder.encode(
        target, keep=weights.unattended_visible_fraction, generator=generator, masked=False
    )
    rendered = model.autoencoder.decode_rest(visible, code)
    rest, _ = eye_masks(target, config)
    counts = patches(rest, config.band_patch)
    seen = counts.new_zeros(len(counts), config.band_tokens + config.face_tokens)
    seen = seen.scatter(1, visible.order, 1.0)[:, : config.band_tokens]
    counts = counts * (1 - seen)[..., None]
    distance = (rendered - patches(target.band, config.band_patch)).abs()
    return (distance * counts).sum() / counts.sum().clamp_min(1)


def _neighbours(clip: Tensor) -> Tensor:
    """Return for each row another row of the same clip: the next one, round the clip's end.

    Stills count as one clip.
    """
    order = clip.argsort(stable=True)
    sorted_clip = clip[order]
    following = order.roll(-1)
    same = sorted_clip == sorted_clip.roll(-1)
    first = torch.searchsorted(sorted_clip, sorted_clip)
    following = torch.where(same, following, order[first])
    return torch.empty_like(order).scatter(0, order, following)
