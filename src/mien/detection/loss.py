"""Loss of the detector: quality focal loss of the score, box by overlap, landmarks by distance."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from mien.types import Loss

__all__ = ["detector_loss"]

_SURE = 0.2
"""Score of the target from which on a cell's box and landmarks are learned."""


def detector_loss(maps: list[Tensor], targets: list[Tensor]) -> Loss:
    """Return the loss of a batch.

    Args:
        maps: of DetectorNetwork, [B, 15, H/t, W/t] for t = 8, 16, 32.
        targets: [B, 16, H/t, W/t]: the score 0 to 1, box and landmarks as in the maps, and the
            weight of the score's term.
    """
    found = torch.cat([m.float().flatten(2) for m in maps], dim=2).movedim(1, 2)
    wanted = torch.cat([t.flatten(2) for t in targets], dim=2).movedim(1, 2)
    score, weight = wanted[..., 0], wanted[..., 15]
    total = score.sum().clamp_min(1)
    logit = found[..., 0]
    # Quality focal loss (Li et al. 2020, arXiv 2006.04388, eq. 2) with beta 2.
    entropy = F.binary_cross_entropy_with_logits(logit, score, reduction="none")
    focal = (torch.sigmoid(logit) - score).abs().square()
    parts = {"score": 2 * (weight * focal * entropy).sum() / total}
    sure = score > _SURE
    share = score[sure] / score[sure].sum().clamp_min(1)
    guess, truth = found[sure], wanted[sure]
    parts["box"] = (share * _one_minus_overlap(guess[:, 1:5], truth[:, 1:5])).sum()
    size = truth[:, 3:5].mean(dim=1, keepdim=True).exp()
    apart = F.smooth_l1_loss(
        guess[:, 5:15] / size, truth[:, 5:15] / size, beta=0.02, reduction="none"
    )
    parts["landmarks"] = 2 * (share * apart.mean(dim=1)).sum()
    sums = torch.stack(list(parts.values())).sum()
    seen = torch.sigmoid(logit.detach())
    monitors = {
        "score_on_faces": (seen * score).sum() / total,
        "score_off_faces": seen[score < 0.05].mean(),
    }
    return Loss(sums, parts, monitors)


def _one_minus_overlap(guess: Tensor, truth: Tensor) -> Tensor:
    """Return 1 - IoU of boxes dx, dy, log w, log h of the same cells, and their distance (DIoU)."""
    size, wanted = guess[:, 2:].clamp(-4, 6).exp(), truth[:, 2:].exp()
    low = torch.maximum(guess[:, :2] - size / 2, truth[:, :2] - wanted / 2)
    high = torch.minimum(guess[:, :2] + size / 2, truth[:, :2] + wanted / 2)
    shared = (high - low).clamp_min(0).prod(dim=1)
    union = size.prod(dim=1) + wanted.prod(dim=1) - shared
    around = torch.maximum(guess[:, :2] + size / 2, truth[:, :2] + wanted / 2) - torch.minimum(
        guess[:, :2] - size / 2, truth[:, :2] - wanted / 2
    )
    apart = (guess[:, :2] - truth[:, :2]).square().sum(dim=1)
    return 1 - shared / union + apart / around.square().sum(dim=1)
