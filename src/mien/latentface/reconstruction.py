"""Stage 1's reconstruction terms: a rendered image against its target.

Values are per sample; the caller averages. Nothing here knows a network.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional as F

from mien.latentface.structure import gradient_error, orientation_error

__all__ = ["ReconstructionError", "confidence_error", "reconstruction_error"]


@dataclass(frozen=True)
class ReconstructionError:
    """Terms of one rendered image against its target, unweighted; each [B]."""

    photometric: Tensor
    """Negative log-likelihood of the confidence-weighted L1."""
    gradient: Tensor
    """Difference of image gradients at three scales."""
    orientation: Tensor
    """Difference of contrast-normalised oriented gradients."""
    absolute: Tensor
    """Plain mean absolute error where the face is rendered, for reports."""


def confidence_error(prediction: Tensor, target: Tensor, log_scale: Tensor, mask: Tensor) -> Tensor:
    """Return -1/|Ω| Σ ln (1 / √2 σ) exp(-√2 |Î - I| / σ) per sample (Wu et al. 2020, eq. 3). [B].

    Args:
        prediction: Î. [B, 3, H, W].
        target: I. [B, 3, H, W].
        log_scale: ln σ. [B, 1, H, W].
        mask: Ω as weights. [B, 1, H, W].
    """
    error = (prediction - target).abs().mean(dim=1, keepdim=True)
    likelihood = math.sqrt(2) * error * (-log_scale).exp() + log_scale + math.log(2) / 2
    return (likelihood * mask).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3)).clamp_min(1)


def reconstruction_error(
    prediction: Tensor, target: Tensor, log_scale: Tensor, mask: Tensor
) -> ReconstructionError:
    """Compare a rendered image with its target.

    Args:
        prediction: RGB in [0, 1]. [B, 3, H, W].
        target: likewise.
        log_scale: ln σ at any size that divides H; enlarged here. [B, 1, h, w].
        mask: 1 where the face was rendered. [B, 1, H, W].
    """
    log_scale = F.interpolate(
        log_scale, size=target.shape[-2:], mode="bilinear", align_corners=True
    )
    # Where σ is large (background, hidden parts) the edges cannot be known either.
    trust = mask * (0.1 / log_scale.detach().exp()).clamp(max=1.0)
    error = ((prediction - target).abs() * mask).sum(dim=(1, 2, 3))
    return ReconstructionError(
        photometric=confidence_error(prediction, target, log_scale, mask),
        gradient=gradient_error(prediction, target, trust),
        orientation=orientation_error(prediction, target, trust),
        absolute=error / (3 * mask.sum(dim=(1, 2, 3))).clamp_min(1),
    )
