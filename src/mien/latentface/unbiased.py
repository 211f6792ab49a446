"""Neutral codes that are not drawn towards everybody's mean.

A frame says only so much of its person's code m, and the best guess at it, n(z) = E[m | z], stays
near the mean of all people. With x and y the coordinates of z and n in the basis, a person's
frames show on average

    E[y | m] = G E[x | m],

and what identity lacks of x stands in expression, x - y, which carries it to another face. G is
found from pairs i, j of different frames of a clip, which have nothing in common but the person,

    G = C_yx (C_xx + r I)^(-1),    C_yx = E[y_i x_j^T],    C_xx = E[x_i x_j^T],

for the coordinates that identity keeps. Of G's part on these, singular values below 0.6 become 0.6:
what y has of a frame's own is not drawn too strongly. With x' = G x in their place, expression,
x' - y, has hardly a part there that is the same in all of a person's frames.

The other coordinates v of a code are expression's alone, and so is what they show of the person.
Some of that x' foretells,

    E[v | x'] = R x',    R = C_vx' (C_x'x' + r I)^(-1).

With v' = v - R x' for v, a face that is drawn from identity alone has v = R y: what people of this
identity show on average. `identity` is y as before. So the basis A becomes A H^T with

    H = [ G ; -R G + [0 I] ],

and the neutral code that has these coordinates in it n A H^-T A^-1: what the decoders are given
of it is as far from the mean as the person is. (Codes are rows; regression dilution, Fuller 1987,
the other way round.) This is our addition to the paper.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch
from torch import Tensor

from mien.latentface.discriminant import CodeBasis
from mien.latentface.neutral import NeutralRegressor

__all__ = ["make_unbiased", "shared_covariance"]

_RIDGE = 0.03
"""r, as a fraction of the mean variance: frames share little in the last directions."""
_LEAST = 0.6
"""Least singular value of G among the coordinates of identity."""


def shared_covariance(pairs: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
    """Return E[y_i x_j^T] over the different frames i, j of clips. Float64 [D, D].

    Args:
        pairs: y and x of clips, less their means; those of a pair of one length, at least 2.
            [C, T, D] each.
    """
    total, clips = torch.zeros(()).double(), 0
    for y, x in pairs:
        y, x = y.double().cpu(), x.double().cpu()
        of_sums = y.sum(dim=1).T @ x.sum(dim=1)
        of_frames = y.flatten(0, 1).T @ x.flatten(0, 1)
        frames = x.shape[1]
        total = total + (of_sums - of_frames) / (frames * (frames - 1))
        clips += len(x)
    return total / clips


@torch.no_grad()
def make_unbiased(
    basis: CodeBasis,
    network: NeutralRegressor,
    clips: Sequence[tuple[Tensor, Tensor]],
    *,
    kept: int,
) -> None:
    """Change a fitted basis and the network whose neutral codes it is of, in place.

    Args:
        basis: of the codes.
        network: finds the neutral codes.
        clips: scaled codes of clips, and the neutral codes that the network finds of them; some of
            one length at a time, at least 2. [C, T, D] each.
        kept: how many directions identity keeps.
    """
    axes = basis.basis.double().cpu()
    z_mean, n_mean = (_mean(parts) for parts in zip(*clips, strict=True))

    def coordinates() -> Iterator[tuple[Tensor, Tensor]]:
        for z, n in clips:
            yield (n.double().cpu() - n_mean) @ axes, (z.double().cpu() - z_mean) @ axes

    of_codes = shared_covariance((x, x) for _, x in coordinates())
    of_neutral = shared_covariance(coordinates())
    change = torch.eye(len(axes)).double()
    change[:kept] = _regression(of_neutral[:kept], of_codes)
    left, strength, right = torch.linalg.svd(change[:kept, :kept])
    change[:kept, :kept] = (left * strength.clamp_min(_LEAST)) @ right
    of_kept = change[:kept] @ of_codes
    change[kept:] -= _regression(of_kept[:, kept:].T, of_kept @ change[:kept].T) @ change[:kept]
    network.map_codes(axes @ torch.linalg.inv(change.T) @ torch.linalg.inv(axes))
    basis.basis.copy_(axes @ change.T)


def _regression(of_both: Tensor, of_given: Tensor) -> Tensor:
    """Return C_ab (C_bb + r I)^(-1). [A, B].

    Args:
        of_both: C_ab. [A, B].
        of_given: C_bb. [B, B].
    """
    ridge = _RIDGE * of_given.diagonal().mean() * torch.eye(len(of_given)).double()
    return torch.linalg.solve(of_given + ridge, of_both, left=False)


def _mean(parts: Sequence[Tensor]) -> Tensor:
    """Return the mean of all frames of clips [C, T, D]. Float64 [D]."""
    frames = sum(part.shape[0] * part.shape[1] for part in parts)
    return torch.stack([part.sum(dim=(0, 1)).double().cpu() for part in parts]).sum(dim=0) / frames
