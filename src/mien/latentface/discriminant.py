"""Fisher's discriminant with clips in the place of labels: what tells clips apart, strongest last.

With W the covariance of rows within clips and B that of the clips' means

    A^T W A = I,    A^T B A = diag(l)
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["discriminant"]

_SHRINK = 0.1
"""Share of W's mean variance that is added to all of its directions: few clips fit too well."""


def discriminant(within: Tensor, means: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return A, its directions in columns [D, D], and l, ascending [D].

    Args:
        within: W as it was measured, before it is shrunk. Float64 [D, D].
        means: of the clips. Float64 [C, D].
        frames: that each mean is of.
    """
    # The means of few frames scatter because frames do, too.
    between = torch.cov(means.T) - within / frames
    within = within + _SHRINK * within.diagonal().mean() * torch.eye(len(within)).to(within)
    whitening = torch.linalg.cholesky(torch.linalg.inv(within))
    strength, turn = torch.linalg.eigh(whitening.T @ between @ whitening)
    return whitening @ turn, strength
